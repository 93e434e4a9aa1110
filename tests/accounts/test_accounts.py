"""Users, tokens and sessions: how they are kept, what they grant, and how often a password may be tried."""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner, Result

import stream_server.jobs.tables  # noqa: F401 - in the same database
from stream_server.accounts import passwords
from stream_server.accounts.accounts import Accounts, TooManyTries, is_loopback
from stream_server.accounts.grants import OPEN, Grant
from stream_server.accounts.rate_limit import MAX_KEYS, Tries
from stream_server.accounts.snapshot import EMPTY
from stream_server.accounts.store import Store
from stream_server.cli import command
from stream_server.config import Config
from stream_server.database.base import Base
from stream_server.database.connection import open_database
from stream_server.errors import AccountsError, ConfigError
from tests.support.leaks import wait_until
from tests.support.patience import cheaply

PASSWORD = "correct horse"
QUICK = "scrypt:1024:8:1"
"""What hashes passwords in tests that are about something else."""
ENDS_TIMEOUT_S = 20.0


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/accounts.db"


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with closing(Store.open(address, QUICK)) as store:
        yield store


def accounts_at(address: str | None, host: str = "127.0.0.1", *, is_open: bool | None = None) -> Accounts:
    auth = {"database": address, "open": is_open}
    return Accounts(Config.load(None, auth=auth, server={"host": host}))


@pytest.fixture
def accounts(address: str) -> Iterator[Accounts]:
    with closing(accounts_at(address)) as accounts:
        accounts.start()
        yield accounts


# The database.


def test_database_is_for_its_owner_alone(store: Store, tmp_path: Path) -> None:
    store.add_token("one")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["accounts.db"]
    assert (tmp_path / "data" / "accounts.db").stat().st_mode & 0o777 == 0o600


def test_database_that_others_could_read_is_taken_away_from_them(address: str, tmp_path: Path) -> None:
    Store.open(address).close()
    file = tmp_path / "data" / "accounts.db"
    file.chmod(0o644)
    Store.open(address).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_is_made_where_nobody_was_added(address: str, tmp_path: Path) -> None:
    assert Store.find(address) is None
    with closing(accounts_at(address)) as accounts:
        accounts.start()
        assert accounts.are_none
    assert list(tmp_path.iterdir()) == []


def test_migrations_make_the_tables_that_the_program_uses(address: str) -> None:
    engine = open_database(address, create=True)
    assert engine is not None
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    assert open_database(address, create=False) is not None


