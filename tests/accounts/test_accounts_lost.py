"""Accounts that were there and are gone: a server that lost them is none to which nobody was added yet."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stream_server.accounts.accounts import Accounts
from stream_server.accounts.links import KEY_BYTES, LinkKey
from stream_server.accounts.marker import NAME, Marker, marker_for
from stream_server.accounts.store import Store
from stream_server.config import Config
from stream_server.errors import AccountsError
from tests.support.leaks import wait_until
from tests.support.needs import CHECKOUT
from tests.support.patience import PATIENCE_S
from tests.support.server import NO_DETECTOR, Server, run_command

CAMERAS = "/api/v1/cameras"


class Home:
    """A folder with a configuration, and in it `data`, whose accounts are a token's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.data = folder / "data"
        self.database = self.data / "accounts.db"
        self.config.write_text("cameras: {front: {source: 'push:'}}\n")
        with closing(Store.open(f"sqlite:///{self.database}")) as store:
            self.token = store.add_token("one", "admin")
        marker_for(f"sqlite:///{self.database}", self.config).set()

    def command(self, *arguments: str) -> CompletedProcess[str]:
        return run_command(*arguments, "--config", str(self.config), cwd=self.folder)

    def server(self, *more: str) -> Server:
        address = ("--set", f"auth.database=sqlite:///{self.database}")  # after the tests' own
        return Server("--config", str(self.config), *NO_DETECTOR, *address, *more, cwd=self.folder)

    def accounts(self) -> Accounts:
        """Return the accounts as a server of this folder knows them."""
        address = f"sqlite:///{self.database}"
        return Accounts(Config.load(None, auth={"database": address}), marker_for(address, self.config))

    def statuses(self, server: Server) -> tuple[int, int]:
        """Return the answers to who shows nothing, and to who shows the token."""
        return server.get(CAMERAS).status, server.get(CAMERAS, {"X-Api-Token": self.token}).status


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _take_away(home: Home) -> None:
    home.data.rename(home.folder / "away")


def _leave_an_empty_folder(home: Home) -> None:
    """Do what unmounting does."""
    _take_away(home)
    home.data.mkdir()


def _empty(home: Home) -> None:
    home.database.write_bytes(b"")


def _break(home: Home) -> None:
    home.database.write_bytes(b"no database at all " * 100)


def _cut(home: Home) -> None:
    os.truncate(home.database, 5000)


def _put_a_folder(home: Home) -> None:
    home.database.unlink()
    home.database.mkdir()


def _put_another(home: Home) -> None:
    home.database.unlink()
    Store.open(f"sqlite:///{home.database}").close()


def _leave_a_dangling_link(home: Home) -> None:
    home.database.rename(home.folder / "away.db")
    home.database.symlink_to(home.folder / "nowhere" / "accounts.db")


LOSSES = [
    _take_away, _leave_an_empty_folder, _empty, _break, _cut, _put_a_folder, _put_another,
    _leave_a_dangling_link,
]  # fmt: skip


@pytest.mark.parametrize("lose", LOSSES)
def test_lost_accounts_are_not_taken_for_none(home: Home, lose: Callable[[Home], None]) -> None:
    lose(home)
    with closing(home.accounts()) as accounts:
        with pytest.raises(AccountsError, match=r"account|users or tokens") as told:
            accounts.access  # noqa: B018
        assert "\n" not in str(told.value)
        accounts.start()
        for ask in (
            lambda: accounts.access,
            lambda: accounts.by_token(home.token),
            lambda: accounts.are_none,
        ):
            with pytest.raises(AccountsError):
                ask()


def test_server_does_not_start_without_the_accounts_it_had(home: Home) -> None:
    _leave_an_empty_folder(home)
    done = home.command("run", "--port", "0", *NO_DETECTOR)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "stream-server: there were users or tokens (auth.database), and they are gone"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("lose", [_leave_an_empty_folder, _break])
def test_running_server_lets_nobody_in_when_its_worker_is_another(
    home: Home, lose: Callable[[Home], None]
) -> None:
    with home.server() as server:
        assert home.statuses(server) == (401, 200)
        kept = home.folder / "kept"
        shutil.copytree(home.data, kept)
        lose(home)
        assert server.get(CAMERAS).status in (401, 503)
        _restart_worker(server)
        assert home.statuses(server) == (503, 503)
        assert server.get("/healthz").status == 200
        assert server.get("/readyz").status == 503
        assert "disk" in server.get(CAMERAS).text or "database" in server.get(CAMERAS).text
        shutil.rmtree(home.data)
        kept.rename(home.data)
        assert wait_until(lambda: home.statuses(server) == (401, 200))
        assert not [line for line in server.log if "Traceback" in line]


def _restart_worker(server: Server) -> None:
    old = server.web_worker
    os.kill(old, signal.SIGKILL)

    def is_another() -> bool:
        try:
            return server.web_worker != old and server.get("/healthz", timeout_s=2).status == 200
        except (OSError, ValueError):  # none is there, or none answers yet
            return False

    assert wait_until(is_another, 20)


