"""Which metrics messages are, and what a host makes of metrics."""

import json

import msgspec
import pytest

from gateway.integrations.sparkplug.host import is_online, told_of, value_in
from gateway.integrations.sparkplug.host_state import encode_state
from gateway.integrations.sparkplug.mapping import Mapping
from gateway.settings.sparkplug import NodeMetric
from protocols.numbers.readings import Readings
from protocols.sparkplug.host_view import Reading
from protocols.sparkplug.payload import DOUBLE, MetaData, Metric, Property
from protocols.sparkplug.values import TYPES, ValueTypeError


def read(entry: NodeMetric, subject: str, payload: bytes) -> list[tuple[str, object]]:
    mapping = Mapping([entry])
    route = mapping.route(subject.encode())
    assert route is not None
    return mapping.read(route, subject.encode(), payload)


@pytest.mark.parametrize(
    ("entry", "payload", "found"),
    [
        (NodeMetric(subject="a.>"), b"21.5", [("t", 21.5)]),
        (NodeMetric(subject="a.>"), b"true", [("t", True)]),
        (NodeMetric(subject="a.>"), b'"on"', [("t", "on")]),
        (NodeMetric(subject="a.>"), b"running \xff", [("t", "running \ufffd")]),
        (NodeMetric(subject="a.>"), b"null", []),
        (NodeMetric(subject="a.>"), b"{}", []),
        (NodeMetric(subject="a.>"), b'{"x": 1, "y": {"z": 2}, "s": "3"}', [("t/x", 1.0), ("t/y/z", 2.0)]),
        (NodeMetric(subject="a.>", metric="{{field}} of {{token(-1)}}"), b'{"x": [1]}', [("x.0 of t", 1.0)]),
        (NodeMetric(subject="a.>", field="y.z"), b'{"x": 1, "y": {"z": "2"}}', [("t", "2")]),
        (NodeMetric(subject="a.>", field="none"), b'{"x": 1}', []),
        (NodeMetric(subject="a.>", type="Int32"), b'"17"', [("t", 17.0)]),
        (NodeMetric(subject="a.>", type="Int32"), b"true", [("t", 1)]),
        (NodeMetric(subject="a.>", type="Boolean"), b"ON", [("t", True)]),
        (NodeMetric(subject="a.>", type="String"), b"17", [("t", "17")]),
    ],
)
def test_payloads_are_values_of_metrics(entry: NodeMetric, payload: bytes, found: list[tuple[str, object]]) -> None:
    assert read(entry, "a.b.t", payload) == found


def test_the_first_entry_that_fits_says_whose_a_metric_is() -> None:
    mapping = Mapping(
        [
            NodeMetric(subject="a.pump.rpm", metric="speed", type="Int16"),
            NodeMetric(subject="a.*.*", device="{{token(2)}}", command="{{subject}}.set"),
        ]
    )
    first, second = mapping.route(b"a.pump.rpm"), mapping.route(b"a.pump.t")
    assert first is not None
    assert second is not None
    assert (first.device, first.metric, first.datatype, first.command) == ("", "speed", TYPES["Int16"], "")
    assert (second.device, second.metric, second.datatype, second.command) == ("pump", "t", 0, "a.pump.t.set")
    assert mapping.route(b"b") is None
    # In a topic it would be something else.
    assert mapping.route(b"a.p/s.t") is None


def test_a_value_has_its_time_for_the_sinks_of_numbers() -> None:
    metric = Metric(field=DOUBLE, value=21.5, is_historical=True, metadata=MetaData(content_type="x"))
    properties = {"Quality": Property(TYPES["Int32"], value=192)}
    told = told_of(Reading("pump", "t", TYPES["Double"], metric, 1_700_000_000_123, False, properties))
    assert told == {
        "value": 21.5,
        "timestamp": 1_700_000_000_123,
        "type": "Double",
        "metric": "t",
        "historical": True,
        "properties": {"Quality": 192},
        "metadata": {"content_type": "x"},
    }
    found = Readings(("value",), "timestamp").read(msgspec.json.encode(told))
    assert found == ([("value", 21.5)], 1_700_000_000_123_000_000)


def test_states_of_hosts() -> None:
    assert json.loads(encode_state(True, 5)) == {"online": True, "timestamp": 5}
    assert [is_online(encode_state(online, at), 5) for online, at in ((True, 9), (False, 4), (False, 5))] == [
        True,
        True,
        False,
    ]
    # What anybody may publish there.
    wrong = (b"OFFLINE", b"[" * 100_000, b'{"online":false,"timestamp":"yesterday"}', b'{"online":false}', b'"\xff"')
    assert [is_online(one, 5) for one in wrong] == [False] * len(wrong)


def test_what_a_request_writes() -> None:
    assert [value_in(one) for one in (b"1.5", b"true", b"fast", b'"1"')] == [1.5, True, "fast", "1"]
    with pytest.raises(ValueTypeError, match="longer than"):
        value_in(b"x" * 70_000)