def test_database_of_a_later_version_is_refused(address: str, tmp_path: Path) -> None:
    Store.open(address).close()
    with closing(sqlite3.connect(tmp_path / "data" / "accounts.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(AccountsError, match="of another version"):
        Store.open(address)


def test_file_that_is_no_database_is_refused(address: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "accounts.db").write_text("not a database, but a text of some length\n" * 9)
    with pytest.raises(AccountsError, match="file is not a database"):
        Store.find(address)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "expected the URL of a database"),
        ("accounts.db", "expected the URL of a database"),
        ("sqlite://", "expected a file"),
        ("sqlite:///:memory:", "expected a file"),
        ("nope://x", "SQLAlchemy knows no database 'nope'"),
    ],
)
def test_address_of_no_database_is_refused(written: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^auth\.database: {message}"):
        open_database(written, create=True)


def test_what_is_secret_is_not_in_the_file(store: Store, tmp_path: Path) -> None:
    store.add_user("anna", PASSWORD)
    secrets = [PASSWORD, store.add_token("one"), store.open_session("anna", 60)]
    kept = (tmp_path / "data" / "accounts.db").read_bytes()
    assert b"anna" in kept
    assert not [secret for secret in secrets if secret.encode() in kept]
    assert b"scrypt:1024:8:1$" in kept


def test_passwords_are_hashed_as_slowly_as_they_should_be() -> None:
    assert passwords.hash_password(PASSWORD).startswith("scrypt:32768:8:3$")


# Passwords and tokens.


@pytest.mark.parametrize(
    ("password", "kept", "is_right"),
    [
        ("", None, False),
        (PASSWORD, None, False),
        (PASSWORD, passwords.hash_password(PASSWORD, QUICK), True),
        ("Correct horse", passwords.hash_password(PASSWORD, QUICK), False),
        (kept := passwords.hash_password(PASSWORD, QUICK), kept, False),
        ("pässwörd 🐴", passwords.hash_password("pässwörd 🐴", QUICK), True),
    ],
)
def test_password_is_compared(password: str, kept: str | None, is_right: bool) -> None:
    assert passwords.is_password(password, kept) is is_right


@pytest.mark.slow
def test_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    kept = passwords.hash_password(PASSWORD)
    spent: dict[str | None, list[float]] = {kept: [], None: []}
    for _ in range(3):
        for which, seconds in spent.items():
            began = time.process_time()
            passwords.is_password("wrong", which)
            seconds.append(time.process_time() - began)
    assert statistics.median(spent[None]) == pytest.approx(statistics.median(spent[kept]), rel=0.2)


def test_tokens_are_long_random_and_say_what_they_are() -> None:
    tokens = {passwords.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("sst_") and len(token) == 47 for token in tokens)


# What they grant.


def test_nothing_is_known_before_anybody_was_added(accounts: Accounts) -> None:
    assert accounts.are_none
    assert accounts.access == "this machine"
    assert accounts.by_token("") is None
    assert accounts.by_session("") is None
    assert accounts.by_password("", "", "127.0.0.1") is None


@pytest.mark.parametrize(
    ("host", "is_open", "before", "after"),
    [
        ("127.0.0.1", None, "this machine", "accounts"),
        ("localhost", None, "this machine", "accounts"),
        ("::1", None, "this machine", "accounts"),
        ("127.0.0.1", False, "accounts", "accounts"),
        ("0.0.0.0", None, "accounts", "accounts"),
        ("::", None, "accounts", "accounts"),
        ("192.168.1.20", None, "accounts", "accounts"),
        ("127.0.0.1", True, "everyone", "everyone"),
        ("0.0.0.0", True, "everyone", "everyone"),
    ],
)
def test_who_gets_in(address: str, host: str, is_open: bool | None, before: str, after: str) -> None:
    with (
        closing(accounts_at(address, host, is_open=is_open)) as accounts,
        closing(Store.open(address)) as store,
    ):
        assert accounts.access == before
        token = store.add_token("one")
        accounts.refresh()
        assert accounts.access == after
        assert accounts.by_token(token)


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1.example", "10.0.0.1", "localhost.example", "::ffff:10.0.0.1"]
)
def test_other_addresses_are_no_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_token_grants_what_it_was_made_for(accounts: Accounts, store: Store) -> None:
    tokens = store.add_token("root", "admin"), store.add_token("front", cameras=frozenset({"front"}))
    accounts.refresh()
    everything, one_camera = map(accounts.by_token, tokens)
    assert (everything, one_camera) == (
        Grant("token:1", "root", "admin"),
        Grant("token:2", "front", "viewer", frozenset({"front"})),
    )
    assert one_camera is not None
    assert one_camera.may_see("front")
    assert not one_camera.may_see("back")


def test_token_of_a_moment_ago_is_known_and_a_revoked_one_is_not(accounts: Accounts, store: Store) -> None:
    token = store.add_token("one")
    assert wait_until(lambda: accounts.by_token(token) is not None)
    store.revoke_token("one")
    assert wait_until(lambda: accounts.by_token(token) is None)
    with pytest.raises(AccountsError, match="there is no token 'one'"):
        store.revoke_token("one")
    assert store.add_token("one") != token  # the name is free again


def test_token_expires(accounts: Accounts, store: Store) -> None:
    token = store.add_token("one", expires_at=time.time() + 0.3)
    assert wait_until(lambda: accounts.by_token(token) is not None)
    assert wait_until(lambda: accounts.by_token(token) is None)
    assert accounts.are_none
    assert accounts.access == "accounts"  # the end of a token lets nobody in


