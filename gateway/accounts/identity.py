"""Who somebody is: what a peer says of itself (`Credentials`), and what is made of it (`Identity` or `Refusal`)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from gateway.accounts.account import Account
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.accounts.scram import Verifier
from gateway.settings.listener import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a peer says of itself; what it did not say is empty.

    `kind` is how it came: one of gateway.settings.security.ConnectionType. `nonce` is the challenge that the peer was
    given, of which `signature` is the base64 of its Ed25519 signature by `nkey`, or by the subject of `jwt`.
    `proves` tells, of a password that is not sent, whether a verifier is that of it (gateway.accounts.scram), and
    `proves_password` whether it is a certain one.
    `certificate` is the DER of a certificate that was verified, `psk_identity` who shares the key by which TLS was
    agreed on. `client_id` is MQTT's, `address` the peer's host.
    `listener` is where it came in; None for a serial line. `connection` is its number; `lang`, `version` and `protocol`
    are a NATS client's own words of itself.
    """

    kind: str
    user: str = ""
    password: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    nkey: str = ""
    signature: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
    nonce: bytes = b""
    proves: Callable[[Verifier], bool] | None = None
    proves_password: Callable[[bytes], bool] | None = None
    certificate: bytes = b""
    psk_identity: str = ""
    client_id: bytes = b""
    address: str = ""
    name: str = ""
    listener: Listener | None = None
    connection: int = 0
    lang: str = ""
    version: str = ""
    protocol: int = 0


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Limits of a user or its account, beside those of the gateway: 0 for none, and `NOTHING` where there may be none
    at all.
    """

    max_subscriptions: int = 0
    max_payload_bytes: int = 0

    def subscriptions(self, most: int) -> int:
        """How many subscriptions there may be where the gateway's limit is `most`."""
        return least(most, self.max_subscriptions)

    def payload_bytes(self, most: int) -> int:
        """How long a payload may be where the gateway's limit is `most`: 0 where it must be empty."""
        return max(least(most, self.max_payload_bytes), 0)


def least(one: int, other: int) -> int:
    """The lower of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other


# A limit below which there is nothing; 0 would be no limit.
NOTHING = -1
NO_LIMITS = PeerLimits()


class Keepable:
    """A proof of which something can be kept, for whoever has to decide while the one it is of is away."""

    __slots__ = ()

    def to_keep(self) -> bytes:
        """What to keep; empty where it would be too much."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Identity:
    """Who was admitted: a user of an account. `user` is empty for somebody anonymous.

    `expires` is when that ends (seconds since 1970; 0: never). `client_id_prefix` binds MQTT's client ids. `proof` says
    by what it was recognised, for whoever has to decide anew when users change (`Admission.renew`).
    """

    account: Account
    user: str = ""
    permissions: Permissions = EVERYTHING
    limits: PeerLimits = NO_LIMITS
    expires: float = 0.0
    client_id_prefix: bytes = b""
    proof: object = None

    def proof_to_keep(self) -> bytes:
        """What is to be kept of `proof`; empty where the configuration says all there is to know."""
        return self.proof.to_keep() if isinstance(self.proof, Keepable) else b""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody was admitted, in words for the log; the peer hears only that it was not.

    `is_busy`: it was not for anything that the peer said, who may try again. `told` is for a peer that was admitted
    earlier, in nats-server's words; empty: nothing is told.
    """

    reason: str
    is_busy: bool = False
    told: str = "Authorization Violation"


Decision: TypeAlias = Identity | Refusal


@runtime_checkable
class Member(Protocol):
    """A session that somebody is admitted to; `identity` is None before that."""

    @property
    def identity(self) -> Identity | None: ...

    def identity_changed(self, identity: Identity) -> None:
        """Rights are others from now on: who has lost some is told in the words of its protocol, and keeps the rest. In
        another account it cannot stay. The caller flushes the switch.
        """

    def identity_lost(self, refusal: Refusal) -> None:
        """It may not be here any more: close the connection."""
