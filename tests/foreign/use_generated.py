"""Use the client that openapi-python-client made: URL TOKEN PICTURE VIDEO; prints JSON."""

import json
import sys
import time
from pathlib import Path

from generated.api.cameras import api_list_cameras, push_push, streaming_snapshot
from generated.api.pictures import detect_detect
from generated.api.server import health_healthz, metrics_metrics
from generated.api.settings import settings_api_put_camera
from generated.api.videos import videos_create, videos_list_videos, videos_remove, videos_result, videos_show
from generated.client import AuthenticatedClient
from generated.models import CameraBody
from generated.types import File

url, token, picture, video = sys.argv[1:]
client = AuthenticatedClient(url, token, raise_on_unexpected_status=True, timeout=30)


def payload(path: str) -> File:
    return File(Path(path).read_bytes())


created = videos_create.sync(client=client, body=payload(video), name="short.mp4")
while (info := videos_show.sync(created.id, client=client)).state not in ("done", "failed"):
    time.sleep(0.1)
result = videos_result.sync(created.id, client=client).payload.read()
listed = [one.id for one in videos_list_videos.sync(client=client).videos]
removed = videos_remove.sync_detailed(created.id, client=client).status_code
told = {
    "cameras": [camera.name for camera in api_list_cameras.sync(client=client).cameras],
    "snapshot": streaming_snapshot.sync("demo", client=client, width=64).payload.read(2).hex(),
    "pushed": push_push.sync("phone", client=client, body=payload(picture)).pictures,
    "added": settings_api_put_camera.sync(
        "more", client=client, body=CameraBody.from_dict({"source": "demo:", "enabled": False})
    ).to_dict(),
    "found": [
        one.label
        for image in detect_detect.sync(
            client=client, body=payload(picture), classes=["person", "cat"]
        ).images
        for one in image.detections
    ],
    "health": health_healthz.sync(client=client).status,
    "metrics": "stream_server_viewers" in metrics_metrics.sync(client=client),
    "state": info.state,
    "result": result[4:8].decode(),
    "listed": created.id in listed,
    "removed": int(removed),
}
json.dump(told, sys.stdout)
