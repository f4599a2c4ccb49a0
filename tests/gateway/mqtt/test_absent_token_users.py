"""Sessions whose client is away, of users whom no configuration lists: what their tokens granted holds for wills and
queues after a restart, as long as the tokens would still let them in.
"""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.accounts import nkeys
from gateway.accounts.jwt import UserClaims, encode
from gateway.accounts.nkeys import KeyPair
from gateway.accounts.permissions import EVERYTHING, NO_RIGHTS
from gateway.accounts.token_proof import MOST_KEPT_BYTES, TokenProof, decode_proof
from gateway.assembly import Gateway
from gateway.mqtt.session import session_bytes
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, Authentication, Callout, Resolver, User
from gateway.storage.database import FILE_NAME
from protocols.message import make_message
from protocols.mqtt import packets
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, stored_gateway

WILL = packets.Will(b"wills/ann", b"gone", 1, False)
DENIED = {"deny": ["secret.>", "wills.>"]}
OPEN = {"subs": -1, "payload": -1, "data": -1}
UNLIMITED = {"subs": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}


@dataclass
class House:
    """An operator with one account, and its user ann."""

    operator: KeyPair = field(default_factory=lambda: KeyPair.new(nkeys.OPERATOR))
    account: KeyPair = field(default_factory=lambda: KeyPair.new(nkeys.ACCOUNT))
    ann: KeyPair = field(default_factory=lambda: KeyPair.new(nkeys.USER))

    def config(self, **account: Any) -> Config:
        said = {"type": "operator", "version": 2}
        operator = encode(self.operator, {"sub": self.operator.public, "nats": said})
        body = {"type": "account", "version": 2, "limits": UNLIMITED, **account}
        token = encode(self.operator, {"sub": self.account.public, "nats": body})
        return Config(
            authentication=Authentication(operator=operator, resolver=Resolver(preload={self.account.public: token}))
        )

    def user_token(self, user: KeyPair | None = None, exp: int = 0, **claims: Any) -> bytes:
        """A token that lets in who shows it."""
        body = {"type": "user", "version": 2, "bearer_token": True, **OPEN, **claims}
        return encode(self.account, {"sub": (user or self.ann).public, "nats": body, "exp": exp}).encode()

    def account_of(self, gateway: Gateway) -> Any:
        return gateway.accounts[self.account.public]

    def queued(self, gateway: Gateway, client_id: bytes = b"ann") -> int:
        return len(gateway.mqtt_sessions.of(self.account_of(gateway))._sessions[client_id].outgoing)


class TokenPeer(Peer):
    """The token is the password."""

    def __init__(
        self,
        gateway: Gateway,
        token: bytes,
        client_id: bytes = b"ann",
        will: packets.Will | None = None,
        expiry: int = 1000,
    ) -> None:
        super().__init__(gateway, client_id, user=token, will=will, session_expiry_interval=expiry)
        assert isinstance(self.greeting, packets.Connack), self.greeting
        assert self.greeting.reason_code == 0


def speak(account: Any) -> None:
    for subject in (b"secret.x", b"free.x"):
        message = make_message(subject, b"x")
        message.qos = 1
        account.publish(message)


@asynccontextmanager
async def restarted(directory: Path, house: House, token: bytes, **account: Any) -> AsyncIterator[Gateway]:
    """A gateway that holds ann's session of an earlier run; her account's token may be another one by now."""
    async with stored_gateway(directory, house.config()) as gateway:
        ann = TokenPeer(gateway, token)
        for topic_filter in (b"secret/#", b"+/x"):
            ann.subscribe(topic_filter, 1)
        ann.disconnect()
        await commit(gateway)
    async with stored_gateway(directory, house.config(**account)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("claims", "kept"),
    [({}, 2), ({"sub": {"allow": [">"], "deny": ["secret.>"]}}, 1), ({"sub": {"allow": ["free.>"]}}, 0)],
)
async def test_queue_takes_after_a_restart_what_the_token_granted(tmp_path: Path, claims: Any, kept: int):
    house = House()
    async with restarted(tmp_path, house, house.user_token(**claims)) as gateway:
        speak(house.account_of(gateway))
        assert house.queued(gateway) == kept


async def test_nothing_is_queued_after_a_restart_for_whom_the_account_has_revoked(tmp_path: Path):
    house = House()
    revocations = {house.ann.public: int(time.time()) + 60}
    async with restarted(tmp_path, house, house.user_token(), revocations=revocations) as gateway:
        speak(house.account_of(gateway))
        assert house.queued(gateway) == 0


async def test_nothing_is_queued_after_a_restart_for_a_token_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    house = House()
    token = house.user_token(exp=int(time.time()) + 100)
    now = time.time
    async with restarted(tmp_path, house, token) as gateway:
        monkeypatch.setattr(gateway.trust, "_clock", lambda: now() + 200)
        house.account_of(gateway).rights_changed()
        speak(house.account_of(gateway))
        assert house.queued(gateway) == 0


async def test_other_defaults_of_the_account_hold_for_who_is_away(tmp_path: Path):
    house = House()
    async with restarted(tmp_path, house, house.user_token(), default_permissions={"sub": DENIED}) as gateway:
        speak(house.account_of(gateway))
        assert house.queued(gateway) == 1


