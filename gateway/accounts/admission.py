"""Admission: who a peer is, by what it says of itself, and what it may do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.accounts.account import Account
from gateway.transport.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a peer says of itself. `kind` is its protocol, such as `nats`; what it did not say is empty.

    `client_id` is MQTT's, `address` the peer's host.
    """

    kind: str
    user: str = ""
    password: bytes = b""
    token: str = ""
    client_id: bytes = b""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who was admitted: a user of an account. `user` is empty for somebody anonymous."""

    account: Account
    user: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody was admitted, in words for the log; the peer hears only that it was not."""

    reason: str


Decision: TypeAlias = Identity | Refusal


class Admission(Protocol):
    """Decides who may come in. What takes time (a password hash, a service that is asked) is awaited by the connection,
    which does not read meanwhile (`AdmissionRequest`).
    """

    def anonymous(self, kind: str) -> Identity | None:
        """Who a peer is before it has said anything; None where it must say who it is first."""

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """Who a peer is by what it says."""


class AdmissionRequest:
    """One peer's way in. Nothing that it says behind its credentials is acted on before it is decided who it is: while
    that takes time, it is in `held`, which is None otherwise.
    """

    __slots__ = ("_connection", "admission", "held")

    def __init__(self, connection: Connection, admission: Admission) -> None:
        self._connection = connection
        self.admission = admission
        self.held: list[object] | None = None

    def ask(self, credentials: Credentials, act: Callable[[Decision, list[object]], None]) -> None:
        """Act on the decision and on what was held, now or when the decision is there."""
        self.held = []

        def decided(decision: Decision) -> None:
            held, self.held = self.held or [], None
            act(decision, held)

        decision = self.admission.admit(credentials)
        if isinstance(decision, Identity | Refusal):
            decided(decision)
        else:
            self._connection.wait_for(decision, decided)


class OpenAdmission:
    """Everybody is anonymous, in the one account."""

    def __init__(self, account: Account) -> None:
        self._everybody = Identity(account)

    def anonymous(self, kind: str) -> Identity | None:
        return self._everybody

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return self._everybody
