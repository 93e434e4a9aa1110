"""Who asks: what tokens, sessions and passwords grant in a running server, and when that ends."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from stream_server.accounts import links, passwords
from stream_server.accounts.grants import OPEN, Access, Grant, Lease, Link, LinkKind
from stream_server.accounts.rate_limit import Tries
from stream_server.accounts.snapshot import EMPTY, Snapshot
from stream_server.database.address import is_absent
from stream_server.errors import AccountsError

if TYPE_CHECKING:
    from stream_server.accounts.marker import Marker
    from stream_server.accounts.store import Store
    from stream_server.config import Config

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0
"""How often it is looked whether something was changed, or a grant in use has ended."""
NOTE_USE_EVERY_S = 60.0
REMEMBER_S = 300.0
"""A password found right is not computed again for so long: programs send it with each request."""
MAX_REMEMBERED = 1000
CHECK_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
LOST = (
    "there were users or tokens (auth.database), and they are gone: is their disk mounted? Nobody gets in "
    "until they are back, or `stream-server user forget` says that there are to be none"
)
NOT_READ = "the accounts cannot be read; nobody gets in until they can"


class TooManyTries(AccountsError):
    """Too many wrong passwords, or too many to be looked at now."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many wrong names or passwords; wait a while")
        self.wait_s = wait_s


