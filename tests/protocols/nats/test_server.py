import msgspec
import pytest

from protocols.close_reason import CloseReason
from protocols.nats.login import Login
from protocols.nats.server import (
    DEFAULT_OPTIONS,
    Connect,
    Ping,
    Pong,
    ServerDecoder,
    Subscribe,
    Unsubscribe,
    encode_info,
    merge_options,
    no_responders_header,
)
from tests.protocols.nats.events import decode, violation

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"


def decoded(data: bytes, *, headers: bool = True) -> list[object]:
    decoder = ServerDecoder(max_payload=1000, max_control_line=10_000)
    decoder.headers = headers
    return decode(decoder, [data])


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"PING", Ping()),
        (b"PONG", Pong()),
        (b"PING whatever", Ping()),
        (b"SUB foo 1", Subscribe(b"foo", b"", b"1")),
        (b"SUB foo.> group sid-9", Subscribe(b"foo.>", b"group", b"sid-9")),
        (b"SUB a..b 1", Subscribe(b"a..b", b"", b"1")),
        (b"UNSUB 1", Unsubscribe(b"1", 0)),
        (b"UNSUB 1 5", Unsubscribe(b"1", 5)),
        (b"UNSUB 1 0", Unsubscribe(b"1", 0)),
        (b"UNSUB 1 -5", Unsubscribe(b"1", 0)),
        (b"UNSUB 1 many", Unsubscribe(b"1", 0)),
    ],
)
def test_operation_becomes_its_event(line: bytes, event: object):
    assert decoded(line + b"\r\n") == [event]


@pytest.mark.parametrize("line", [b"+OK", b"INFO {}", b"INFO", b"INFO nonsense"])
def test_what_servers_say_is_ignored(line: bytes):
    assert decoded(line + b"\r\nPING\r\n") == [Ping()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PUB foo 2\r\nhi\r\n", (b"foo", b"2\r\nhi\r\n", 0, 2, b"", None)),
        (b"PUB foo to.me 0\r\n\r\n", (b"foo", b"to.me 0\r\n\r\n", 0, 0, b"to.me", None)),
        (b"HPUB foo 18 20\r\n" + HEADER + b"hi\r\n", (b"foo", b"18 20\r\n" + HEADER + b"hi\r\n", 18, 20, b"", None)),
        (
            b"HPUB foo to.me 18 18\r\n" + HEADER + b"\r\n",
            (b"foo", b"to.me 18 18\r\n" + HEADER + b"\r\n", 18, 18, b"to.me", None),
        ),
        # Without a header block it is a plain message.
        (b"HPUB foo 0 2\r\nhi\r\n", (b"foo", b"2\r\nhi\r\n", 0, 2, b"", None)),
        (b"HPUB foo to.me 0 2\r\nhi\r\n", (b"foo", b"to.me 2\r\nhi\r\n", 0, 2, b"to.me", None)),
        (b"PUB a..b 0\r\n\r\n", (b"a..b", b"0\r\n\r\n", 0, 0, b"", None)),
    ],
)
def test_publish_becomes_a_message_with_its_wire_tail(data: bytes, message: tuple[object, ...]):
    assert decoded(data) == [message]


@pytest.mark.parametrize("subject", [b"_GR_.x", b"$GR.x", b"$NRG.x"])
def test_message_to_a_reserved_subject_is_refused(subject: bytes):
    refused = ("refused", (subject, b"2\r\nhi\r\n", 0, 2, b"", None))
    assert decoded(b"PUB %b 2\r\nhi\r\nPING\r\n" % subject * 2) == [refused, Ping()] * 2


@pytest.mark.parametrize("reply", [b"_R_.x", b"$JS.ACK.x", b"_GR_.x", b"$GR.x"])
def test_message_with_a_reserved_reply_is_refused(reply: bytes):
    refused = ("refused", (b"foo", b"%b 2\r\nhi\r\n" % reply, 0, 2, reply, None))
    assert decoded(b"PUB foo %b 2\r\nhi\r\nPING\r\n" % reply * 2) == [refused, Ping()] * 2


