"""`python -m stream_server`: the same as the command `stream-server`."""

from stream_server.cli import main

if __name__ == "__main__":
    main()
