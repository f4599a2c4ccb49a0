"""Records between MessagePack and JSON: nothing that MessagePack has is lost without a word, and JSON stays JSON."""

import msgspec
import pytest

from protocols.fluent.scanning import NotMessagePackError
from protocols.fluent.values import decode, encode_event, event_time, record_of, to_json

pack = msgspec.msgpack.encode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": [1.5, None, True]}, b'{"a":1,"b":[1.5,null,true]}'),
        ({"a": b"text", b"k": b"\xff"}, b'{"a":"text","k":"/w=="}'),
        ({1: "a", None: "b", (1, 2): "c"}, b'{"1":"a","None":"b","(1, 2)":"c"}'),
        ({"t": msgspec.msgpack.Ext(0, event_time(1_500_000_000)[2:])}, b'{"t":1.5}'),
        ({"x": msgspec.msgpack.Ext(5, b"\x01\x02")}, b'{"x":"0102"}'),
        ({"n": float("nan")}, b'{"n":null}'),
    ],
)
def test_record_becomes_json(value, text):
    assert to_json(decode(pack(value))) == text


def test_record_that_is_too_deep_is_refused():
    value: object = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(NotMessagePackError):
        to_json(decode(pack(value)))
    with pytest.raises(NotMessagePackError):
        decode(b"\x91" * 100_000 + b"\xc0")


@pytest.mark.parametrize(
    ("payload", "record"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"21.5", {"message": "21.5"}),
        (b'{"a": ', {"message": '{"a": '}),
        (b"[1, 2]", {"message": "[1, 2]"}),
        (b"\xff\x00", {"message": "\\xff\x00"}),
        (b"", {"message": ""}),
    ],
)
def test_payload_becomes_a_record(payload, record):
    assert record_of(payload) == record


def test_numbers_that_messagepack_does_not_have_become_text():
    event = encode_event(1, record_of(b'{"n": 99999999999999999999999, "l": [99999999999999999999999, 2]}'))
    assert msgspec.msgpack.decode(event)[1] == {
        "n": "99999999999999999999999",
        "l": ["99999999999999999999999", 2],
    }


def test_json_that_is_very_deep_is_sent_all_the_same():
    event = encode_event(1, record_of(b'{"a":' * 900 + b"1" + b"}" * 900))
    assert event.startswith(b"\x92\xd7\x00")
