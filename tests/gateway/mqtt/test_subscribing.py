"""What is granted of a SUBSCRIBE."""

from pathlib import Path

import pytest

from gateway.settings.limits import Limits
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, User
from protocols.mqtt import encoder, packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, journal_of, stored_gateway


@pytest.mark.parametrize(
    ("topic_filter", "code"),
    [
        (b"a/b", ReasonCode.GRANTED_QOS_1),
        (b"a/b/c/d", ReasonCode.TOPIC_FILTER_INVALID),
        (b"$share/g/a", ReasonCode.GRANTED_QOS_1),
        (b"$MQTT/a", ReasonCode.NOT_AUTHORIZED),
    ],
)
async def test_reason_code_of_a_filter(topic_filter: bytes, code: ReasonCode):
    async with running_gateway(Config(mqtt=Mqtt(max_topic_levels=3))) as gateway:
        assert Peer(gateway).subscribe(topic_filter, 1) == [packets.Suback(9, (code,))]


async def test_limit_of_subscriptions_lets_old_ones_be_replaced():
    async with running_gateway(Config(limits=Limits(max_subscriptions=1))) as gateway:
        peer = Peer(gateway)
        assert peer.subscribe(b"a", 1) == [packets.Suback(9, (ReasonCode.GRANTED_QOS_1,))]
        assert peer.subscribe(b"b", 1) == [packets.Suback(9, (ReasonCode.QUOTA_EXCEEDED,))]
        assert peer.subscribe(b"a", 2) == [packets.Suback(9, (ReasonCode.GRANTED_QOS_2,))]


async def test_limit_of_subscriptions_of_the_account_holds_too():
    rules = AccountRules(name="$G", max_subscriptions=1)
    ann = User(name="ann", password=Secret("ann"))
    async with running_gateway(Config(accounts=(rules,), users=(ann,))) as gateway:
        peer = Peer(gateway, user=b"ann")
        assert peer.subscribe(b"a", 1) == [packets.Suback(9, (ReasonCode.GRANTED_QOS_1,))]
        assert peer.subscribe(b"b", 1) == [packets.Suback(9, (ReasonCode.QUOTA_EXCEEDED,))]


@pytest.mark.parametrize(("handling", "counts"), [(0, [1, 1]), (1, [1, 0]), (2, [0, 0])])
async def test_retain_handling(handling: int, counts: list[int]):
    async with running_gateway() as gateway:
        peer = Peer(gateway)
        peer.publish(b"a", b"kept", retain=True)
        heard = [peer.subscribe(b"a", retain_handling=handling) for _ in range(2)]
        assert [len(one) - 1 for one in heard] == counts


@pytest.mark.parametrize(
    ("version", "codes"), [(5, (ReasonCode.QUOTA_EXCEEDED,)), (4, (ReasonCode.UNSPECIFIED_ERROR,))]
)
async def test_fault_of_the_disk_refuses_subscriptions_that_must_be_stored(
    tmp_path: Path, version: int, codes: tuple[int, ...]
):
    async with stored_gateway(tmp_path) as gateway:
        stored = Peer(gateway, b"a", version)
        passing = Peer(gateway, b"b", version, version == 4, **({"session_expiry_interval": 0} if version == 5 else {}))
        await commit(gateway)
        journal_of(gateway).fault = "the disk is full"
        assert stored.subscribe(b"t", 1) == [packets.Suback(9, codes)]
        assert passing.subscribe(b"t", 1) == [packets.Suback(9, (ReasonCode.GRANTED_QOS_1,))]


async def test_fault_of_the_disk_refuses_to_end_a_stored_subscription_and_holds_nothing_up(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        peer = Peer(gateway)
        peer.subscribe(b"t", 1)
        await commit(gateway)
        peer.hear()
        journal_of(gateway).fault = "the disk is full"
        peer.receive(encoder.encode_unsubscribe(5, 3, [b"t"]))
        assert peer.hear() == [packets.Unsuback(3, (ReasonCode.UNSPECIFIED_ERROR,))]
        assert list(peer.kept.subscriptions) == [b"t"]


async def test_bridge_can_take_part_in_a_shared_subscription():
    async with running_gateway() as gateway:
        peer = Peer(gateway)
        peer.session.bridge = True  # type: ignore[attr-defined]
        peer.subscribe(b"$share/g/a", 1)
        peer.subscribe(b"a", 1)
        assert peer.close_reason is None
        options = {name: held.wanted.no_local for name, held in peer.kept.subscriptions.items()}
        assert options == {b"$share/g/a": False, b"a": True}
