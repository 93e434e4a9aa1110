"""Pictures by address: what is fetched, and that nothing else is, however it is written."""

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_address

import pytest

from stream_server.config import ApiConfig
from stream_server.errors import ImageTooLarge, OptionError
from stream_server.net.guarded_fetch import REFUSAL, Address, Fetcher, FetchTimeout, is_public
from tests.support.fileserver import FileServer
from tests.support.patience import soon

LOOPBACK = "127.0.0.0/8"


def fetcher(*hosts: str, max_bytes: int = 10_000, timeout_s: float = 5, **names: str) -> Fetcher:
    """names: hosts that resolve to an address, dots written as underscores."""
    config = ApiConfig.model_validate({"url_hosts": hosts, "url_timeout_s": timeout_s})

    def resolve(host: str, port: int) -> list[Address]:
        known = names.get(host.replace(".", "_"))
        if known:
            return [ip_address(known)]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [ip_address(entry[4][0]) for entry in found]

    return Fetcher(config, max_bytes, resolve)


def is_refused(fetch: Fetcher, url: str) -> bool:
    with pytest.raises(OptionError) as caught:
        fetch.fetch(url)
    return str(caught.value) == f"url: {REFUSAL}"


WRITTEN = [
    "http://127.0.0.1:{port}/x",
    "http://localhost:{port}/x",
    "http://[::1]:{port}/x",
    "http://0x7f000001:{port}/x",
    "http://2130706433:{port}/x",
    "http://0177.0.0.1:{port}/x",
    "http://127.1:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
    "http://[::ffff:7f00:1]:{port}/x",
    "http://[64:ff9b::7f00:1]:{port}/x",
    "http://0.0.0.0:{port}/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/x",
    "http://100.64.0.1/x",
    "http://user@127.0.0.1:{port}/x",
    "http://allowed.example@127.0.0.1:{port}/x",
    "http://127.0.0.1.:{port}/x",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "gopher://127.0.0.1:{port}/x",
    "//127.0.0.1:{port}/x",
    "http://",
    "http://[::1",
    "http://127.0.0.1:99999/x",
    "",
]


@pytest.mark.parametrize("hosts", [(), ("allowed.example",), ("*",)])
@pytest.mark.parametrize("written", WRITTEN)
def test_private_addresses_are_never_asked(hosts: tuple[str, ...], written: str) -> None:
    with FileServer(b"secret") as canary:
        port = canary.url.split(":")[2].split("/")[0]
        fetch = fetcher(*hosts, localhost="127.0.0.1")
        assert is_refused(fetch, written.replace("{port}", port))
    assert not canary.requests


def test_name_that_leads_home_is_refused() -> None:
    with FileServer(b"secret") as canary:
        fetch = fetcher("allowed.example", allowed_example="127.0.0.1")
        assert is_refused(fetch, canary.url.replace("127.0.0.1", "allowed.example"))
    assert not canary.requests


def test_named_network_is_asked() -> None:
    with FileServer(b"picture") as server:
        assert fetcher(LOOPBACK).fetch(server.url) == b"picture"
        named = fetcher("nas.example", LOOPBACK, nas_example="127.0.0.1")
        assert named.fetch(server.url.replace("127.0.0.1", "nas.example")) == b"picture"
    assert "nas.example" in server.requests[-1]["Host"]


def test_network_alone_does_not_allow_names_that_lead_there() -> None:
    with FileServer(b"picture") as server:
        fetch = fetcher(LOOPBACK, nas_example="127.0.0.1")
        assert is_refused(fetch, server.url.replace("127.0.0.1", "nas.example"))


def test_name_is_resolved_once_and_that_address_is_asked() -> None:
    """A name server that answers differently the second time gains nothing (DNS rebinding)."""
    answers = ["127.0.0.1", "10.0.0.1"]
    with FileServer(b"picture") as server:
        config = ApiConfig.model_validate({"url_hosts": ("flip.example", LOOPBACK)})
        fetch = Fetcher(config, 1000, lambda host, port: [ip_address(answers.pop(0))])
        assert fetch.fetch(server.url.replace("127.0.0.1", "flip.example")) == b"picture"
    assert answers == ["10.0.0.1"]


