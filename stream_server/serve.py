"""Runs the application under gunicorn: an arbiter, and one web worker that owns the engine."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import closing
from types import FrameType

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config as GunicornConfig
from gunicorn.glogging import Logger

from stream_server.accounts.accounts import Accounts, is_loopback
from stream_server.accounts.marker import Marker, marker_for
from stream_server.base.descriptors import LEAST_CONNECTIONS, Share, share_out
from stream_server.base.logs import RepeatFilter
from stream_server.base.malloc_arenas import share_arenas
from stream_server.cameras import crashes
from stream_server.cameras.camera import Camera
from stream_server.cameras.crashes import CrashBoard
from stream_server.config import Config
from stream_server.engine import Engine
from stream_server.errors import ConfigError
from stream_server.settings.live import LiveSettings
from stream_server.settings.origin import ConfigOrigin, LoadedConfig
from stream_server.settings.ownership import own_folders
from stream_server.settings.watch import ConfigWatcher
from stream_server.web.app import create_app
from stream_server.web.transport.gunicorn_worker import PatientWorker, limit_waits

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 3
FIRST_FRAME_TIMEOUT_S = 15.0
POLL_S = 0.05


def serve(
    config: Config,
    origin: ConfigOrigin | None = None,
    reading: LoadedConfig | None = None,
    *,
    verbose: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; ends the process with exit code 0.

    origin, reading: where `config` comes from, so that cameras can be changed meanwhile.

    Raises ConfigError when the address cannot be listened on, or anybody could reach it who has no account;
    AccountsError when accounts cannot be read, or were lost.
    """
    share_arenas()
    listener = _listen(config.server.host, config.server.port)
    marker = _marker(config, origin)
    _check_access(config, marker)
    share = _share_out(config)
    own_folders(config, _url(*listener.getsockname()[:2]))
    _Arbiter(
        _Application(config, origin, reading, listener, marker=marker, share=share, verbose=verbose)
    ).run()


def _share_out(config: Config) -> Share:
    """Raise the limit of descriptors; say so where viewers do not fit below it. Raises ConfigError."""
    server = config.server
    lasting = server.max_websockets + config.api.max_requests
    share = share_out(
        server.max_viewers, len(config.cameras), LEAST_CONNECTIONS + server.threads + 2 * lasting
    )
    if share.viewers < server.max_viewers:
        log.warning(
            "server.max_viewers: got %d, but the process may open %d files (ulimit -n): %d may watch; raise "
            "it (systemd: LimitNOFILE, Docker: --ulimit nofile)",
            server.max_viewers,
            share.limit,
            share.viewers,
        )
    return share


def _marker(config: Config, origin: ConfigOrigin | None) -> Marker | None:
    database = config.auth.database
    return marker_for(database.get_secret_value(), origin.path) if database and origin else None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
        limit_waits(listener)
        return listener
    except (OSError, OverflowError) as exc:
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"server.port: {port} is in use on {host}; "
                "stop what listens there or choose another with --port"
            ) from None
        if isinstance(exc, OSError) and exc.errno == errno.EACCES:
            raise ConfigError(f"server.port: got {port}, only root may use those below 1024") from None
        raise ConfigError(f"server.host: got {host!r}, expected an address of this machine ({exc})") from None


def _check_access(config: Config, marker: Marker | None) -> None:
    """Say loudly who gets in without an account. Raises ConfigError where that would be nobody for ever."""
    with closing(Accounts(config, marker)) as accounts:
        access, are_none = accounts.access, accounts.are_none
    host = config.server.host
    if access == "everyone":
        log.warning("EVERYONE who reaches %s may watch and change everything: auth.open is set", host)
    elif access == "accounts" and are_none:
        why = f"server.host: other machines reach {host}" if not is_loopback(host) else "auth.open: is false"
        raise ConfigError(
            f"{why}, and no user was added yet; add one with `stream-server user add NAME`, or let everyone "
            "in with --set auth.open=true"
        )
    elif access == "this machine" and (config.server.trusted_proxies or config.server.public_url):
        log.warning("nobody gets in through a proxy: no user was added yet (stream-server user add NAME)")


