"""Find what is in a picture by PyDOODS, as Home Assistant does: URL TOKEN PICTURE; prints JSON."""

import json
import sys
from pathlib import Path

from pydoods import PyDOODS

url, token, picture = sys.argv[1:]
doods = PyDOODS(url, token, timeout=20)
found = doods.detect(Path(picture).read_bytes(), {"person": 40}, "default", "7")
json.dump({"detectors": doods.get_detectors(), "found": found}, sys.stdout)
