"""Sessions whose client is away, when its user may do less or is no more: at run time, and after a restart."""

from pathlib import Path

import pytest

from gateway.accounts.renewal import renew_everybody
from gateway.assembly import Gateway
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, PermissionRules, SubjectRule, User
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, messages_of, stored_gateway

WILL = packets.Will(b"wills/ann", b"gone", 1, False)


def config(*users: User) -> Config:
    return Config(users=(user("boss"), *users), accounts=(AccountRules(name="plant"),))


def user(name: str, **fields: object) -> User:
    return User(name=name, password=Secret(name), **fields)  # type: ignore[arg-type]


def denied(*subjects: str) -> PermissionRules:
    return PermissionRules(publish=SubjectRule(deny=subjects), subscribe=SubjectRule(deny=subjects))


FREE = config(user("ann"))
LESS = config(user("ann", permissions=denied("wills.>", "secret.>", "some.b")))
GONE = config()
ELSEWHERE = config(user("ann", account="plant"))


async def change(gateway: Gateway, wanted: Config) -> None:
    gateway.settings.replace(wanted)
    gateway.admission.apply()
    await renew_everybody(gateway.runtime, gateway.registry, gateway.admission)


def absent(gateway: Gateway) -> None:
    ann = Peer(gateway, b"ann", user=b"ann")
    for topic_filter in (b"secret/#", b"some/+", b"$share/g/secret/#"):
        ann.subscribe(topic_filter, 1)
    ann.disconnect()


def speak(gateway: Gateway) -> None:
    boss = Peer(gateway, b"boss", user=b"boss", session_expiry_interval=0)
    for number, topic in enumerate((b"secret/x", b"some/a", b"some/b"), 1):
        boss.publish(topic, topic, 1, number)
    boss.disconnect()


def queued(gateway: Gateway, client_id: bytes = b"ann") -> int:
    return len(gateway.mqtt_sessions.of(gateway.account)._sessions[client_id].outgoing)


@pytest.mark.parametrize(("now", "kept"), [(FREE, 4), (LESS, 1), (GONE, 0), (ELSEWHERE, 0)])
async def test_nothing_is_kept_for_somebody_who_may_not_have_it(now: Config, kept: int):
    async with running_gateway(FREE) as gateway:
        absent(gateway)
        await change(gateway, now)
        speak(gateway)
        assert queued(gateway) == kept


@pytest.mark.parametrize(("now", "kept"), [(FREE, 4), (LESS, 1), (GONE, 0), (ELSEWHERE, 0)])
async def test_nothing_is_kept_after_a_restart_either(tmp_path: Path, now: Config, kept: int):
    async with stored_gateway(tmp_path, FREE) as gateway:
        absent(gateway)
        await commit(gateway)
    async with stored_gateway(tmp_path, now) as gateway:
        speak(gateway)
        assert queued(gateway) == kept


async def test_messages_of_before_that_may_not_be_had_any_more_are_not_sent(tmp_path: Path):
    async with stored_gateway(tmp_path, FREE) as gateway:
        absent(gateway)
        speak(gateway)
        await commit(gateway)
    async with stored_gateway(tmp_path, LESS) as gateway:
        ann = Peer(gateway, b"ann", user=b"ann")
        assert [payload for payload, _, _ in await messages_of(ann, 1)] == [b"some/a"]


async def test_user_who_is_there_again_has_his_subscriptions():
    async with running_gateway(FREE) as gateway:
        absent(gateway)
        for now in (GONE, FREE):
            await change(gateway, now)
        speak(gateway)
        assert queued(gateway) == 4


@pytest.mark.parametrize(("now", "said"), [(FREE, 1), (LESS, 0), (GONE, 0), (ELSEWHERE, 0)])
@pytest.mark.parametrize("expiry", [0, 1000])
async def test_will_of_the_last_run_is_said_only_where_it_may_be(tmp_path: Path, now: Config, said: int, expiry: int):
    async with stored_gateway(tmp_path, FREE) as gateway:
        Peer(gateway, b"boss", user=b"boss").subscribe(b"wills/#", 1)
        Peer(gateway, b"ann", user=b"ann", will=WILL, session_expiry_interval=expiry)
        await commit(gateway)
    async with stored_gateway(tmp_path, now) as gateway:
        if expiry:
            gateway.mqtt_sessions.of(gateway.account)._absences._will_is_due(b"ann")
        assert queued(gateway, b"boss") == said


async def test_will_of_a_user_who_is_no_more_is_not_said_when_it_is_sent_away():
    async with running_gateway(FREE) as gateway:
        boss = Peer(gateway, b"boss", user=b"boss")
        boss.subscribe(b"wills/#")
        ann = Peer(gateway, b"ann", user=b"ann", will=WILL)
        await change(gateway, GONE)
        ann.close(CloseReason.CREDENTIALS_REVOKED)
        assert boss.hear() == []
