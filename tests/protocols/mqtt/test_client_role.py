"""The client role against what a broker may say, and what it may not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MisuseError, PeerViolation
from protocols.mqtt import encoder
from protocols.mqtt.client_role import Accepted, ClientRole, Refused, ServerTerms, Silent, State, Subscribed
from protocols.mqtt.decoder import Decoder
from protocols.mqtt.packets import Connect, Puback, Subscribe, Subscription, Unsubscribe
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from protocols.mqtt.reason_codes import ReasonCode

VERSIONS = [4, 5]
WANTED = (Subscription(b"a/#", 2), Subscription(b"b", 1))
PATIENCE = 10.0
versions = pytest.mark.parametrize("version", VERSIONS)


def role(version: int, held: dict[bytes, int] | None = None, **more: Any) -> ClientRole:
    properties = Properties(topic_alias_maximum=2) if version == 5 else None
    connect = Connect(version, b"edge", False, 20, properties=properties, **more)
    return ClientRole(connect, WANTED, held or {}, 1 << 20, PATIENCE, 100.0)


def said(version: int, made: ClientRole) -> list[object]:
    """What the broker reads."""
    decoder = Decoder(1 << 20)
    decoder.version = decoder.publishes.version = version
    return decoder.receive(made.bytes_to_send())


def up(version: int) -> ClientRole:
    made = role(version)
    made.bytes_to_send()
    made.receive(encoder.encode_connack(version, False), 101.0)
    made.receive(encoder.encode_suback(version, 1, [2, 1]), 102.0)
    made.bytes_to_send()
    assert made.state is State.UP
    return made


@versions
def test_it_connects_and_subscribes(version: int) -> None:
    made = role(version)
    decoder = Decoder(1 << 20)
    (connect,) = decoder.receive(made.bytes_to_send())
    assert isinstance(connect, Connect)
    assert (connect.client_id, connect.clean_start, connect.keep_alive) == (b"edge", False, 20)
    (accepted,) = made.receive(encoder.encode_connack(version, False), 101.0)
    assert isinstance(accepted, Accepted)
    assert not accepted.session_present
    (subscribe,) = decoder.receive(made.bytes_to_send())
    assert isinstance(subscribe, Subscribe)
    assert subscribe.subscriptions == WANTED
    (subscribed,) = made.receive(encoder.encode_suback(version, subscribe.packet_id, [2, 0x80]), 102.0)
    assert subscribed == Subscribed({b"a/#": 2}, {b"b": ReasonCode.UNSPECIFIED_ERROR})
    assert made.state is State.UP


@versions
def test_a_session_that_is_there_is_not_subscribed_anew(version: int) -> None:
    made = role(version, {b"a/#": 2, b"old": 1})
    said(version, made)
    made.receive(encoder.encode_connack(version, True), 101.0)
    subscribe, unsubscribe = said(version, made)
    assert isinstance(subscribe, Subscribe)
    assert subscribe.subscriptions == WANTED[1:]
    assert isinstance(unsubscribe, Unsubscribe)
    assert unsubscribe.topic_filters == (b"old",)
    assert made.receive(encoder.encode_suback(version, 1, [1]), 102.0) == []
    assert made.receive(encoder.encode_unsuback(version, 2, [0]), 102.0) == [Subscribed({b"a/#": 2, b"b": 1}, {})]


@versions
def test_with_nothing_to_ask_for_it_is_up_at_once(version: int) -> None:
    made = role(version, {b"a/#": 2, b"b": 1})
    made.bytes_to_send()
    accepted, subscribed = made.receive(encoder.encode_connack(version, True), 101.0)
    assert isinstance(accepted, Accepted)
    assert isinstance(subscribed, Subscribed)
    assert made.bytes_to_send() == b""


def test_terms_of_the_broker_hold() -> None:
    made = role(5)
    properties = Properties(
        receive_maximum=7, maximum_packet_size=999, maximum_qos=1, retain_available=0, server_keep_alive=30
    )
    made.bytes_to_send()
    made.receive(encoder.encode_connack(5, False, 0, properties), 101.0)
    assert made.terms == ServerTerms(
        receive_maximum=7,
        max_packet_size=999,
        maximum_qos=1,
        retain_available=False,
        keep_alive=30,
        client_id=b"edge",
    )
    (subscribe,) = said(5, made)
    assert isinstance(subscribe, Subscribe)
    assert [one.qos for one in subscribe.subscriptions] == [1, 1]


@versions
def test_refusal_ends_it(version: int) -> None:
    made = role(version)
    (refused,) = made.receive(encoder.encode_connack(version, False, ReasonCode.NOT_AUTHORIZED), 101.0)
    assert refused == Refused(ReasonCode.NOT_AUTHORIZED, "")
    assert made.state is State.ENDED
    assert made.receive(encoder.encode_suback(version, 1, [1]), 102.0) == []
    assert made.next_deadline() is None


@pytest.mark.parametrize(
    ("connack", "code"),
    [(b"\x20\x02\x00\x01", 0x84), (b"\x20\x02\x00\x05", 0x87), (b"\x20\x02\x00\x63", 0x84), (b"\x20\x02", 0x84)],
)
def test_a_broker_of_3_1_1_is_understood_when_it_refuses_5_0(connack: bytes, code: int) -> None:
    assert role(5).receive(connack, 101.0) == [Refused(ReasonCode(code), "")]


@versions
def test_a_sign_of_life_may_be_asked_for(version: int) -> None:
    """By whoever wants to know that everything in front of it was taken."""
    made = up(version)
    assert made.receive(encoder.PINGRESP, 103.0) == []  # Nobody has asked for it.
    made.ping(104.0)
    made.ping(105.0)
    assert made.bytes_to_send() == 2 * encoder.PINGREQ
    assert (made.pings, made.pongs) == (2, 0)
    made.receive(encoder.PINGRESP, 106.0)
    assert (made.pings, made.pongs) == (2, 1)
    assert made.on_deadline(105.0 + PATIENCE) == [Silent("no PINGRESP in time")]


def test_a_subscribe_has_no_more_filters_than_the_broker_takes() -> None:
    connect = Connect(4, b"edge", keep_alive=20)
    wanted = [Subscription(b"in/%d" % number) for number in range(5)]
    made = ClientRole(connect, wanted, {}, 1 << 20, PATIENCE, 100.0, filters_at_once=2)
    made.bytes_to_send()
    made.receive(b"\x20\x02\x00\x00", 101.0)
    chunks = [wanted[:2], wanted[2:4], wanted[4:]]
    asked = [encoder.encode_subscribe(4, number, chunk) for number, chunk in enumerate(chunks, 1)]
    assert made.bytes_to_send() == b"".join(asked)


@versions
def test_silence_is_noticed(version: int) -> None:
    made = role(version)
    assert made.on_deadline(105.0) == []
    assert made.on_deadline(100.0 + PATIENCE) == [Silent("no CONNACK in time")]
    made = up(version)
    assert made.next_deadline() == 122.0
    assert made.on_deadline(122.0) == []
    assert made.bytes_to_send() == encoder.PINGREQ
    assert made.receive(encoder.PINGRESP, 123.0) == []
    assert made.next_deadline() == 143.0
    assert made.on_deadline(143.0) == []
    assert made.on_deadline(143.0 + PATIENCE) == [Silent("no PINGRESP in time")]


@versions
@pytest.mark.parametrize(
    "packet",
    [
        encoder.PINGRESP,
        b"\x90\x04\x00\x01\x00\x01",
        b"\x30\x04\x00\x01ax",
        b"\xff\xff",
        b"\x20\x03\x02\x00\x00",
    ],
)
def test_anything_before_the_connack_is_a_violation(version: int, packet: bytes) -> None:
    (event,) = role(version).receive(packet, 101.0)
    assert isinstance(event, PeerViolation)
    assert event.farewell == b""


@versions
def test_what_was_not_asked_for_is_a_violation(version: int) -> None:
    for packet in (
        encoder.encode_connack(version, False),
        encoder.encode_suback(version, 1, [1]),
        encoder.encode_unsuback(version, 9, [0]),
    ):
        (event,) = up(version).receive(packet, 103.0)
        assert isinstance(event, PeerViolation)
        assert bool(event.farewell) is (version == 5)


def test_a_clean_start_has_no_session() -> None:
    connect = Connect(5, b"edge", clean_start=True)
    (event,) = ClientRole(connect, (), {}, 1000, PATIENCE, 0.0).receive(encoder.encode_connack(5, True), 1.0)
    assert isinstance(event, PeerViolation)


def test_goodbye_of_the_broker_says_why() -> None:
    reason = Properties(reason_string=b"maintenance")
    (event,) = up(5).receive(encoder.encode_disconnect(5, ReasonCode.SERVER_SHUTTING_DOWN, reason), 103.0)
    assert event == Refused(ReasonCode.SERVER_SHUTTING_DOWN, "maintenance")


def aliased(topic: bytes, alias: int) -> bytes:
    return encoder.encode_publish(5, topic, b"x", 0, 0, False, False, Properties(topic_alias=alias))


def test_topic_aliases_are_resolved() -> None:
    made = up(5)
    events = made.receive(aliased(b"a/b", 1) + aliased(b"", 1) + aliased(b"c", 1) + aliased(b"", 1), 103.0)
    assert [event.topic for event in events if isinstance(event, Publish)] == [b"a/b", b"a/b", b"c", b"c"]


@pytest.mark.parametrize("packet", [aliased(b"a", 3), aliased(b"", 1)], ids=["above the maximum", "unknown"])
def test_aliases_that_were_not_agreed_on_are_a_violation(packet: bytes) -> None:
    (event,) = up(5).receive(packet, 103.0)
    assert isinstance(event, PeerViolation)


def test_acknowledgements_pass() -> None:
    assert up(5).receive(encoder.encode_puback(5, 7), 103.0) == [Puback(7)]


def test_only_two_versions_are_spoken() -> None:
    with pytest.raises(MisuseError):
        ClientRole(Connect(3, b"edge"), (), {}, 1000, PATIENCE, 0.0)


@given(st.binary(max_size=60), st.sampled_from(VERSIONS), st.booleans())
def test_no_input_raises(data: bytes, version: int, is_up: bool) -> None:
    made = up(version) if is_up else role(version)
    made.receive(data, 103.0)
    made.on_deadline(1000.0)
