from __future__ import annotations

import pytest

from stream_server.sources.http_auth import Challenge, Credentials, digest_authorization, parse_challenges

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    f'nonce="{NONCE}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        ([], []),
        ([""], []),
        ([", ,=x, y=z"], []),
        (["Basic"], [("basic", {})]),
        (["Negotiate", 'BASIC Realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ['Basic realm="a, b=c", Digest realm="q\\"\\\\", nonce = abc,qop="auth" , stale=TRUE'],
            [
                ("basic", {"realm": "a, b=c"}),
                ("digest", {"realm": 'q"\\', "nonce": "abc", "qop": "auth", "stale": "TRUE"}),
            ],
        ),
        (["Digest realm=, nonce=x"], [("digest", {"realm": "", "nonce": "x"})]),
    ],
)
def test_challenges_are_read_also_when_several_share_a_header(
    headers: list[str], challenges: list[tuple[str, dict[str, str]]]
) -> None:
    assert parse_challenges(headers) == [Challenge(*challenge) for challenge in challenges]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_answers_as_in_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    (challenge,) = parse_challenges([RFC_7616.format(algorithm)])

    answer = digest_authorization(
        challenge,
        "Mufasa",
        "Circle of Life",
        method="GET",
        target="/dir/index.html",
        uses=1,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )

    assert f'response="{response}"' in answer
    assert f"algorithm={algorithm}, qop=auth, nc=00000001" in answer


def test_digest_without_qop_answers_as_in_rfc_2069() -> None:
    challenge = Challenge(
        "digest", {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    )

    answer = digest_authorization(
        challenge, "Mufasa", "CircleOfLife", method="GET", target="/dir/index.html", uses=1, cnonce="x"
    )

    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer  # RFC 2069, 2.4, with its erratum 749
    assert "cnonce" not in answer


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([], None),
        (["Bearer", "Negotiate"], None),
        (['Digest nonce="x", qop="auth-int"'], None),
        (['Digest nonce="x", algorithm=NEW'], None),
        (['Digest realm="x"'], None),
        (["Basic"], "Basic "),
        (["Basic", 'Digest nonce="x"'], "Digest "),
        (['Digest nonce="x", algorithm=NEW', "Basic"], "Basic "),
        ([RFC_7616.format("SHA-256-sess"), RFC_7616.format("MD5")], "Digest "),
    ],
)
def test_the_strongest_usable_challenge_is_taken(offered: list[str], taken: str | None) -> None:
    credentials = Credentials("user", "password")
    assert credentials.authorization("GET", "/") is None

    assert credentials.take(parse_challenges(offered)) == (taken is not None)

    answer = credentials.authorization("GET", "/")
    assert answer is None if taken is None else (answer or "").startswith(taken)


def test_a_nonce_is_counted_and_never_used_with_the_same_count() -> None:
    credentials = Credentials('us"er', "password")
    credentials.take(parse_challenges(['Digest nonce="x", qop="auth"']))

    first, second = (credentials.authorization("GET", "/") or "" for _ in range(2))

    assert "nc=00000001" in first
    assert "nc=00000002" in second
    assert 'username="us\\"er"' in first
