"""What is in pictures: `python detect.py PICTURE…`

The variables STREAM_SERVER and STREAM_SERVER_TOKEN say which server, and who asks.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

SERVER = os.environ.get("STREAM_SERVER", "http://127.0.0.1:8080")
TOKEN = os.environ.get("STREAM_SERVER_TOKEN")


def detect(paths: list[str], **options: object) -> list[dict[str, Any]]:
    """Return what was found in each of the pictures, as the API says it."""
    pictures = []
    for path in paths:
        with open(path, "rb") as file:
            pictures.append(base64.b64encode(file.read()).decode())
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    body = json.dumps({"images": pictures, **options}).encode()
    request = urllib.request.Request(f"{SERVER}/api/v1/detect", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["images"]
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        raise SystemExit(f"{problem['title']}: {problem['detail']}") from None


if __name__ == "__main__":
    for path, image in zip(sys.argv[1:], detect(sys.argv[1:], score_threshold=0.4), strict=True):
        for found in image["detections"]:
            print(f"{path}: {found['label']} {found['score']:.2f} {found['box']}")
