"""Secrets in cameras' sections: never shown, kept where `***` stands, given to no other host."""

from __future__ import annotations

from typing import Any

import pytest

from stream_server.errors import ConfigError
from stream_server.settings.masking import masked, unmasked

STORED = {"source": "rtsp://admin:hunter22@cam.lan/x?user=a&token=abcdefgh", "password": "swordfish"}
SHOWN = {"source": "rtsp://admin:***@cam.lan/x?user=a&token=***", "password": "***"}


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        ({"source": "demo:"}, {"source": "demo:"}),
        (STORED, SHOWN),
        ({"source": 0, "password": 1234}, {"source": 0, "password": "***"}),
        ({"source": "rtsp://me:p/a@s#s@h/x"}, {"source": "rtsp://me:***@h/x"}),
        ({"source": "rtsp://h/x", "password": {"env": "DOOR"}},) * 2,
    ],
)
def test_secrets_are_masked_and_kept(section: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked(section) == shown
    assert unmasked(masked(section), section) == section


def test_another_path_of_the_same_host_keeps_the_password() -> None:
    asked = {"source": "rtsp://admin:***@cam.lan:8554/y?token=***"}
    assert unmasked(asked, STORED) == {"source": "rtsp://admin:hunter22@cam.lan:8554/y?token=abcdefgh"}


@pytest.mark.parametrize(
    ("asked", "stored", "error"),
    [
        ({**SHOWN, "source": "rtsp://cam.evil/x"}, STORED, "cameras.a.password: give it again"),
        ({"source": "rtsp://admin:***@cam.evil/x"}, STORED, "cameras.a.password: give it again"),
        ({"source": "http://cam.evil/?token=***"}, STORED, "cameras.a.password: give it again"),
        (
            {"source": "rtsp://cam.evil/", "password": {"env": "DOOR"}},
            {"source": "rtsp://cam.lan/", "password": {"env": "DOOR"}},
            "cameras.a.password: give it again",
        ),
        ({"source": "rtsp://h/", "password": {"file": "/etc/shadow"}}, {}, "expected the password itself"),
        ({"source": "rtsp://h/", "password": "***"}, {}, "cameras.a.password: no password is stored"),
        ({"source": "rtsp://a:***@h/"}, {}, "cameras.a.source: no password is stored"),
        ({"source": "rtsp://h/?token=***"}, {}, "cameras.a.source: no token is stored"),
    ],
)
def test_stored_secrets_go_nowhere_else(asked: dict[str, Any], stored: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error) as caught:
        unmasked(asked, stored, "cameras.a.")
    assert not any(secret in str(caught.value) for secret in ("hunter22", "swordfish", "abcdefgh"))