def test_locked_database_lets_nobody_in_and_keeps_no_other_request(home: Home) -> None:
    with home.server() as server, closing(sqlite3.connect(home.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert home.statuses(server) == (401, 200)  # what was known holds
        _restart_worker(server)
        assert wait_until(lambda: home.statuses(server) == (503, 503))
        other.execute("ROLLBACK")
        assert wait_until(lambda: home.statuses(server) == (401, 200))


def test_running_server_makes_no_database_where_its_own_was(home: Home) -> None:
    with home.server() as server:
        _leave_an_empty_folder(home)
        server.wait_for_line("what was known of them holds")
        assert home.statuses(server) == (401, 200)
        assert list(home.data.iterdir()) == []


def test_somebody_may_say_that_there_are_to_be_none(home: Home) -> None:
    shutil.rmtree(home.data)
    assert home.command("user", "forget").returncode == 0
    assert "there were no users" in home.command("user", "forget").stderr
    with closing(home.accounts()) as accounts:
        assert accounts.access == "this machine"


def test_server_remembers_accounts_that_it_saw_for_the_first_time(home: Home) -> None:
    (home.folder / NAME).unlink()  # as of an earlier version
    with closing(home.accounts()) as accounts:
        assert accounts.access == "accounts"
    assert "accounts.db" in (home.folder / NAME).read_text()


def test_last_one_who_is_removed_leaves_the_server_open_and_is_told_so(home: Home) -> None:
    with home.server() as server:
        done = home.command("token", "revoke", "one")
        assert done.stderr == "Revoked one.\nNobody is left: a server on 127.0.0.1 asks no one from now on.\n"
        assert not (home.folder / NAME).exists()
        assert wait_until(lambda: server.get(CAMERAS).status == 200)


def test_token_without_a_user_is_told_of(home: Home) -> None:
    done = home.command("token", "add", "two")
    assert done.stdout.startswith("sst_")
    assert done.stderr.splitlines()[1:] == [
        "There is no user who could log in on the pages: `stream-server user add NAME` adds one."
    ]
    with home.server() as server:
        page = server.get("/login", {"Accept": "text/html"}).text
        assert "No user was added yet, so nobody can log in" in page
        assert "stream-server user add NAME" in page


def test_server_that_asks_always_does_not_start_for_nobody(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("auth: {open: false}\ncameras: {front: {source: 'push:'}}\n")
    done = run_command("run", "--port", "0", *NO_DETECTOR, "--config", str(config))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("stream-server: auth.open: is false, and no user was added yet; add one")


# The mark.


@pytest.fixture
def marker(tmp_path: Path) -> Marker:
    return Marker(tmp_path, "postgresql://me:C0-secret@db/name?sslmode=require")


def test_mark_is_set_and_cleared(marker: Marker, tmp_path: Path) -> None:
    other = Marker(tmp_path, f"sqlite:///{tmp_path}/data/accounts.db")
    assert not marker.is_set
    for _ in range(2):
        marker.set()
        other.set()
    text = marker.path.read_text()
    assert text.splitlines()[1:] == ["postgresql://db/name", "sqlite:///data/accounts.db"]
    marker.clear()
    assert (marker.is_set, other.is_set) == (False, True)
    other.clear()
    assert not marker.path.exists()
    other.clear()


def test_processes_that_mark_at_once_lose_no_mark(tmp_path: Path) -> None:
    mark = (
        "import sys; from pathlib import Path; from stream_server.accounts.marker import Marker\n"
        "for number in range(200):\n"
        "    Marker(Path(sys.argv[1]), f'db://{sys.argv[2]}/{number}').set()\n"
        "    if number % 2: Marker(Path(sys.argv[1]), f'db://{sys.argv[2]}/{number}').clear()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", mark, str(tmp_path), name], cwd=CHECKOUT) for name in "abc"
    ]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0, 0]
    lines = [line for line in (tmp_path / NAME).read_text().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(f"db://{name}/{number}" for name in "abc" for number in range(0, 200, 2))


@pytest.mark.parametrize("spoil", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe\n")])
def test_mark_that_cannot_be_read_is_not_taken_for_none(
    marker: Marker, spoil: Callable[[Path], object]
) -> None:
    spoil(marker.path)
    for use in (lambda: marker.is_set, marker.set, marker.clear):
        with pytest.raises(AccountsError, match=rf"{NAME}: cannot be used"):
            use()


@pytest.mark.parametrize("were_known", [True, False])
def test_mark_that_cannot_be_read_changes_nothing_and_opens_nothing(tmp_path: Path, were_known: bool) -> None:
    address = f"sqlite:///{tmp_path}/data/accounts.db"
    config = Config.load(None, auth={"database": address})
    marker = Marker(tmp_path, address)
    with closing(Accounts(config, marker)) as accounts:
        if were_known:
            assert accounts.access == "this machine"
        marker.path.mkdir()
        with pytest.raises(AccountsError):
            accounts.refresh()
        if were_known:
            assert accounts.access == "this machine"
        else:
            with pytest.raises(AccountsError):
                accounts.access  # noqa: B018


def test_mark_that_cannot_be_written_is_remembered(tmp_path: Path) -> None:
    marker = Marker(tmp_path / "none", "sqlite:////x/accounts.db")
    with pytest.raises(AccountsError, match="No such file"):
        marker.set()
    assert marker.is_set


@pytest.mark.parametrize(
    ("database", "config_file", "folder"),
    [
        ("sqlite:////srv/cams/data/accounts.db", None, "/srv/cams"),
        ("sqlite:////srv/cams/data/accounts.db", Path("/etc/cams.yaml"), "/etc"),
        ("postgresql://db/name", Path("/etc/cams.yaml"), "/etc"),
        ("postgresql://db/name", None, os.getcwd()),
    ],
)
def test_mark_is_outside_the_folder_of_the_accounts(
    database: str, config_file: Path | None, folder: str
) -> None:
    assert marker_for(database, config_file).path == Path(folder) / NAME


# The key of links.


@pytest.mark.parametrize("content", [b"", b"k", b"k" * (KEY_BYTES - 1), b"k" * (KEY_BYTES + 1)])
def test_key_that_was_cut_signs_nothing_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "links.key"
    file.write_bytes(content)
    key = LinkKey(file)
    assert key.find() is None
    made = key.make()
    assert (len(made), key.find()) == (KEY_BYTES, made)