@pytest.mark.parametrize("shown", ["", "hash", "sst_", "uid=admin", "admin", "sst_ä\ud800"])
def test_what_is_no_token_grants_nothing(accounts: Accounts, store: Store, shown: str) -> None:
    token = store.add_token("one", "admin")
    accounts.refresh()
    shown = passwords.hash_token(token) if shown == "hash" else shown
    assert accounts.by_token(shown) is None
    assert accounts.by_session(token) is None


def test_session_is_its_users_and_no_token(accounts: Accounts, store: Store) -> None:
    store.add_user("anna", PASSWORD, "viewer", frozenset({"front"}))
    accounts.refresh()
    secret = accounts.open_session("anna")
    grant = accounts.by_session(secret)
    assert grant is not None
    assert (grant.name, grant.role, grant.cameras) == ("anna", "viewer", frozenset({"front"}))
    assert grant.expires_at == pytest.approx(time.time() + 168 * 3600, abs=10)
    assert accounts.by_token(secret) is None
    accounts.close_session(secret)
    assert accounts.by_session(secret) is None


@pytest.mark.parametrize("end", ["password", "user"])
def test_sessions_end_with_the_password_and_the_user(accounts: Accounts, store: Store, end: str) -> None:
    store.add_user("anna", PASSWORD)
    accounts.refresh()
    secret = accounts.open_session("anna")
    store.set_password("anna", "another one") if end == "password" else store.remove_user("anna")
    accounts.refresh()
    assert accounts.by_session(secret) is None