def test_one_private_address_among_several_is_enough_to_refuse() -> None:
    config = ApiConfig.model_validate({"url_hosts": ("mixed.example",)})
    fetch = Fetcher(config, 1000, lambda host, port: [ip_address("8.8.8.8"), ip_address("127.0.0.1")])
    assert is_refused(fetch, "http://mixed.example/x")


def test_redirect_is_checked_like_an_address() -> None:
    with FileServer(b"secret") as canary:
        target = canary.url.replace("127.0.0.1", "127.0.0.2")
        with FileServer(b"", redirect_to=target) as server:
            assert is_refused(fetcher("127.0.0.1/32"), server.url)
            assert len(server.requests) == 1
        with FileServer(b"", redirect_to="file:///etc/passwd") as server:
            assert is_refused(fetcher(LOOPBACK), server.url)
    assert not canary.requests


def test_redirect_to_what_is_allowed_is_followed_three_times_at_most() -> None:
    with FileServer(b"picture") as last, FileServer(b"", redirect_to=last.url) as first:
        assert fetcher(LOOPBACK).fetch(first.url) == b"picture"
    with FileServer(b"", redirect_to="/again") as server:
        with pytest.raises(OptionError, match="redirects more than 3 times"):
            fetcher(LOOPBACK).fetch(server.url)
        assert len(server.requests) == 4


@pytest.mark.parametrize("chunk_bytes", [0, 1, 4096, 1 << 20])
def test_a_picture_may_come_in_chunks(chunk_bytes: int) -> None:
    with FileServer(bytes(9_999), chunk_bytes=chunk_bytes) as server:
        assert fetcher(LOOPBACK).fetch(server.url) == bytes(9_999)


def test_a_picture_that_is_cut_off_is_not_taken_for_whole() -> None:
    server = FileServer(bytes(9_999), cuts=[5_000])
    with server, pytest.raises(OptionError, match="could not be fetched"):
        fetcher(LOOPBACK).fetch(server.url)


@pytest.mark.parametrize(("tells_length", "chunk_bytes"), [(True, 0), (False, 0), (False, 1000)])
def test_too_much_is_not_read(tells_length: bool, chunk_bytes: int) -> None:
    server = FileServer(bytes(1_000_000), tells_length=tells_length, chunk_bytes=chunk_bytes)
    with server, pytest.raises(ImageTooLarge) as caught:
        fetcher(LOOPBACK).fetch(server.url)
    assert (caught.value.limit, caught.value.field) == (10_000, "url")


def test_slow_answer_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with soon(), pytest.raises(FetchTimeout, match=r"url: no answer in 0\.2 s"):
            fetcher(LOOPBACK, timeout_s=0.2).fetch(url)


@pytest.mark.parametrize("status", [404, 500])
def test_other_answers_are_of_no_use(status: int) -> None:
    server = FileServer(b"", statuses=[status])
    with server, pytest.raises(OptionError, match=f"is answered with {status}"):
        fetcher(LOOPBACK).fetch(server.url)


def test_nobody_there_is_said_without_details() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OptionError, match="could not be fetched"):
        fetcher(LOOPBACK).fetch(f"http://127.0.0.1:{port}/x")


def test_certificates_are_checked() -> None:
    assert ssl.create_default_context().check_hostname
    with FileServer(b"picture") as server, pytest.raises(OptionError, match="could not be fetched"):
        fetcher(LOOPBACK).fetch(server.url.replace("http:", "https:"))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_on_the_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "::1", "fe80::1", "fd00::1", "224.0.0.1", "ff02::1", "100.64.0.1", "0.0.0.0",
        "240.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "192.168.1.1",
    ],
)  # fmt: skip
def test_what_is_not_on_the_internet(address: str) -> None:
    assert not is_public(ip_address(address))
