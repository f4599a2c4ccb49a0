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


def decide(connection: Connection, decision: Decision | Awaitable[Decision], act: Callable[[Decision], None]) -> None:
    """Act on a decision: at once, or when it is there."""
    if isinstance(decision, Identity | Refusal):
        act(decision)
    else:
        connection.wait_for(decision, act)


class Admission(Protocol):
    """Decides who may come in. What takes time (a password hash, a service that is asked) is awaited by the connection,
    which does not read meanwhile (`decide`).
    """

    def anonymous(self, kind: str) -> Identity | None:
        """Who a peer is before it has said anything; None where it must say who it is first."""

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """Who a peer is by what it says."""


class OpenAdmission:
    """Everybody is anonymous, in the one account."""

    def __init__(self, account: Account) -> None:
        self._everybody = Identity(account)

    def anonymous(self, kind: str) -> Identity | None:
        return self._everybody

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        return self._everybody
