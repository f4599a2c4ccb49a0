"""What an MQTT client may publish, what it is answered, and when."""

from pathlib import Path

import pytest

from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, User
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from protocols.mqtt.acknowledgements import PUBREL, AckRun, encode_acknowledgements
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer, commit, journal_of, stored_gateway

NOBODY = ReasonCode.NO_MATCHING_SUBSCRIBERS
FULL = "the disk is full"


def codes(peer: Peer) -> list[tuple[type, int]]:
    return [(type(packet), packet.reason_code) for packet in peer.hear()]  # type: ignore[attr-defined]


async def test_message_that_somebody_keeps_is_acknowledged_after_the_commit_and_others_at_once(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        keeper, sensor = Peer(gateway, b"keeper"), Peer(gateway, b"sensor", session_expiry_interval=0)
        keeper.subscribe(b"kept", 1)
        await commit(gateway)
        sensor.publish(b"other", b"", 1, 1)
        assert codes(sensor) == [(packets.Puback, NOBODY)]
        sensor.publish(b"kept", b"", 1, 2)
        sensor.publish(b"other", b"", 1, 3)
        assert codes(sensor) == []
        await commit(gateway)
        assert codes(sensor) == [(packets.Puback, 0), (packets.Puback, NOBODY)]


async def test_repeated_message_of_quality_of_service_2_is_not_answered_before_the_first_is_stored(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        Peer(gateway, b"keeper").subscribe(b"kept", 1)
        sensor = Peer(gateway, b"sensor")
        await commit(gateway)
        sensor.publish(b"kept", b"1", 2, 5)
        sensor.close(CloseReason.READ_ERROR)
        again = Peer(gateway, b"sensor")
        again.publish(b"kept", b"1", 2, 5)
        assert again.hear() == []
        await commit(gateway)
        assert again.hear() == [packets.Pubrec(5)]


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_message_that_is_longer_than_the_account_allows_ends_the_connection(qos: int, retain: bool):
    rules, ann = AccountRules(name="$G", max_payload_bytes=10), User(name="ann", password=Secret("ann"))
    async with running_gateway(Config(accounts=(rules,), users=(ann,))) as gateway:
        for size, reason in ((10, None), (11, CloseReason.MAXIMUM_PAYLOAD_EXCEEDED)):
            peer = Peer(gateway, b"%d" % size, user=b"ann")
            peer.publish(b"a", bytes(size), qos, retain=retain)
            assert peer.close_reason is reason


@pytest.mark.parametrize("qos", [1, 2])
async def test_fault_of_the_disk_refuses_what_must_be_stored_and_nothing_else(tmp_path: Path, qos: int):
    async with stored_gateway(tmp_path) as gateway:
        Peer(gateway, b"keeper").subscribe(b"kept", 1)
        sensor = Peer(gateway, b"sensor", session_expiry_interval=0)
        await commit(gateway)
        journal_of(gateway).fault = FULL
        sensor.publish(b"other", b"", qos, 1)
        sensor.publish(b"kept", b"", qos, 2)
        sensor.publish(b"new", b"1", qos, 3, retain=True)
        assert [code for _, code in codes(sensor)] == [NOBODY, ReasonCode.QUOTA_EXCEEDED, ReasonCode.QUOTA_EXCEEDED]
        assert sensor.kept.received == ({1} if qos == 2 else set())


async def test_fault_of_the_disk_refuses_quality_of_service_2_of_a_stored_session(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        sensor = Peer(gateway)
        await commit(gateway)
        journal_of(gateway).fault = FULL
        sensor.publish(b"other", b"", 2, 1)
        assert codes(sensor) == [(packets.Pubrec, ReasonCode.QUOTA_EXCEEDED)]


async def test_fault_of_the_disk_closes_a_client_of_3_1_1_without_an_acknowledgement(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        Peer(gateway, b"keeper").subscribe(b"kept", 1)
        sensor = Peer(gateway, b"sensor", version=4, clean_start=True)
        await commit(gateway)
        journal_of(gateway).fault = FULL
        sensor.publish(b"other", b"", 1, 1)
        assert sensor.hear() == [packets.Puback(1)]
        sensor.publish(b"kept", b"", 1, 2)
        assert sensor.hear() == []
        assert sensor.close_reason is CloseReason.STORAGE_FAILURE


async def test_message_is_refused_and_not_lost_where_the_disk_does_not_keep_up(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        keeper, sensor = Peer(gateway, b"keeper"), Peer(gateway, b"sensor", session_expiry_interval=0)
        keeper.subscribe(b"kept", 1)
        await commit(gateway)
        keeper.disconnect()
        journal_of(gateway).max_pending_bytes = 1
        sensor.publish(b"kept", b"", 1, 1)
        assert codes(sensor) == [(packets.Puback, ReasonCode.QUOTA_EXCEEDED)]
        assert keeper.kept.dropped == 0


async def test_client_that_has_too_many_answers_waiting_is_closed(tmp_path: Path):
    async with stored_gateway(tmp_path) as gateway:
        Peer(gateway, b"keeper").subscribe(b"kept", 1)
        sensor = Peer(gateway, b"sensor", version=4, clean_start=True)
        sensor.publish(b"kept", b"", 1, 1)
        for _ in range(2):
            sensor.receive(encode_acknowledgements(PUBREL, [7] * 65_000))
        assert sensor.close_reason is None
        sensor.receive(encode_acknowledgements(PUBREL, [7] * 65_000))
        assert sensor.close_reason is CloseReason.PROTOCOL_VIOLATION


async def test_receive_maximum_counts_what_this_connection_has_not_released():
    async with running_gateway(Config(mqtt=Mqtt(receive_maximum=2))) as gateway:
        sensor = Peer(gateway)
        sensor.publish(b"a", b"", 2, 1)
        sensor.publish(b"a", b"", 2, 2)
        sensor.close(CloseReason.READ_ERROR)
        again = Peer(gateway)
        again.publish(b"a", b"", 2, 3)
        again.publish(b"a", b"", 2, 4)
        assert again.close_reason is None
        again.publish(b"a", b"", 2, 5)
        assert again.close_detail == "more than 2 messages are unacknowledged"
        assert again.hear()[-1].reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED  # type: ignore[attr-defined]


async def test_releases_in_a_row_are_completed_one_by_one():
    async with running_gateway() as gateway:
        sensor = Peer(gateway)
        sensor.publish(b"a", b"", 2, 1)
        sensor.publish(b"a", b"", 2, 2)
        sensor.hear()
        sensor.session._HANDLERS[AckRun](sensor.session, AckRun(PUBREL, [2, 9, 1]))  # type: ignore[attr-defined]
        unknown = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        assert sensor.hear() == [packets.Pubcomp(2), packets.Pubcomp(9, unknown), packets.Pubcomp(1)]
        assert sensor.kept.received == set()


async def test_alias_without_a_topic_and_alias_above_the_maximum_end_the_connection():
    async with running_gateway(Config(mqtt=Mqtt(max_topic_aliases=2))) as gateway:
        sensor = Peer(gateway)
        sensor.publish(b"", b"", topic_alias=1)
        assert sensor.hear()[-1].reason_code == ReasonCode.PROTOCOL_ERROR  # type: ignore[attr-defined]
        sensor = Peer(gateway)
        sensor.publish(b"a", b"", topic_alias=3)
        assert sensor.hear()[-1].reason_code == ReasonCode.TOPIC_ALIAS_INVALID  # type: ignore[attr-defined]


async def test_alias_stands_for_the_topic_that_it_was_last_given():
    async with running_gateway() as gateway:
        sensor, display = Peer(gateway, b"sensor"), Peer(gateway, b"display")
        display.subscribe(b"#")
        sensor.publish(b"a", b"1", topic_alias=1)
        sensor.publish(b"b", b"2", topic_alias=1)
        assert [packet.topic for packet in display.hear()] == [b"a", b"b"]  # type: ignore[attr-defined]
        sensor.publish(b"", b"3", topic_alias=1)
        assert [packet.topic for packet in display.hear()] == [b"b"]  # type: ignore[attr-defined]