async def test_nothing_is_granted_where_it_is_not_known_what_was(tmp_path: Path):
    """As of sessions that an older version stored."""
    house = House()
    async with stored_gateway(tmp_path, house.config()) as gateway:
        ann = TokenPeer(gateway, house.user_token())
        ann.subscribe(b"free/#", 1)
        ann.disconnect()
        await commit(gateway)
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("UPDATE session SET proof = x''")
    database.close()
    async with stored_gateway(tmp_path, house.config()) as gateway:
        speak(house.account_of(gateway))
        assert house.queued(gateway) == 0
        TokenPeer(gateway, house.user_token()).disconnect()
        speak(house.account_of(gateway))
        assert house.queued(gateway) == 1


@pytest.mark.parametrize(("claims", "said"), [({}, 1), ({"pub": DENIED}, None)])
async def test_will_that_may_not_be_published_is_refused_when_it_is_set(claims: Any, said: int | None, tmp_path: Path):
    house = House()
    async with stored_gateway(tmp_path, house.config()) as gateway:
        peer = Peer(gateway, b"ann", user=house.user_token(**claims), will=WILL)
        assert isinstance(peer.greeting, packets.Connack)
        assert (peer.greeting.reason_code == 0) is (said == 1)


@pytest.mark.parametrize("expiry", [0, 1000])
@pytest.mark.parametrize(("default", "said"), [({}, 1), ({"pub": DENIED}, 0)])
async def test_will_of_the_last_run_is_said_only_where_it_may_be(tmp_path: Path, default: Any, said: int, expiry: int):
    house = House()
    async with stored_gateway(tmp_path, house.config()) as gateway:
        TokenPeer(gateway, house.user_token(KeyPair.new(nkeys.USER)), b"boss").subscribe(b"wills/#", 1)
        TokenPeer(gateway, house.user_token(), will=WILL, expiry=expiry)
        await commit(gateway)
    async with stored_gateway(tmp_path, house.config(default_permissions=default)) as gateway:
        if expiry:
            gateway.mqtt_sessions.of(house.account_of(gateway))._absences._will_is_due(b"ann")
        assert house.queued(gateway, b"boss") == said


async def test_will_is_not_said_for_a_token_that_has_ended_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    house = House()
    now = time.time
    async with stored_gateway(tmp_path, house.config()) as gateway:
        TokenPeer(gateway, house.user_token(KeyPair.new(nkeys.USER)), b"boss").subscribe(b"wills/#", 1)
        TokenPeer(gateway, house.user_token(exp=int(now()) + 100), will=WILL)
        await commit(gateway)
    async with stored_gateway(tmp_path, house.config()) as gateway:
        monkeypatch.setattr(gateway.trust, "_clock", lambda: now() + 200)
        gateway.mqtt_sessions.of(house.account_of(gateway))._absences._will_is_due(b"ann")
        assert house.queued(gateway, b"boss") == 0


def answered(audience: str, issuer: str, **claims: Any) -> TokenProof:
    said = {"iss": issuer, "aud": audience, "name": "ann", "nats": {**OPEN, **claims}}
    return TokenProof(msgspec.convert(said, UserClaims), "mqtt", "127.0.0.1", answered=True)


@pytest.mark.parametrize(
    ("claims", "account", "may"),
    [({}, "$G", True), ({"pub": DENIED}, "$G", False), ({}, "other", False)],
)
async def test_what_a_service_granted_is_found_again(claims: Any, account: str, may: bool):
    """`account` is the one that it named; the session is in the default one."""
    issuer = KeyPair.new(nkeys.ACCOUNT).public
    config = Config(
        authentication=Authentication(callout=Callout(issuer=issuer, users=("auth",))),
        users=(User(name="auth", password=Secret("auth")),),
        accounts=(AccountRules(name="other"),),
    )
    async with running_gateway(config) as gateway:
        kept = answered(account, issuer, **claims).to_keep()
        rights = gateway.account.rights_of("ann", kept)
        assert rights is not None
        assert rights.may_publish(b"wills.ann") is may
        assert gateway.account.rights_of("ann", b"") is NO_RIGHTS
        assert gateway.account.rights_of("auth", b"") is EVERYTHING
        other = answered(account, KeyPair.new(nkeys.ACCOUNT).public, **claims).to_keep()
        assert gateway.account.rights_of("ann", other) is NO_RIGHTS


def test_proof_that_is_too_long_or_damaged_is_none():
    long = answered("$G", "A", pub={"allow": ["a" * MOST_KEPT_BYTES]})
    assert long.to_keep() == b""
    short = answered("$G", "A", src=["10.0.0.0/8"], times=[{"start": "08:00:00", "end": "18:00:00"}])
    assert decode_proof(short.to_keep()) == short
    for damaged in (b"", b"{}", b"[", b"\xff", short.to_keep()[:-1]):
        assert decode_proof(damaged) is None


async def test_proof_counts_as_memory_of_the_session(tmp_path: Path):
    house = House()
    async with stored_gateway(tmp_path, house.config()) as gateway:
        session = TokenPeer(gateway, house.user_token()).kept
        assert session.holding.of("sessions") == session_bytes(b"ann") + len(session.proof)
        assert len(session.proof) > 100
