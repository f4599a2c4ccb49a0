"""Acknowledgements of messages to a client: of the right kind, of the wrong one, and of none that is known."""

import pytest

from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from tests.gateway.memory_connection import running_gateway
from tests.gateway.mqtt.mqtt_peer import Peer


def acknowledgement(kind: int, packet_id: int) -> bytes:
    return bytes((kind, 2)) + packet_id.to_bytes(2, "big")


PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("qos", "kinds"),
    [(1, (PUBREC,)), (1, (PUBCOMP,)), (2, (PUBACK,)), (2, (PUBCOMP,)), (2, (PUBREC, PUBACK))],
)
async def test_acknowledgement_of_the_wrong_kind_ends_the_connection_and_the_message_comes_again(
    version: int, qos: int, kinds: tuple[int, ...]
):
    async with running_gateway() as gateway:
        reader, publisher = Peer(gateway, b"reader", version), Peer(gateway, b"publisher", version)
        reader.subscribe(b"t", qos)
        publisher.publish(b"t", b"one", qos)
        ((_, packet_id, _),) = reader.hear_messages()
        for kind in kinds:
            reader.receive(acknowledgement(kind, packet_id))
        assert reader.close_reason is CloseReason.PROTOCOL_VIOLATION
        said = reader.take()
        if PUBREC in kinds and qos == 2:
            said = said.removeprefix(acknowledgement(PUBREL, packet_id))
        assert said == (b"\xe0\x01\x82" if version == 5 else b"")
        again = Peer(gateway, b"reader", version)
        if PUBREC in kinds and qos == 2:  # The client has it; the release comes again.
            assert [type(packet) for packet in again.packets] == [packets.Pubrel]
        else:
            assert [(one.payload, one.packet_id, one.dup) for one in again.packets] == [(b"one", packet_id, True)]


async def test_run_of_acknowledgements_counts_up_to_the_wrong_one():
    async with running_gateway() as gateway:
        reader, publisher = Peer(gateway, b"reader"), Peer(gateway, b"publisher")
        reader.subscribe(b"one", 1)
        reader.subscribe(b"two", 2)
        publisher.publish(b"one", b"a", 1)
        publisher.publish(b"two", b"b", 2)
        publisher.publish(b"one", b"c", 1)
        ids = [packet_id for _, packet_id, _ in reader.hear_messages()]
        reader.receive(b"".join(acknowledgement(PUBACK, one) for one in ids))
        assert reader.close_reason is CloseReason.PROTOCOL_VIOLATION
        assert [one.payload for one in Peer(gateway, b"reader").packets] == [b"b", b"c"]


@pytest.mark.parametrize("kind", [PUBACK, PUBREC, PUBCOMP])
async def test_acknowledgement_of_an_unknown_message_ends_nothing(kind: int):
    async with running_gateway() as gateway:
        reader = Peer(gateway, b"reader")
        reader.receive(acknowledgement(kind, 77))
        assert reader.close_reason is None
