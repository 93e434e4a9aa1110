"""`python run.py …` is `stream-server run …` from a checkout."""

import sys

from stream_server.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
