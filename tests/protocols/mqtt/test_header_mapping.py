"""Properties of MQTT 5.0 messages as NATS headers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.mqtt.header_mapping import (
    HeaderContents,
    expiry_seconds,
    has_retain,
    headers_of,
    properties_of,
    with_correlation,
    without_retain,
)
from protocols.mqtt.properties import Properties

NOTHING = HeaderContents(None, False, None)
# What the rules are made of, so that their corners come up.
LEGAL_PIECES = [" ", ":", "=", "%", "%41", "a", "503", "é"]
PIECES = st.sampled_from([*LEGAL_PIECES, "\t", "\r", "\n", "\r\n", "\v", "\x7f", "\ufffe"])
TEXTS = (st.sampled_from(LEGAL_PIECES) | st.text(st.characters(exclude_categories=["Cc", "Cn", "Cs"]), max_size=3)).map(
    str.encode
)
STRINGS = st.lists(TEXTS, max_size=4).map(b"".join)
OUR_NAMES = [
    b"Content-Type",
    b"content-type",
    b"Mqtt-Content-Type",
    b"Mqtt-Correlation-Data",
    b"Mqtt-Message-Expiry",
    b"Mqtt-Payload-Format",
    b"MQTT-RETAIN",
    b"Mqtt-User-Property",
    b"Nats-Status",
    b"nats-status",
    b"Nats-Status-Description",
]
NAMES = st.sampled_from([*OUR_NAMES, b"Room", b"x", b""]) | STRINGS
VALUES = st.sampled_from([b"1", b"404", b"No Responders", b""]) | STRINGS
PROPERTIES = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    message_expiry_interval=st.none() | st.integers(0, 0xFFFFFFFF),
    content_type=st.none() | STRINGS,
    correlation_data=st.none() | st.binary(max_size=8),
    user_properties=st.lists(st.tuples(NAMES, VALUES), max_size=5).map(tuple),
)


def block(*lines: bytes, first: bytes = b"NATS/1.0") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


@pytest.mark.parametrize(
    ("properties", "header"),
    [
        (Properties(content_type=b"text/plain"), block(b"Content-Type: text/plain")),
        (Properties(content_type=b""), block(b"Content-Type: ")),
        (Properties(content_type=b" ab"), block(b"Mqtt-Content-Type: %20ab")),
        (Properties(message_expiry_interval=60), block(b"Mqtt-Message-Expiry: 60")),
        (Properties(message_expiry_interval=0), block(b"Mqtt-Message-Expiry: 0")),
        (Properties(payload_format_indicator=1), block(b"Mqtt-Payload-Format: 1")),
        (Properties(payload_format_indicator=0), block(b"Mqtt-Payload-Format: 0")),
        (Properties(correlation_data=b"\xff\x00"), block(b"Mqtt-Correlation-Data: /wA=")),
        (Properties(correlation_data=b""), block(b"Mqtt-Correlation-Data: ")),
        (
            Properties(user_properties=((b"b", b"1"), (b"a", "é x".encode()), (b"b", b""))),
            block(b"b: 1", "a: é x".encode(), b"b: "),
        ),
        (Properties(user_properties=((b"a b", b"1"),)), block(b"Mqtt-User-Property: a%20b=1")),
        (Properties(user_properties=((b"", b"="),)), block(b"Mqtt-User-Property: =%3D")),
        (Properties(user_properties=((b"a", b" 1"),)), block(b"Mqtt-User-Property: a=%201")),
        (Properties(user_properties=((b"a:", b"1"),)), block(b"Mqtt-User-Property: a%3A=1")),
        (Properties(user_properties=(("é".encode(), b"1"),)), block(b"Mqtt-User-Property: %C3%A9=1")),
        (Properties(user_properties=((b"mqtt-retain", b"1"),)), block(b"Mqtt-User-Property: mqtt-retain=1")),
        (Properties(user_properties=((b"CONTENT-TYPE", b"x"),)), block(b"Mqtt-User-Property: CONTENT-TYPE=x")),
        (
            Properties(user_properties=((b"Nats-Status", b"503"), (b"Nats-Status-Description", b"No Responders"))),
            block(first=b"NATS/1.0 503 No Responders"),
        ),
        (
            Properties(user_properties=((b"Nats-Status", b"100"), (b"x", b"y"))),
            block(b"x: y", first=b"NATS/1.0 100"),
        ),
        (
            Properties(user_properties=((b"x", b"y"), (b"Nats-Status", b"100"))),
            block(b"x: y", b"Nats-Status: 100"),
        ),
        (Properties(user_properties=((b"Nats-Status", b"ok"),)), block(b"Nats-Status: ok")),
    ],
)
def test_property_has_its_header_and_comes_back(properties, header):
    assert headers_of(properties, False) == header
    contents = properties_of(header)
    assert contents == HeaderContents(properties, False, properties.message_expiry_interval)
    assert expiry_seconds(header) == properties.message_expiry_interval


def test_retain_flag_has_its_header_and_comes_back():
    assert headers_of(None, True) == block(b"Mqtt-Retain: 1")
    assert properties_of(block(b"Mqtt-Retain: 1")) == HeaderContents(None, True, None)


def test_nothing_to_say_is_no_header():
    assert headers_of(None, False) == headers_of(Properties(), False) == b""
    assert properties_of(b"") == properties_of(block()) == NOTHING


def test_what_belongs_to_a_connection_is_left_out():
    properties = Properties(topic_alias=1, subscription_identifiers=(1,), response_topic=b"a", will_delay_interval=1)
    assert headers_of(properties, False) == b""


@given(PROPERTIES, st.booleans())
@example(Properties(user_properties=((b"Nats-Status", b"503"), (b"Nats-Status-Description", b""))), False)
@example(Properties(user_properties=((b"Nats-Status-Description", b"x"), (b"Nats-Status", b"503"))), False)
def test_properties_come_back_as_they_were(properties, retain):
    header = headers_of(properties, retain)
    contents = properties_of(header)
    assert (contents.properties or Properties()) == properties
    assert contents.retain is has_retain(header) is retain
    assert contents.expiry == expiry_seconds(header) == properties.message_expiry_interval


HEADER_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1).map(
    str.encode
)
HEADERS = st.tuples(
    HEADER_NAMES.filter(lambda name: not name.lower().startswith((b"mqtt-", b"content-", b"nats-"))),
    STRINGS.map(bytes.strip),
)
STATUS_LINES = st.sampled_from([b"NATS/1.0", b"NATS/1.0 503", b"NATS/1.0 503 No Responders", b"NATS/1.0 100 Idle  x"])
OUR_LINES = [
    b"Mqtt-Retain: 1",
    b"Mqtt-Payload-Format: 1",
    b"Mqtt-Message-Expiry: 5",
    b"Content-Type: a/b",
    b"Mqtt-Correlation-Data: QQ==",
]


@given(STATUS_LINES, st.sets(st.sampled_from(OUR_LINES)), st.lists(HEADERS, max_size=5))
def test_headers_come_back_as_they_were(first, ours, others):
    lines = [line for line in OUR_LINES if line in ours] + [name + b": " + value for name, value in others]
    header = block(*lines, first=first)
    properties, retain, _ = properties_of(header)
    assert headers_of(properties, retain) == (header if header != block() else b"")


@pytest.mark.parametrize(
    ("header", "same"),
    [
        (block(b"a:1", b"b:  2\t"), block(b"a: 1", b"b: 2")),
        (block(b"content-type: x"), block(b"Content-Type: x")),
        (block(b"a: 1", b"Content-Type: x", b"MQTT-Retain: 1"), block(b"Mqtt-Retain: 1", b"Content-Type: x", b"a: 1")),
        (block(b"Content-Type: x", b"Content-Type: y"), block(b"Content-Type: x")),
        (block(b"Mqtt-Content-Type: a%2Fb"), block(b"Content-Type: a/b")),
        (block(b"Mqtt-Message-Expiry: 007"), block(b"Mqtt-Message-Expiry: 7")),
        (block(b"Mqtt-User-Property: a=b%20c"), block(b"a: b c")),
        (block(b"Mqtt-User-Property: a=b=%zz"), block(b"a: b=%zz")),
        (block(b"Nats-Status: 503"), block(first=b"NATS/1.0 503")),
        (block(first=b"NATS/1.0  503\tNo Responders "), block(first=b"NATS/1.0 503 No Responders")),
        (b"NATS/1.0\r\na: 1", block(b"a: 1")),
        (block(b"a: 1", b"", b"b: 2"), block(b"a: 1")),
    ],
)
def test_headers_come_back_in_their_usual_form(header, same):
    contents = properties_of(header)
    assert headers_of(contents.properties, contents.retain) == same
    assert properties_of(same) == contents


@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b": no name",
        b"a b: 1",
        b" folded: 1",
        "é: 1".encode(),
        b"a: \xff",
        b"a: \0",
        b"a: b\rc",
        b"a: b\nc",
        b"a: " + b"x" * 65_536,
        b"x" * 65_536 + b": a",
        b"Content-Type: \xff",
        b"Content-Type: " + b"x" * 65_536,
        b"Mqtt-Content-Type: %FF",
        b"Mqtt-Message-Expiry: soon",
        b"Mqtt-Message-Expiry: -1",
        b"Mqtt-Message-Expiry: 4294967296",
        b"Mqtt-Message-Expiry: " + b"9" * 5000,
        b"Mqtt-Message-Expiry:",
        b"Mqtt-Payload-Format: 2",
        b"Mqtt-Retain: 0",
        b"Mqtt-Retain:1",
        b"Mqtt-Correlation-Data: Q",
        b"Mqtt-Correlation-Data: " + b"AAAA" * 21_846,
        b"Mqtt-User-Property: a",
        b"Mqtt-User-Property: a%00=b",
        b"Mqtt-User-Property: a=%ff",
        b"Mqtt-User-Property: a=1%0A2",
        b"a: b\tc",
        b"Content-Type: \x7f",
        "Mqtt-Content-Type: \ufffe".encode(),
    ],
)
def test_what_fits_into_no_property_is_skipped(line):
    assert properties_of(block(line)) == NOTHING
    assert properties_of(block(line, b"x: y")).properties == Properties(user_properties=((b"x", b"y"),))


@pytest.mark.parametrize("first", [b"", b"NATS/1.0 ", b"NATS/1.0 5xx", b"NATS/1.0 5033", b"NATS/2.0 503", b"HTTP/1.1"])
def test_odd_first_line_says_nothing(first):
    assert properties_of(block(first=first)) == NOTHING


def test_longest_strings_fit():
    longest = b"x" * 65_535
    properties = Properties(content_type=longest, user_properties=((longest, longest),))
    assert properties_of(headers_of(properties, False)).properties == properties


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        (block(b"Mqtt-Retain: 1"), b""),
        (block(b"a: 1", b"mqtt-RETAIN: 1", b"b: 2", b"Mqtt-Retain: 1"), block(b"a: 1", b"b: 2")),
        (block(b"Mqtt-Retain: 1", first=b"NATS/1.0 100"), block(first=b"NATS/1.0 100")),
    ],
)
def test_retain_is_seen_and_taken_out(header, rest):
    assert has_retain(header)
    assert without_retain(header) == rest


@pytest.mark.parametrize(
    "header", [b"", block(), block(b"Mqtt-Retain: 11"), block(b"X-Mqtt-Retain: 1"), b"Mqtt-Retain: 1"]
)
def test_header_without_retain_stays_as_it_is(header):
    assert not has_retain(header)
    assert without_retain(header) == header


def test_correlation_data_are_put_in_place_of_others():
    assert with_correlation(b"", b"A") == block(b"Mqtt-Correlation-Data: QQ==")
    header = block(b"a: 1", b"mqtt-correlation-data: eA==", first=b"NATS/1.0 503")
    expected = block(b"Mqtt-Correlation-Data: QQ==", b"a: 1", first=b"NATS/1.0 503")
    assert with_correlation(header, b"A") == expected
    assert with_correlation(header, None) == header


@given(st.binary() | st.lists(PIECES.map(str.encode) | st.sampled_from(OUR_NAMES)).map(b"".join))
def test_any_bytes_are_read_without_error(data):
    for header in (data, block(data), b"NATS/1.0" + data):
        contents = properties_of(header)
        again = headers_of(contents.properties, contents.retain)
        assert properties_of(again) == contents
        assert not has_retain(without_retain(header))
        assert expiry_seconds(header) == contents.expiry