class Accounts:
    """The accounts as a server knows them. Any thread may call anything.

    All accounts are held in memory, and read again when the database's count of changes is another: asking
    who a token belongs to costs no query. There may be no database, as long as nobody was added.

    While the accounts are not known, or were lost, all that asks about them raises AccountsError.
    """

    def __init__(self, config: Config, marker: Marker | None = None) -> None:
        """Prepare; the database is opened when first needed, `start` keeps what is known up to date.

        marker: says whether there ever were accounts; None: a database without any is believed.
        """
        self._auth = config.auth
        self._marker = marker
        self._is_local = is_loopback(config.server.host)
        self._reading = threading.Lock()  # guards the three below
        self._store: Store | None = None
        self._known: Snapshot | None = None
        self._trouble = ""  # why it is not known what there is now
        self._noted: dict[int, float] = {}
        self._used: dict[int, float] = {}
        self._checking = threading.Lock()  # one password at a time: each takes 32 MiB and a core
        self._tries = Tries()
        self._right: dict[bytes, float] = {}
        self._secret = os.urandom(32)
        database = config.auth.database
        self._link_key = links.key_beside(database.get_secret_value()) if database else None
        self._leasing = threading.Lock()  # guards the set
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accounts", daemon=True)

    def start(self) -> None:
        """Read the accounts, and keep looking for changes; nobody gets in until they can be read.

        Raises ConfigError.
        """
        try:
            self.refresh()
        except AccountsError as exc:
            self._stumble(str(exc))
        self._thread.start()

    def close(self) -> None:
        """Look for changes no more; may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)
        with self._reading:
            if self._store:
                self._store.close()

    @property
    def is_alive(self) -> bool:
        """Whether changes are looked for."""
        return self._thread.is_alive()

    # Who gets in.

    @property
    def are_known(self) -> bool:
        """Whether who is who is known; else nobody gets in."""
        return self._known is not None

    @property
    def access(self) -> Access:
        """Who gets in."""
        if self._auth.open:
            return "everyone"
        is_for_all_here = self._is_local and self._auth.open is None and self._snapshot().is_empty
        return "this machine" if is_for_all_here else "accounts"

    @property
    def are_none(self) -> bool:
        """Whether there is neither a user nor a token of use."""
        return self._snapshot().lets_nobody_in

    @property
    def have_users(self) -> bool:
        """Whether somebody could log in."""
        return bool(self._snapshot().users)

    def by_token(self, token: str) -> Grant | None:
        """Return what a token grants, None for one that is worthless."""
        kept = passwords.hash_token(token)
        grant = self._valid(self._snapshot().tokens.get(kept))
        if grant is None:  # it may have been added a moment ago
            if self._trouble:
                raise AccountsError(self._trouble)  # at once: a locked database keeps who asks for seconds
            self.refresh()
            grant = self._valid(self._snapshot().tokens.get(kept))
        if grant:
            self._used[int(grant.key.partition(":")[2])] = time.time()
        return grant

    def by_session(self, secret: str) -> Grant | None:
        """Return what the session with this secret grants, None where there is none any more."""
        return self._valid(self._snapshot().sessions.get(passwords.hash_token(secret)))

    def by_password(self, name: str, password: str, address: str) -> Grant | None:
        """Return what a user's password grants, None where name or password is wrong.

        address: of who asks; so many wrong ones may come from it (see `tries`).

        Raises TooManyTries, whether there is such a user or not.
        """
        if len(password) > passwords.MAX_PASSWORD_LENGTH:
            return None
        if grant := self._remembered(name, password):
            return grant
        if not self._checking.acquire(timeout=CHECK_TIMEOUT_S):
            raise TooManyTries(1.0)
        try:
            return self._remembered(name, password) or self._check(name, password, address)
        finally:
            self._checking.release()

    def _check(self, name: str, password: str, address: str) -> Grant | None:
        made = self._tries.begin(name, address)
        if isinstance(made, float):
            raise TooManyTries(made)
        self.refresh()
        grant, kept = self._snapshot().users.get(name, (None, None))
        if not passwords.is_password(password, kept) or grant is None:
            log.warning("a wrong name or password came from %s", address)
            return None
        self._tries.forgive(made)
        if len(self._right) >= MAX_REMEMBERED:
            self._right.clear()
        self._right[self._digest(name, password, kept or "")] = time.monotonic() + REMEMBER_S
        return grant

    def _remembered(self, name: str, password: str) -> Grant | None:
        """Return the grant of a user whose password was found right lately, and was not changed since."""
        user = self._snapshot().users.get(name)
        if user is None:
            return None
        is_right = self._right.get(self._digest(name, password, user[1]), 0.0) > time.monotonic()
        return user[0] if is_right else None

    def _digest(self, name: str, password: str, kept: str) -> bytes:
        """Return what is remembered of a right password: of no use elsewhere, or for another hash of it."""
        text = "\0".join((kept, name, password)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, text, hashlib.sha256)

    # Sessions.

    def open_session(self, name: str) -> str:
        """Return the secret of a new session of a user. Raises AccountsError."""
        store = self._store
        if store is None:
            raise AccountsError("there are no accounts")
        secret = store.open_session(name, self.session_s)
        self.refresh()
        return secret

    def close_session(self, secret: str) -> None:
        """End a session, if there is one with this secret."""
        if self._store and self.by_session(secret):
            self._store.close_session(secret)
            self.refresh()

    @property
    def session_s(self) -> float:
        """For how many seconds a session lasts."""
        return self._auth.session_hours * 3600

    # Links.

    @property
    def can_link(self) -> bool:
        """Whether there can be links: where there are accounts, in a file beside which their key is kept."""
        return self.access == "accounts" and self._link_key is not None

    def make_link(self, maker: Grant, kind: LinkKind, camera: str, lifetime_s: float) -> tuple[str, Link]:
        """Return a new link of `maker`, which must be able to see the camera, and its signature.

        It lasts no longer than a token does that makes it; one of a session is its user's, and outlasts it.

        Raises AccountsError.
        """
        if self._link_key is None:
            raise AccountsError("links need accounts in a file")
        expires_at = time.time() + lifetime_s
        if maker.expires_at is not None and not maker.owner:
            expires_at = min(expires_at, maker.expires_at)
        link = Link(kind, camera, int(expires_at), maker.owner or maker.key)
        return links.sign(link, self._link_key.make()), link

    def by_link(self, signature: str) -> Grant | None:
        """Return what the link with this signature grants, None for one that is worthless."""
        key = self._link_key.find() if self._link_key else None
        if key is None or len(signature) > links.MAX_LENGTH:
            return None
        link = links.read(signature, key)
        return self._valid(self._grant_of(link, key)) if link else None

    def _grant_of(self, link: Link, key: bytes) -> Grant | None:
        """Return what a link grants, part of what its maker's grant is now; expired or not."""
        maker = self._valid(self._snapshot().by_key.get(link.maker))
        if maker is None or not maker.may_see(link.camera):
            return None
        name = passwords.hash_token(links.sign(link, key))[:16]  # another one under another key
        return Grant(
            key=f"link:{name}",
            name=f"a link of {maker.name}",
            role="viewer",
            cameras=frozenset({link.camera}),
            methods=links.METHODS,
            expires_at=link.expires_at,
            link=link,
        )

    # What is in use.

    def hold(self, grant: Grant) -> Lease:
        """Return a lease of `grant`, which is over a second after the grant, as long as somebody has it."""
        lease = Lease(grant)
        with self._leasing:
            self._leases.add(lease)
        return lease

    def _end_leases(self) -> None:
        with self._leasing:
            leases = list(self._leases)
        key = None
        if self._link_key:
            with suppress(AccountsError):  # links end with their key, however it was lost
                key = self._link_key.find()
        for lease in leases:
            now = None
            with suppress(AccountsError):  # what cannot be looked at is over
                now = self._granted_now(lease.grant, key)
            # Methods are of the request alone.
            if now is None or replace(now, methods=None) != replace(lease.grant, methods=None):
                lease.is_over = True

    def _granted_now(self, grant: Grant, key: bytes | None) -> Grant | None:
        """Return what would be granted now to who was granted `grant`. key: of all links."""
        if grant.key == OPEN.key:
            return None if self.access == "accounts" else OPEN
        if grant.link:
            return self._valid(self._grant_of(grant.link, key)) if key else None
        return self._valid(self._snapshot().by_key.get(grant.key))

    # What the database says.

    def refresh(self) -> None:
        """Read the accounts again if they were changed. Raises AccountsError, ConfigError."""
        with self._reading:
            store = self._find_store()
            known = self._known
            if store is None:
                known = EMPTY
            elif known is None or known is EMPTY or store.number() != known.number:
                known = store.read()
            if known.is_empty and self._marker and self._marker.is_set:
                self._known = None
                raise AccountsError(LOST)
            if not known.is_empty and (self._known is None or self._known.is_empty):
                self._mark()
            self._known, self._trouble = known, ""

    def _mark(self) -> None:
        """Remember that there are accounts, for when they are gone."""
        try:
            if self._marker:
                self._marker.set()
        except AccountsError as exc:
            if self._is_local and self._auth.open is None:
                log.warning("%s; say `auth: {open: false}`, or lost accounts let everyone here in", exc)

    def _find_store(self) -> Store | None:
        address = self._auth.database
        if self._store is None and address is not None:
            if is_absent(address.get_secret_value()):
                return None
            from stream_server.accounts.store import Store  # noqa: PLC0415 - SQLAlchemy costs 20 MB

            self._store = Store.find(address.get_secret_value())
        return self._store

    def _snapshot(self) -> Snapshot:
        if self._known is None and not self._trouble:
            self.refresh()
        known = self._known
        if known is None:
            raise AccountsError(self._trouble)
        return known

    @staticmethod
    def _valid(grant: Grant | None) -> Grant | None:
        return None if grant is None or grant.has_expired(time.time()) else grant

    def _run(self) -> None:
        while not self._stop.wait(POLL_INTERVAL_S):
            self._look()
            self._end_leases()
        with suppress(AccountsError):
            self._note_use(at_once=True)

    def _look(self) -> None:
        """Read the accounts; where that fails, say so once, not every second."""
        try:
            self.refresh()
            self._note_use()
        except AccountsError as exc:
            self._stumble(str(exc))
        except Exception:
            log.exception("the accounts cannot be read")
            self._stumble(NOT_READ)

    def _stumble(self, trouble: str) -> None:
        if trouble != self._trouble:
            then = "nobody gets in" if self._known is None else "what was known of them holds"
            log.error("%s; %s", trouble, then)
        self._trouble = trouble

    def _note_use(self, at_once: bool = False) -> None:
        """Write down when tokens were last used: once a minute for each, for it costs a write."""
        after_s = 0.0 if at_once else NOTE_USE_EVERY_S
        used = {id: at for id, at in tuple(self._used.items()) if at > self._noted.get(id, 0.0) + after_s}
        if used and self._store:
            self._store.note_use(used)
            self._noted.update(used)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