class _Application(BaseApplication):  # type: ignore[misc]
    """Tells gunicorn what to run and how."""

    def __init__(
        self,
        config: Config,
        origin: ConfigOrigin | None,
        reading: LoadedConfig | None,
        listener: socket.socket,
        *,
        marker: Marker | None,
        share: Share,
        verbose: bool,
    ) -> None:
        self._config = config
        self._marker = marker
        self._share = share
        self._origin = origin
        self._reading = reading
        self._address = listener.getsockname()[:2]
        self._listener_fd = listener.detach()  # gunicorn makes its own socket of it, and closes it
        self._verbose = verbose
        self._crashes = CrashBoard()
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults; neither its files nor its environment are read."""
        server, pictures = self._config.server, self._config.api.max_requests
        uploads = _Worker.max_uploads = server.max_websockets + pictures
        settings = {
            "bind": f"fd://{self._listener_fd}",
            "workers": 1,
            "worker_class": _Worker,
            "threads": server.threads + server.max_websockets + pictures + uploads,
            "worker_connections": self._share.connections,
            "timeout": 30,
            "graceful_timeout": STOP_TIMEOUT_S,
            "keepalive": 5,
            "http_parser": "python",  # the one that reception.py was written beside
            "logger_class": _GunicornLogger,
            "loglevel": "info" if self._verbose else "warning",
            "control_socket_disable": True,
            # By default any local process sets scheme and path by headers; see web/proxy.py.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Start the engine and return the application; called in the web worker."""
        self._crashes.begin()
        crashes.use(self._crashes)
        engine = Engine(self._config, marker=self._marker)
        engine.viewer_limits.max_viewers = self._share.viewers
        engine.start()
        settings = LiveSettings(engine, self._origin, self._reading)
        _Worker.engine, _Worker.watch = engine, ConfigWatcher(settings)
        _Worker.watch.start()
        threading.Thread(
            target=_announce, args=(engine, *self._address), name="announce", daemon=True
        ).start()
        app = create_app(engine, settings)
        gc.freeze()  # what is loaded by now stays; to look through it takes 60 ms, while all threads wait
        return app


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Keeps exactly one web worker: a second one would open every camera a second time."""

    _is_stopping = False

    def stop(self, graceful: bool = True) -> None:
        """End the web worker, within `graceful_timeout`."""
        self._is_stopping = True
        super().stop(graceful)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Queue the signal; who asks a second time to end waits no longer for viewers that take nothing."""
        if self._is_stopping and sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.kill_workers(signal.SIGKILL)
        super().signal(sig, frame)

    def handle_ttin(self) -> None:
        """Refuse a second web worker."""
        log.warning("one web worker is all there can be: a second one would open every camera twice")

    def handle_ttou(self) -> None:
        """Keep the one web worker."""

    def handle_hup(self) -> None:
        """Have the web worker read the configuration again."""
        self.kill_workers(signal.SIGHUP)

    def handle_usr2(self) -> None:
        """Refuse a second arbiter."""
        log.warning("restart the server for a new version; SIGHUP reads the configuration again")


class _Worker(PatientWorker):
    """The web worker, ending streams before it waits for connections to finish."""

    engine: Engine | None = None
    watch: ConfigWatcher | None = None

    def init_signals(self) -> None:
        """Take SIGHUP too, which would end the process."""
        super().init_signals()
        signal.signal(signal.SIGHUP, self.handle_hup)
        signal.siginterrupt(signal.SIGHUP, False)

    def handle_hup(self, sig: int, frame: FrameType | None) -> None:
        """Have the configuration read again; one that is not running yet has just read it."""
        if self.watch:
            self.watch.ask()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop accepting, and end the streams so that their connections finish by themselves."""
        if self.alive and self.engine:
            # Not here: a signal handler must not take locks that the interrupted thread may hold.
            threading.Thread(target=self.engine.close, name="stop", daemon=True).start()
        super().handle_exit(sig, frame)

    handle_quit = handle_exit

    def is_parent_alive(self) -> bool:
        """End at once where the arbiter was killed: nobody is left to bound a graceful end.

        The detectors end by themselves when their pipes do.
        """
        if not super().is_parent_alive():
            os._exit(1)
        return True

    def run(self) -> None:
        """Serve, then leave nothing behind."""
        try:
            super().run()
        finally:
            if self.watch:
                self.watch.close()
            if self.engine:
                self.engine.close()


class _GunicornLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages the way of all others."""

    def setup(self, cfg: GunicornConfig) -> None:
        """Leave handlers and format to `stream_server.base.logs`."""
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.error_log.propagate = True
        self.error_log.addFilter(RepeatFilter())  # anybody can send a hundred requests that are none
        self.access_log.setLevel(logging.CRITICAL)

    def exception(self, msg: str, *args: object, **kwargs: object) -> None:
        """Log an error with its traceback, a viewer that went away or takes nothing in one quiet line."""
        error = sys.exc_info()[1]
        if isinstance(error, BlockingIOError):
            log.info("a connection was dropped: its client sends too slowly, or takes nothing")
        elif isinstance(error, OSError):
            log.info("a connection was dropped: %s", error)
        else:
            super().exception(msg, *args, **kwargs)


def _announce(engine: Engine, host: str, port: int) -> None:
    """Say where to look as soon as there is something to see."""
    url = _url(host, port)
    until = time.monotonic() + FIRST_FRAME_TIMEOUT_S
    while (
        cameras := [pipeline.camera for pipeline in engine.pipelines.values()]
    ) and time.monotonic() < until:
        if any(camera.is_online for camera in cameras):
            log.info("Watch at %s", url)
            return
        if all(_shows_nothing(camera) for camera in cameras):
            break
        time.sleep(POLL_S)
    log.info("Serving at %s; no camera shows a picture yet", url)


def _url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        name = "localhost"
    return f"http://{name}:{port}/"


def _shows_nothing(camera: Camera) -> bool:
    """Return whether there is no sense in waiting for the camera's first picture."""
    return camera.state in ("offline", "auth_failed", "waiting") or camera.config.on_demand
