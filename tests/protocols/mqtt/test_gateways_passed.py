"""Which gateways a message has come through."""

from protocols.mqtt.gateways_passed import MOST_NAMES, VIA, gateway_named, gateways_passed, name_gateway, with_gateway
from protocols.mqtt.header_mapping import headers_of, properties_of
from protocols.mqtt.properties import Properties


def test_names_survive_the_way_through_headers() -> None:
    sent = Properties(user_properties=with_gateway([(b"unit", b"C")], b"one"))
    header = headers_of(sent, False)
    assert gateways_passed(header) == [b"one"]
    received = properties_of(header).properties
    assert received is not None
    again = with_gateway(received.user_properties, b"two")
    assert again == ((b"unit", b"C"), (VIA, b"one two"))
    assert gateways_passed(headers_of(Properties(user_properties=again), True)) == [b"one", b"two"]


def test_a_message_that_passed_none_names_none() -> None:
    assert gateways_passed(b"") == []
    assert gateways_passed(b"NATS/1.0\r\nunit: C\r\n\r\n") == []


def test_only_the_last_names_are_kept() -> None:
    pairs = with_gateway([(VIA, b" ".join(b"%d" % number for number in range(1000)))], b"last")
    names = pairs[0][1].split()
    assert len(names) == MOST_NAMES
    assert names[-2:] == [b"999", b"last"]


def test_a_gateway_tells_its_name_and_others_none() -> None:
    assert gateway_named(Properties(user_properties=name_gateway(b"abc123"))) == b"abc123"
    assert gateway_named(Properties()) == b""
    assert gateway_named(None) == b""
    assert gateway_named(Properties(user_properties=name_gateway(b"not a name"))) == b""
    assert gateway_named(Properties(user_properties=name_gateway(b"a" * 65))) == b""
