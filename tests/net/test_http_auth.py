from __future__ import annotations

import hashlib
import time

import pytest

from stream_server.net.http_auth import (
    Challenge,
    Credentials,
    digest_authorization,
    name_troubles,
    parse_challenges,
)

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
        (
            ['Digest realm="a"; nonce="b;c,d"; qop="" ;algorithm=MD5'],
            [("digest", {"realm": "a", "nonce": "b;c,d", "qop": "", "algorithm": "MD5"})],
        ),
        (
            ['Digest realm="a" nonce="b" qop="auth" Basic realm="c"'],
            [("digest", {"realm": "a", "nonce": "b", "qop": "auth"}), ("basic", {"realm": "c"})],
        ),
        (
            ["NTLM", 'Digest realm="a",nonce="b",Basic realm="c",Digest realm="d",nonce="e"', "Bearer"],
            [
                ("ntlm", {}),
                ("digest", {"realm": "a", "nonce": "b"}),
                ("basic", {"realm": "c"}),
                ("digest", {"realm": "d", "nonce": "e"}),
                ("bearer", {}),
            ],
        ),
        (['Digest realm="a",\r\n nonce=YWJj=='], [("digest", {"realm": "a", "nonce": "YWJj=="})]),
        (['Digest nonce="b", realm="not closed'], [("digest", {"nonce": "b", "realm": "not closed"})]),
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


@pytest.mark.parametrize("qop", [', qop=""', ", qop=", ', qop=" "', ""])
def test_an_empty_qop_is_none(qop: str) -> None:
    """RFC 2069, section 2.4: the example, which has no qop."""
    header = f'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"{qop}'
    (challenge,) = parse_challenges([header])

    answer = digest_authorization(
        challenge, "Mufasa", "CircleOfLife", method="GET", target="/dir/index.html", uses=1, cnonce="x"
    )

    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert "qop" not in answer
    assert "nc=" not in answer


def test_the_body_is_vouched_for_where_that_is_asked() -> None:
    """RFC 7616, section 3.4.3: A2 = method:uri:H(body), hashed here step by step."""
    (challenge,) = parse_challenges(['Digest realm="r", nonce="n", qop="auth-int"'])

    answer = digest_authorization(
        challenge, "u", "p", method="POST", target="/x", uses=1, cnonce="c", body=b"hello"
    )

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    ha2 = md5(f"POST:/x:{md5('hello')}")
    assert f'response="{md5(":".join((md5("u:r:p"), "n", "00000001", "c", "auth-int", ha2)))}"' in answer
    assert "qop=auth-int" in answer


def test_the_user_is_hashed_where_that_is_asked() -> None:
    """RFC 7616, section 3.9.2, as erratum 4897 corrects it."""
    (challenge,) = parse_challenges(
        [
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
            'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
        ]
    )

    answer = digest_authorization(
        challenge,
        "J\u00e4s\u00f8n Doe",
        "Secret, or not?",
        method="GET",
        target="/doe.json",
        uses=1,
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )

    assert 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"' in answer
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in answer
    assert "userhash=true" in answer


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        ([], "the camera offers no Basic or Digest authentication but nothing"),
        (["Negotiate"], "the camera offers no Basic or Digest authentication but negotiate"),
        (
            ['Digest nonce="x", algorithm=NEW'],
            "the camera asks in a way that is not supported: digest with algorithm=NEW",
        ),
        (
            ['Digest nonce="x", qop="other"', "NTLM"],
            "the camera asks in a way that is not supported: digest with qop=other, ntlm",
        ),
        (['Digest realm="x"'], "the camera asks in a way that is not supported: digest without a nonce"),
    ],
)
def test_what_cannot_be_answered_is_named(offered: list[str], reason: str) -> None:
    assert name_troubles(parse_challenges(offered)) == reason


@pytest.mark.parametrize("text", ["a", '"', "\\", "=", ",", " ", 'a="', "a=b ", "a/", 'Digest a="\\'])
def test_long_challenges_are_read_in_linear_time(text: str) -> None:
    def seconds(size: int) -> float:
        header = "Digest " + (text * size)[:size] + "\x00"
        started = time.thread_time()
        parse_challenges([header])
        return time.thread_time() - started

    assert min(seconds(1 << 18) for _ in range(3)) < 64 * min(seconds(1 << 14) for _ in range(5)) + 0.01


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([], None),
        (["Bearer", "Negotiate"], None),
        (['Digest nonce="x", qop="auth-int"'], "Digest "),
        (['Digest nonce="x", qop="auth-int,other"', "Basic"], "Digest "),
        (['Digest nonce="x", qop="other"', "Basic"], "Basic "),
        (['Digest nonce="x", algorithm="SHA-256"', 'Digest nonce="x", algorithm=MD5'], "Digest "),
        (['Digest nonce="x", algorithm=md5', 'Digest nonce="x", algorithm=SHA-256'], "Digest "),
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
