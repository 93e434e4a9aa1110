"""Upload a video by tuspy in pieces, broken off in the middle: URL TOKEN VIDEO; prints its address."""

import sys
from pathlib import Path

from tusclient.client import TusClient

url, token, video = sys.argv[1:]
client = TusClient(url, headers={"Authorization": f"Bearer {token}"})
middle = Path(video).stat().st_size // 2
about = {"filename": Path(video).name, "filetype": "video/mp4", "every": "2"}
first = client.uploader(video, chunk_size=4096, metadata=about)
first.upload(stop_at=middle)
again = client.uploader(video, chunk_size=65536, url=first.url)
assert middle <= again.offset < again.get_file_size(), again.offset
again.upload()
sys.stdout.write(again.url)
