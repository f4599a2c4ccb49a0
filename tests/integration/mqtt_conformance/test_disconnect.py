"""How connections end: DISCONNECT from either side, and broken rules (MQTT 5.0, 3.14, 4.13)."""

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect, Disconnect, Subscription
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import CLIENT_DISCONNECT_CODES, ReasonCode
from tests.integration.mqtt_conformance.marks import versions
from tests.integration.mqtt_conformance.raw_client import LONG, MQTT_3_1_1, MQTT_5_0, Clients, unique

MALFORMED = (ReasonCode.MALFORMED_PACKET,)
PROTOCOL_ERROR = (ReasonCode.PROTOCOL_ERROR,)
# Servers do not agree on where the one ends and the other begins.
EITHER = (ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)


@versions
def test_server_closes_after_disconnect(clients: Clients, version: int) -> None:
    client = clients.connect(version)
    client.send(encoder.encode_disconnect(version))
    assert client.rest() == []


@versions
def test_nothing_counts_behind_a_disconnect(clients: Clients, version: int) -> None:
    topic = unique("late")
    watcher = clients.connect(version)
    watcher.subscribe(topic, 1)
    client = clients.connect(version)
    client.send(encoder.encode_disconnect(version), encoder.encode_publish(version, topic, b"late", 0, 0, False, False))
    assert client.rest() == []
    watcher.assert_silence()


@pytest.mark.parametrize("reason", CLIENT_DISCONNECT_CODES.values(), ids=lambda reason: f"0x{reason:02X}")
def test_client_may_give_any_of_its_reasons(clients: Clients, reason: ReasonCode) -> None:
    said = Properties(reason_string=b"because", user_properties=((b"k", b"v"),))
    clients.connect().disconnect(reason, said)


@pytest.mark.parametrize("reason", [0x01, 0x18, 0x87, 0x8B, 0x8E, 0xFF])
def test_reason_that_no_client_may_give_is_a_protocol_error(clients: Clients, reason: int) -> None:
    client = clients.connect()
    client.send(bytes((0xE0, 1, reason)))
    client.assert_ended(*EITHER)


def test_disconnect_changes_the_session_expiry(clients: Clients) -> None:
    client_id = unique("expiry")
    clients.resume(MQTT_5_0, client_id).disconnect(properties=Properties(session_expiry_interval=0))
    back = clients.connect(client_id=client_id, clean_start=False, properties=Properties(session_expiry_interval=1))
    assert not back.connack.session_present
    back.disconnect(properties=Properties(session_expiry_interval=LONG))
    assert clients.resume(MQTT_5_0, client_id).connack.session_present


def test_session_that_was_to_end_cannot_be_prolonged(clients: Clients) -> None:
    client = clients.connect(properties=Properties(session_expiry_interval=0))
    client.send(encoder.encode_disconnect(5, 0, Properties(session_expiry_interval=LONG)))
    client.assert_ended(ReasonCode.PROTOCOL_ERROR)


@versions
def test_disconnect_with_flags_is_malformed(clients: Clients, version: int) -> None:
    client = clients.connect(version)
    client.send(b"\xe1\x00")
    client.assert_ended(*EITHER)


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