@pytest.mark.parametrize(
    "line",
    [
        b"PUB foo",
        b"PUB foo bar baz 0",
        b"PUB foo x",
        b"PUB foo -1",
        b"PUB foo 0000000001",
        b"PUB ",
        b"HPUB foo 12",
        b"HPUB foo a b 12 12",
        b"HPUB foo 13 12",
        b"HPUB foo x 12",
        b"HPUB foo 12 x",
        b"SUB foo",
        b"SUB foo bar 1 2",
        b"UNSUB ",
        b"UNSUB 1 2 3",
        b"CONNECT",
        b"CONNECT nonsense",
        b"CONNECT []",
        b'CONNECT {"verbose":1}',
        b'CONNECT {"name":"\xff\x01"}',
        b'CONNECT {"name":"\\ud800","echo":"\xff"}',
        b'CONNECT {"name":"\xff","echo":1}',
        b'CONNECT {"name":"\xff"',
        b'CONNECT {"name":"\xff","x":NaN}',
        b'CONNECT ["\xff"]',
        b"CONNECT {} {}",
        b"CONNECT " + b'{"a":' * 1500,
    ],
)
def test_malformed_arguments_end_the_stream_without_a_word(line: bytes):
    found = violation(decoded(line + b"\r\n"))
    assert (found.reason, found.farewell) == (CloseReason.PROTOCOL_VIOLATION, b"")


@pytest.mark.parametrize(
    "line", [b"PUB", b"HPUB", b"SUB", b"UNSUB", b"-ERR", b"MSG a 1 0", b"HMSG a 1 0 0", b"LS+ a", b""]
)
def test_what_is_no_operation_of_clients_is_unknown(line: bytes):
    found = violation(decoded(line + b"\r\n"))
    assert (found.reason, found.farewell) == (CloseReason.PARSE_ERROR, b"-ERR 'Unknown Protocol Operation'\r\n")


def test_error_from_a_client_ends_its_connection():
    found = violation(decoded(b"-ERR 'no'\r\n"))
    assert (found.reason, found.farewell) == (CloseReason.CLIENT_CLOSED, b"")


def test_headers_are_agreed_on_by_the_last_connect_that_names_them():
    message = b"HPUB foo 18 18\r\n" + HEADER + b"\r\n"
    agreed = b'CONNECT {"headers":true}\r\n'
    assert violation(decoded(message, headers=False)).reason is CloseReason.PROTOCOL_VIOLATION
    assert len(decoded(agreed + message + b"CONNECT {}\r\n" + message, headers=False)) == 4
    assert violation(decoded(agreed + b'CONNECT {"headers":false}\r\n' + message, headers=False))


def test_connect_tells_the_fields_it_names_and_the_password_apart():
    (event,) = decoded(b'CONNECT {"verbose":false,"name":"x","user":"u","pass":"secret","lang":null,"other":[1]}\r\n')
    assert event == Connect({"verbose": False, "name": "x", "user": "u"}, Login(user="u", password="secret"))
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (b"K\xfcche", "K\ufffdche"),
        (b"\xe2\x82", "\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\\ud83d", "\ufffd"),
        (b"a\\udc00b\xff", "a\ufffdb\ufffd"),
        (b"\\ud83d\\ude00 \xc3\xa4\xe4", "\U0001f600 \u00e4\ufffd"),
    ],
)
def test_what_is_no_unicode_in_a_name_is_replaced_as_nats_server_does(name: bytes, read: str):
    (event,) = decoded(b'CONNECT {"NAME":"' + name + b'","\xff":"\xff","headers":true}\r\n')
    assert event == Connect({"headers": True, "name": read})


def test_later_connect_changes_only_what_it_names():
    options = merge_options(DEFAULT_OPTIONS, Connect({"verbose": False, "headers": True, "name": "x"}))
    options = merge_options(options, Connect({"echo": False}))
    assert (options.verbose, options.headers, options.name, options.echo) == (False, True, "x", False)
    assert (options.pedantic, options.protocol) == (True, 0)


def test_info_has_a_space_before_its_end():
    info = encode_info({"server_id": "N", "max_payload": 5})
    assert info.startswith(b"INFO {")
    assert info.endswith(b"} \r\n")
    assert msgspec.json.decode(info[5:]) == {"server_id": "N", "max_payload": 5}


def test_no_responders_header_names_the_subject():
    assert no_responders_header(b"nobody") == b"NATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n"
    assert len(no_responders_header(b"nobody")) == 38
