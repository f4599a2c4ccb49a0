"""Admission: who a peer is, by what it says of itself, and what it may do."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import trio

from gateway.accounts.account import Account
from gateway.accounts.identity import Credentials, Decision, Identity, Refusal
from gateway.runtime.deadlines import Deadline
from gateway.runtime.logs import shown
from gateway.settings.credential_forms import is_user_key
from gateway.settings.listener import Listener
from gateway.transport.browser_login import BrowserLogin
from gateway.transport.connection import Connection

log = logging.getLogger("leafgate.admission")

# The clock of the wall may be set: it is looked at again so often, however far off the end is.
LONGEST_LOOK_SECONDS = 600.0
# Of refusals from one address so many are told within a minute; the rest are counted.
LINES_PER_MINUTE = 20


class Admission(Protocol):
    """Decides who may come in. What takes time (a password hash, a service that is asked) is awaited by the connection,
    which does not read meanwhile (`AdmissionRequest`).
    """

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        """Who a peer at this listener is before it has said anything; None where it must say who it is first."""

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """Who a peer is by what it says."""

    def renew(self, identity: Identity) -> Decision:
        """Who somebody that was admitted earlier is now, after users, permissions or accounts have changed."""


@runtime_checkable
class Voucher(Protocol):
    """An admission that takes the gateway's own word for who somebody is."""

    def vouch(self, user_name: str, credentials: Credentials) -> Decision: ...


class BoundAdmission:
    """Whoever comes is one user, whatever it says: it came where only that one can, as at a certain port."""

    def __init__(self, admission: Admission, user: str) -> None:
        self._admission = admission
        self._user = user

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        decision = self._vouch(Credentials(kind=kind, listener=listener))
        return decision if isinstance(decision, Identity) else None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return self._vouch(credentials)

    def renew(self, identity: Identity) -> Decision:
        return self._admission.renew(identity)

    def _vouch(self, credentials: Credentials) -> Decision:
        if not isinstance(self._admission, Voucher):
            return Refusal("there are no users")
        return self._admission.vouch(self._user, credentials)


def connection_type(protocol: str, connection: Connection) -> str:
    """How a peer that speaks a protocol has come: one of gateway.settings.security.ConnectionType."""
    listener = connection.listener
    if listener is None or listener.protocol != "websocket":
        return protocol
    return "websocket" if protocol == "nats" else f"{protocol}-websocket"


def with_cookies(credentials: Credentials, login: BrowserLogin | None) -> Credentials:
    """What a peer says, and what its cookies say where it says nothing."""
    if login is None or credentials.proves is not None:
        return credentials
    return replace(
        credentials,
        user=credentials.user or login.user,
        password=credentials.password or login.password.encode(),
        token=credentials.token or login.token,
        jwt=credentials.jwt or login.jwt,
    )


class AdmissionRequest:
    """One peer's way in, and how long it may stay. Nothing that it says behind its credentials is acted on before it is
    decided who it is: while that takes time, it is in `held`, which is None otherwise.
    """

    __slots__ = ("_connection", "_expiry", "admission", "held")

    def __init__(self, connection: Connection, admission: Admission) -> None:
        self._connection = connection
        self._expiry: Deadline | None = None
        self.admission = admission
        self.held: list[object] | None = None

    def ask(self, credentials: Credentials, act: Callable[[Decision, list[object]], None]) -> None:
        """Act on the decision and on what was held, now or when the decision is there."""
        self.held = []
        credentials = with_cookies(credentials, self._connection.browser_login)

        def decided(decision: Decision) -> None:
            held, self.held = self.held or [], None
            if isinstance(decision, Refusal):
                named = credentials.user if credentials.user != credentials.token else ""
                # Who sends the seed in its place shall not find it in the log.
                public = credentials.nkey if is_user_key(credentials.nkey) else ""
                self.report(decision.reason, named or public)
            act(decision, held)

        decision = self.admission.admit(credentials)
        if isinstance(decision, Identity | Refusal):
            decided(decision)
        else:
            self._connection.wait_for(decision, decided)

    def report(self, reason: str, user: str = "") -> None:
        """Say in the log why somebody was not let in."""
        connection = self._connection
        text = "cid=%d event=refused kind=%s peer=%s:%d user=%s reason=%r"
        name = shown(user.encode("utf-8", "replace"))
        arguments = (connection.cid, connection.session.kind, *connection.address, name, reason)
        key = ("refused", connection.address[0])
        repeats = connection.runtime.repeats
        repeats.log(log, logging.WARNING, key, text, *arguments, allowance=LINES_PER_MINUTE)

    def expire(self, identity: Identity, act: Callable[[], None]) -> None:
        """Act once the identity has expired, in place of what was to be done for the one before."""
        self.end()
        if not identity.expires:
            return
        deadlines = self._connection.runtime.deadlines

        def look(now: float) -> None:
            left = identity.expires - time.time()
            if left <= 0:
                act()
            else:
                self._expiry = deadlines.call_at(now + min(left, LONGEST_LOOK_SECONDS), look)

        # Never at once: whoever is in the middle of coming in shall be in before it has to leave.
        self._expiry = deadlines.call_at(trio.current_time(), look)

    def end(self) -> None:
        """The peer has gone, or is somebody else."""
        self._connection.runtime.deadlines.cancel(self._expiry)
        self._expiry = None


class OpenAdmission:
    """Everybody is anonymous, in the one account."""

    def __init__(self, account: Account) -> None:
        self._everybody = Identity(account)

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        return self._everybody

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return self._everybody

    def renew(self, identity: Identity) -> Decision:
        return self._everybody