def test_old_sessions_are_forgotten(store: Store, tmp_path: Path) -> None:
    store.add_user("anna", PASSWORD)
    for _ in range(3):
        store.open_session("anna", lifetime_s=-1)
    store.open_session("anna", 60)
    with closing(sqlite3.connect(tmp_path / "data" / "accounts.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_right_password_is_computed_once(
    accounts: Accounts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_user("anna", PASSWORD)
    computed: list[str] = []

    def is_password(password: str, kept: str | None) -> bool:
        computed.append(password)
        return password == PASSWORD and kept is not None

    monkeypatch.setattr(passwords, "is_password", is_password)
    for _ in range(10):
        assert accounts.by_password("anna", PASSWORD, "10.0.0.1")
    assert computed == [PASSWORD]
    store.set_password("anna", "another one")
    accounts.refresh()
    accounts.by_password("anna", PASSWORD, "10.0.0.2")
    assert computed == [PASSWORD] * 2


def test_when_a_token_was_used_is_written_down(accounts: Accounts, store: Store) -> None:
    token = store.add_token("one")
    accounts.refresh()
    assert store.tokens()[0].used_at is None
    accounts.by_token(token)
    assert wait_until(lambda: store.tokens()[0].used_at is not None)
    assert store.tokens()[0].used_at == pytest.approx(time.time(), abs=5)
    assert accounts.by_token(token)


def test_server_goes_on_with_what_it_knows_while_the_database_is_gone(
    accounts: Accounts, store: Store, tmp_path: Path
) -> None:
    token = store.add_token("one")
    accounts.refresh()
    file = tmp_path / "data" / "accounts.db"
    file.rename(file.with_suffix(".away"))
    assert accounts.access == "accounts"
    assert accounts.by_token(token)
    with pytest.raises(AccountsError):
        accounts.refresh()
    file.unlink(missing_ok=True)
    file.with_suffix(".away").rename(file)
    accounts.refresh()
    assert accounts.by_token(token)


# Leases.


def test_lease_is_over_soon_after_its_token(accounts: Accounts, store: Store) -> None:
    tokens = {name: store.add_token(name) for name in ("kept", "revoked")}
    tokens["expired"] = store.add_token("expired", expires_at=time.time() + 1.5)
    accounts.refresh()
    grants = {name: accounts.by_token(token) for name, token in tokens.items()}
    leases = {
        name: accounts.hold(replace(grant, methods=frozenset({"GET"})))
        for name, grant in grants.items()
        if grant
    }
    store.revoke_token("revoked")
    for name in ("revoked", "expired"):
        assert wait_until(lambda name=name: leases[name].is_over, ENDS_TIMEOUT_S), name
    assert not leases["kept"].is_over


def test_what_was_open_ends_when_somebody_was_added(accounts: Accounts, store: Store) -> None:
    lease = accounts.hold(OPEN)
    assert not wait_until(lambda: lease.is_over, 1.5)
    store.add_user("anna", PASSWORD)
    assert wait_until(lambda: lease.is_over, ENDS_TIMEOUT_S)


def test_lease_ends_by_the_clock_while_the_database_is_gone(
    accounts: Accounts, store: Store, tmp_path: Path
) -> None:
    token = store.add_token("one", expires_at=time.time() + 0.5)
    accounts.refresh()
    grant = accounts.by_token(token)
    assert grant
    lease = accounts.hold(grant)
    (tmp_path / "data" / "accounts.db").write_text("broken")
    assert wait_until(lambda: lease.is_over, ENDS_TIMEOUT_S)


def test_nothing_current_in_nothing() -> None:
    assert EMPTY.by_key == {}
    assert EMPTY.is_empty


# Tries.


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_first_try_may_be_made() -> None:
    assert not isinstance(Tries().begin("", ""), float)


def test_tries_are_one_a_second_five_a_minute_twenty_an_hour() -> None:
    tries, clock = Tries(clock := Clock()), clock
    made = []
    for second in range(4 * 3600):
        clock.now = 1000.0 + second / 2
        if not isinstance(tries.begin("anna", "10.0.0.1"), float):
            made.append(second / 2)
    assert made[:7] == [0, 1, 2, 3, 4, 60, 61]
    assert len([at for at in made if at < 3600]) == 20
    assert min(later - at for at, later in zip(made, made[20:], strict=False)) >= 3600


def test_waiting_as_long_as_told_is_enough() -> None:
    tries = Tries(clock := Clock())
    for _ in range(20):
        while isinstance(wait_s := tries.begin("anna", "10.0.0.1"), float):
            clock.now += wait_s
    wait_s = tries.begin("anna", "10.0.0.1")
    assert isinstance(wait_s, float)
    clock.now += wait_s
    assert not isinstance(tries.begin("anna", "10.0.0.1"), float)


def test_right_try_counts_for_nothing() -> None:
    tries = Tries(Clock())
    for _ in range(100):
        made = tries.begin("anna", "10.0.0.1")
        assert not isinstance(made, float)
        tries.forgive(made)


@pytest.mark.parametrize(
    ("account", "address", "may_try"),
    [
        ("anna", "10.0.0.1", False),
        ("anna", "10.0.0.2", True),
        ("bert", "10.0.0.1", True),
        ("anna", "2001:db8::1", True),
    ],
)
def test_other_accounts_and_addresses_have_tries_of_their_own(
    account: str, address: str, may_try: bool
) -> None:
    tries = Tries(Clock())
    tries.begin("anna", "10.0.0.1")
    assert isinstance(tries.begin(account, address), float) is not may_try


def test_one_address_cannot_go_through_all_accounts() -> None:
    tries = Tries(clock := Clock())
    made = 0
    for number in range(7200):
        clock.now += 0.5
        made += not isinstance(tries.begin(f"user{number}", "10.0.0.1"), float)
    assert made == 100


def test_account_is_slowed_down_for_strangers_and_never_for_its_owner() -> None:
    tries = Tries(clock := Clock())
    right = tries.begin("anna", "192.168.1.5")
    assert not isinstance(right, float)
    tries.forgive(right)
    made = 0
    for number in range(3600):
        clock.now += 1
        made += not isinstance(tries.begin("anna", f"10.1.{number // 256}.{number % 256}"), float)
    assert made == 100
    assert isinstance(tries.begin("anna", "10.9.9.9"), float)
    assert not isinstance(tries.begin("bert", "10.9.9.9"), float)
    for owners in ("192.168.1.5", "127.0.0.1"):
        assert not isinstance(tries.begin("anna", owners), float)


def test_strangers_at_once_get_no_further_than_one_after_the_other() -> None:
    tries = Tries(Clock())
    made = [tries.begin("anna", f"10.1.0.{number}") for number in range(200)]
    assert sum(not isinstance(one, float) for one in made) == 5


def test_memory_of_owners_is_bounded() -> None:
    tries = Tries(clock := Clock())
    for number in range(MAX_KEYS + 10):
        clock.now += 10
        made = tries.begin(f"user{number}", f"10.0.{number // 256}.{number % 256}")
        assert not isinstance(made, float)
        tries.forgive(made)
    assert len(tries._known) == MAX_KEYS
    assert not tries._made


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    tries = Tries(Clock())
    tries.begin("anna", "2001:db8:1:2::1")
    assert isinstance(tries.begin("anna", "2001:db8:1:2:3::4"), float)
    assert not isinstance(tries.begin("anna", "2001:db8:1:3::1"), float)


def test_memory_of_tries_is_bounded() -> None:
    tries = Tries(clock := Clock())
    for number in range(MAX_KEYS):
        clock.now += 10
        tries.begin(f"user{number}" * 100, f"10.0.{number // 256}.{number % 256}")
    assert len(tries._made) == MAX_KEYS
    assert all(len(part) <= 64 for key in tries._made for part in key)


def test_wrong_names_and_wrong_passwords_are_refused_alike(accounts: Accounts, store: Store) -> None:
    store.add_user("anna", PASSWORD)
    accounts._tries = Tries(Clock())  # however long it takes to look at a password
    for name in ("anna", "nobody"):
        assert accounts.by_password(name, "wrong", "10.0.0.1") is None
        with pytest.raises(TooManyTries) as refusal:
            _try_in_a_row(accounts, name, 3)
        assert str(refusal.value) == "too many wrong names or passwords; wait a while"
        assert 0 < refusal.value.wait_s <= 60
    with pytest.raises(TooManyTries):
        accounts.by_password("anna", PASSWORD, "10.0.0.1")
    assert accounts.by_password("anna", PASSWORD, "10.0.0.2")


def _try_in_a_row(accounts: Accounts, name: str, times: int) -> None:
    for _ in range(times):
        accounts.by_password(name, "wrong", "10.0.0.1")


def test_many_who_know_the_password_come_in_at_once(accounts: Accounts, store: Store) -> None:
    store.add_user("anna", PASSWORD)
    accounts.refresh()
    found: list[Grant | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(accounts.by_password("anna", PASSWORD, "10.0.0.1")))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 12
    assert all(found)


def test_a_book_as_password_costs_nothing(accounts: Accounts, store: Store) -> None:
    store.add_user("anna", PASSWORD)
    with cheaply(0.1):
        for _ in range(10):
            assert accounts.by_password("anna", "x" * 2000, "10.0.0.1") is None


# The command line.


def run(tmp_path: Path, *arguments: str, stdin: str | None = None) -> Result:
    database = ("--set", f"auth.database=sqlite:///{tmp_path}/data/accounts.db")
    result = CliRunner().invoke(command, [*arguments, *database], input=stdin, prog_name="stream-server")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def add_user(tmp_path: Path, name: str, *arguments: str, password: str = PASSWORD) -> Result:
    return run(tmp_path, "user", "add", name, "--password-file", "-", *arguments, stdin=f"{password}\nmore\n")


def test_users_are_added_listed_changed_and_removed(tmp_path: Path) -> None:
    assert add_user(tmp_path, "anna").stderr == "Added admin anna.\n"
    assert (
        add_user(tmp_path, "bert", "--role", "viewer", "--camera", "front", "--camera", "back").exit_code == 0
    )
    listed = json.loads(run(tmp_path, "user", "list", "--json").stdout)
    assert [(user["name"], user["role"], user["cameras"]) for user in listed] == [
        ("anna", "admin", None),
        ("bert", "viewer", ["back", "front"]),
    ]
    assert listed[0]["created"].endswith("+00:00")
    lines = run(tmp_path, "user", "list").stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["NAME", "ROLE", "CAMERAS"],
        ["anna", "admin", "all"],
        ["bert", "viewer", "back,front"],
    ]
    file = tmp_path / "password"
    file.write_text("another one\n")
    assert run(tmp_path, "user", "passwd", "bert", "--password-file", str(file)).exit_code == 0
    assert run(tmp_path, "user", "remove", "anna").exit_code == 0
    assert "anna" not in run(tmp_path, "user", "list").stdout


def test_token_is_printed_alone_and_once(tmp_path: Path) -> None:
    added = run(tmp_path, "token", "add", "ha", "--camera", "front", "--expires", "90d")
    assert added.stdout.startswith("sst_")
    assert added.stdout.count("\n") == 1
    assert added.stderr.startswith("Added viewer token ha; it is shown this once:\n")
    (listed,) = json.loads(run(tmp_path, "token", "list", "--json").stdout)
    assert (listed["name"], listed["cameras"], listed["used"], listed["state"]) == (
        "ha",
        ["front"],
        None,
        "valid",
    )
    assert added.stdout.strip() not in run(tmp_path, "token", "list", "--json").output
    assert run(tmp_path, "token", "revoke", "ha").exit_code == 0
    assert run(tmp_path, "token", "list").stdout.splitlines()[1].endswith("never  revoked")
    assert run(tmp_path, "token", "add", "ha").exit_code == 0


@pytest.fixture(scope="module")
def with_anna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database holds one user."""
    folder = tmp_path_factory.mktemp("anna")
    assert add_user(folder, "anna").exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user", "add", ""], "got the name '', expected letters, digits and . _ @ -, 64 at most"),
        (["user", "add", "a b"], "got the name 'a b', expected letters"),
        (["user", "add", "anna"], "there is a user 'anna' already; `passwd` changes the password"),
        (
            ["user", "add", "bert"],
            "there is no terminal to ask for the password; give it with --password-file",
        ),
        (
            ["user", "add", "bert", "--password-file", "/none"],
            "--password-file /none: cannot be read: No such",
        ),
        (
            ["user", "add", "bert", "--password-file", "/dev/null"],
            "the password has 0 characters, expected 8 to",
        ),
        (["user", "passwd", "bert"], "there is no user 'bert'; `list` shows those there are"),
        (["user", "remove", "bert"], "there is no user 'bert'; `list` shows those there are"),
        (["token", "revoke", "one"], "there is no token 'one'; `list` shows those there are"),
        (
            ["token", "add", "t", "--expires", "soon"],
            "--expires soon: expected e.g. 12h, 90d, 4w or 2030-12-31",
        ),
        (["token", "add", "t", "--expires", "2001-01-01"], "--expires 2001-01-01: that day is over"),
        (
            ["token", "add", "t", "--camera", "nope", "--set", "cameras.front.source=demo:"],
            "--camera nope: there is no such camera; expected one of front",
        ),
        (["token", "list", "--set", "auth.opne=1"], "auth.opne: unknown key; did you mean open?"),
    ],
)
def test_mistake_is_told_in_one_line(
    tmp_path: Path, with_anna: Path, arguments: list[str], message: str
) -> None:
    shutil.copytree(with_anna, tmp_path, dirs_exist_ok=True)
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"stream-server: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("user", "list"), ("token", "list"), ("user", "remove", "x")])
def test_looking_makes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("stream-server: nobody was added yet in ")
    assert list(tmp_path.iterdir()) == []


def test_password_of_the_database_is_shown_nowhere(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["user", "list", "--set", "auth.database=nope://u:C0-secret@h/x"])
    assert result.exit_code == 2
    assert "C0-secret" not in result.output


@pytest.mark.slow
def test_database_is_made_once_whoever_is_first(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/accounts.db"
    make = (
        f"from stream_server.database import connection; connection.open_database({address!r}, create=True)"
    )
    others = [subprocess.Popen([sys.executable, "-c", make]) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        for made in [threads.submit(open_database, address, create=True) for _ in range(4)]:
            engine = made.result(30)
            assert engine
            engine.dispose()
    assert [other.wait(30) for other in others] == [0, 0]