SURROGATE = b"\xed\xa0\x80"
# Packets that break rules of either version: bytes of 3.1.1, bytes of 5.0, reasons.
OFFENCES: dict[str, tuple[bytes, bytes, tuple[ReasonCode, ...]]] = {
    "packet type 0": (b"\x00\x00", b"\x00\x00", EITHER),
    "packet of a server": (b"\x90\x03\x00\x01\x00", b"\x90\x04\x00\x01\x00\x00", EITHER),
    "PINGREQ with flags": (b"\xc1\x00", b"\xc1\x00", EITHER),
    "PINGREQ with a body": (b"\xc0\x01\x00", b"\xc0\x01\x00", EITHER),
    "PUBREL with flags 0": (b"\x60\x02\x00\x01", b"\x60\x02\x00\x01", EITHER),
    "SUBSCRIBE with flags 0": (b"\x80\x06\x00\x01\x00\x01a\x00", b"\x80\x07\x00\x01\x00\x00\x01a\x00", EITHER),
    "UNSUBSCRIBE with flags 0": (b"\xa0\x05\x00\x01\x00\x01a", b"\xa0\x06\x00\x01\x00\x00\x01a", EITHER),
    "remaining length of five bytes": (b"\xc0\x80\x80\x80\x80\x01", b"\xc0\x80\x80\x80\x80\x01", MALFORMED),
    "PUBLISH with QoS 3": (b"\x36\x05\x00\x01a\x00\x01", b"\x36\x06\x00\x01a\x00\x01\x00", MALFORMED),
    "PUBLISH with QoS 0 and DUP": (b"\x38\x03\x00\x01a", b"\x38\x04\x00\x01a\x00", EITHER),
    "PUBLISH with packet identifier 0": (b"\x32\x05\x00\x01a\x00\x00", b"\x32\x06\x00\x01a\x00\x00\x00", EITHER),
    "PUBLISH with a wildcard": (
        b"\x30\x05\x00\x03a/+",
        b"\x30\x06\x00\x03a/+\x00",
        (*EITHER, ReasonCode.TOPIC_NAME_INVALID),
    ),
    "PUBLISH with ill-formed UTF-8": (
        b"\x30\x05" + text(SURROGATE),
        b"\x30\x06" + text(SURROGATE) + b"\x00",
        (*EITHER, ReasonCode.TOPIC_NAME_INVALID),
    ),
    "PUBLISH with NUL": (
        b"\x30\x05" + text(b"a\0b"),
        b"\x30\x06" + text(b"a\0b") + b"\x00",
        (*EITHER, ReasonCode.TOPIC_NAME_INVALID),
    ),
    "PUBLISH with a topic over its end": (b"\x30\x03\x00\x09a", b"\x30\x04\x00\x09a\x00", EITHER),
    "SUBSCRIBE without a filter": (b"\x82\x02\x00\x01", b"\x82\x03\x00\x01\x00", EITHER),
    "SUBSCRIBE with packet identifier 0": (
        b"\x82\x06\x00\x00\x00\x01a\x00",
        b"\x82\x07\x00\x00\x00\x00\x01a\x00",
        EITHER,
    ),
    "SUBSCRIBE with QoS 3": (b"\x82\x06\x00\x01\x00\x01a\x03", b"\x82\x07\x00\x01\x00\x00\x01a\x03", EITHER),
    "SUBSCRIBE with reserved options": (
        b"\x82\x06\x00\x01\x00\x01a\x04",
        b"\x82\x07\x00\x01\x00\x00\x01a\xc0",
        EITHER,
    ),
    "SUBSCRIBE with an empty filter": (
        b"\x82\x05\x00\x01\x00\x00\x00",
        b"\x82\x06\x00\x01\x00\x00\x00\x00",
        (*EITHER, ReasonCode.TOPIC_FILTER_INVALID),
    ),
    "SUBSCRIBE with ill-formed UTF-8": (
        b"\x82\x08\x00\x01" + text(SURROGATE) + b"\x00",
        b"\x82\x09\x00\x01\x00" + text(SURROGATE) + b"\x00",
        (*EITHER, ReasonCode.TOPIC_FILTER_INVALID),
    ),
    "UNSUBSCRIBE without a filter": (b"\xa2\x02\x00\x01", b"\xa2\x03\x00\x01\x00", EITHER),
    "UNSUBSCRIBE with ill-formed UTF-8": (
        b"\xa2\x07\x00\x01" + text(SURROGATE),
        b"\xa2\x08\x00\x01\x00" + text(SURROGATE),
        (*EITHER, ReasonCode.TOPIC_FILTER_INVALID),
    ),
    "UNSUBSCRIBE with packet identifier 0": (b"\xa2\x05\x00\x00\x00\x01a", b"\xa2\x06\x00\x00\x00\x00\x01a", EITHER),
    "PUBACK with half a packet identifier": (b"\x40\x01\x00", b"\x40\x01\x00", EITHER),
}


