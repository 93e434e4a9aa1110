"""What is said of the server, of who may use it, and of its API."""

from __future__ import annotations

from pydantic import Field

from stream_server.config.addresses import Host, HostOrNetwork, Network, Origin, PublicURL
from stream_server.config.section import Section
from stream_server.config.types import DatabaseURL, NeededCameras


class ServerConfig(Section):
    """Where and for how many the server listens."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` is every network.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    threads: int = Field(8, ge=1, le=64, description="Threads kept free for pages, API and health.")
    max_viewers: int = Field(1000, ge=1, le=100000, description="Streams watched at once; more get 503.")
    max_viewers_per_camera: int | None = Field(None, ge=1, description="The same for each camera.")
    max_viewers_per_address: int | None = Field(
        None,
        ge=1,
        description="The same for each client address; all behind a proxy that is not trusted share one.",
    )
    max_viewers_per_token: int | None = Field(
        None, ge=1, description="The same for each token, and for each browser that is logged in."
    )
    max_websockets: int = Field(
        16,
        ge=1,
        le=256,
        description="WebSockets, readers of events and endless pushes at once, each with a thread; more get "
        "503.",
    )
    max_image_bytes: int = Field(
        20 * 2**20, ge=1024, le=2**30, description="Bytes of a picture that is sent to the server, at most."
    )
    max_image_pixels: int = Field(
        40_000_000, ge=1, le=2**30, description="Its pixels, at most; one takes 3 bytes of memory."
    )
    ready_cameras: NeededCameras = Field(
        "none",
        description="Cameras that have to show pictures for `/readyz` to answer 200: `none` (lost ones are "
        "told all the same), `any` one of them, or `all`.",
    )
    embed_origins: tuple[Origin, ...] = Field(
        (),
        description="Other sites whose pages may show the player, e.g. `[https://home.example:8123]`; `'*'`: "
        "all. Default: none; a plain `<img>` works everywhere.",
    )
    public_url: PublicURL | None = Field(
        None,
        description="Where clients find the server when a proxy stands before it, e.g. "
        "`https://home.example/cams`. Default: what the request says.",
    )
    allowed_hosts: tuple[Host, ...] = Field(
        (),
        description="More names by which the server may be asked for, e.g. `[cams.home.example]`; `'*'`: "
        "any. Addresses, the name in `public_url`, names without a dot or in `.local`, `.lan`, `.internal` "
        "always work.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        description="Addresses or networks of proxies that may say, in `X-Forwarded-…` headers, who asks and "
        "for what, e.g. `[127.0.0.1, 10.0.0.0/8]`.",
    )


class AuthConfig(Section):
    """Who may ask."""

    open: bool | None = Field(
        None,
        description="`true`: ask nobody who they are, wherever they are. `false`: ask all, always. Default: "
        "ask all as soon as there is a user or a token; before that, a server that others can reach does not "
        "start.",
    )
    session_hours: float = Field(168, gt=0, le=8760, description="Hours until a browser has to log in again.")
    database: DatabaseURL | None = Field(
        None,
        description="Where users and tokens are kept: an SQLAlchemy URL, also as `{env: NAME}` or "
        "`{file: PATH}`. Default: `data/accounts.db` beside the configuration file, or where you are.",
    )


class ApiConfig(Section):
    """Who sends pictures, how many, and from where they may be fetched."""

    models: tuple[str, ...] = Field(
        (),
        description="Models that may be asked for besides the detector's and the cameras'; named ones are "
        "loaded even when no camera detects.",
    )
    max_requests: int = Field(
        16, ge=1, le=256, description="Requests with pictures answered at once; more get 503."
    )
    max_requests_per_address: int | None = Field(
        None, ge=1, description="The same for each client address; more get 429."
    )
    max_request_bytes: int = Field(
        32 * 2**20, ge=1024, le=2**30, description="Bytes of a request with pictures, at most."
    )
    max_images: int = Field(32, ge=1, le=1000, description="Pictures in a request, at most.")
    url_hosts: tuple[HostOrNetwork, ...] = Field(
        (),
        description="Hosts from which pictures are fetched when a request names their address, e.g. "
        "`[cdn.example.com]`; `'*'`: all that are public. One that is not needs its network here as well, "
        "e.g. `192.168.1.0/24`. Default: none.",
    )
    url_timeout_s: float = Field(10, gt=0, le=60, description="Seconds for fetching one of them.")