@versions
@pytest.mark.parametrize("name", OFFENCES)
def test_broken_rule_ends_the_connection(clients: Clients, version: int, name: str) -> None:
    old, new, reasons = OFFENCES[name]
    client = clients.connect(version)
    client.send(new if version == MQTT_5_0 else old)
    client.assert_ended(*reasons)


# What only 5.0 knows: bytes, reasons.
NEW_OFFENCES = {
    "retain handling 3": (b"\x82\x07\x00\x01\x00\x00\x01a\x30", EITHER),
    "subscription identifier 0": (b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", EITHER),
    "two subscription identifiers": (b"\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", EITHER),
    "subscription identifier from a client": (b"\x30\x06\x00\x01a\x02\x0b\x01", EITHER),
    "unknown property": (b"\x30\x06\x00\x01a\x02\x7e\x01", EITHER),
    "property of another packet": (b"\x30\x09\x00\x01a\x05\x11\x00\x00\x00\x01", EITHER),
    "property twice": (b"\x30\x08\x00\x01a\x04\x01\x01\x01\x01", EITHER),
    "property length over the end": (b"\x30\x04\x00\x01a\x09", EITHER),
    "wildcard in the response topic": (
        b"\x30\x0a\x00\x01a\x06\x08\x00\x03a/#",
        (*EITHER, ReasonCode.TOPIC_NAME_INVALID),
    ),
    "ill-formed user property": (b"\x30\x0c\x00\x01a\x08\x26" + text(b"k") + text(b"\xc3\x28"), EITHER),
    "ill-formed content type": (b"\x30\x09\x00\x01a\x05\x03" + text(b"\xc3\x28"), EITHER),
    "payload format 2": (b"\x30\x06\x00\x01a\x02\x01\x02", EITHER),
    "reason code of others": (b"\x40\x03\x00\x01\x92", EITHER),
    "session expiry twice": (b"\xe0\x0c\x00\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01", EITHER),
    "AUTH with flags": (b"\xf1\x00", EITHER),
}


@pytest.mark.parametrize("name", NEW_OFFENCES)
def test_broken_rule_of_5_0_ends_the_connection(clients: Clients, name: str) -> None:
    packet, reasons = NEW_OFFENCES[name]
    client = clients.connect()
    client.send(packet)
    client.assert_ended(*reasons)


def test_payload_that_is_not_the_text_it_says_is_told(clients: Clients) -> None:
    client = clients.connect()
    client.send_publish(b"a", b"\xff\xfe", 1, properties=Properties(payload_format_indicator=1))
    answer = client.receive()
    assert getattr(answer, "reason_code", None) == ReasonCode.PAYLOAD_FORMAT_INVALID


@versions
def test_packets_before_a_broken_rule_count(clients: Clients, version: int) -> None:
    topic = unique("before")
    watcher = clients.connect(version)
    watcher.subscribe(topic, 1)
    client = clients.connect(version)
    client.send(encoder.encode_publish(version, topic, b"x", 0, 0, False, False), b"\x00\x00")
    client.assert_ended(*EITHER)
    assert watcher.take().payload == b"x"


def test_disconnect_is_the_last_packet_of_a_server(clients: Clients) -> None:
    client = clients.connect()
    client.send(b"\x00\x00", encoder.PINGREQ, encoder.encode_subscribe(5, 1, [Subscription(b"a")]))
    packets = client.rest()
    assert isinstance(packets.pop(), Disconnect)
    assert packets == []


def test_servers_disconnect_has_no_session_expiry(clients: Clients) -> None:
    client = clients.resume(MQTT_5_0, unique("expiry"))
    client.send(encoder.encode_connect(Connect(MQTT_5_0, b"x")))
    (packet,) = client.rest()
    assert isinstance(packet, Disconnect)
    assert packet.properties is None or packet.properties.session_expiry_interval is None


def test_auth_is_unknown_before_5_0(clients: Clients) -> None:
    client = clients.connect(MQTT_3_1_1)
    client.send(b"\xf0\x00")
    assert client.rest() == []
