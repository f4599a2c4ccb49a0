"""An edge node and a host back to back, and what the host makes of messages that are lost, late or false."""

import pytest

from protocols.sparkplug import host_view
from protocols.sparkplug.edge_node import NODE, REBIRTH, EdgeNode, Told
from protocols.sparkplug.host_view import (
    GAP,
    TOO_MANY,
    UNKNOWN_ALIAS,
    UNKNOWN_NODE,
    Ask,
    Dropped,
    Event,
    HostView,
    Presence,
    Reading,
    command,
    rebirth_request,
)
from protocols.sparkplug.payload import Metric, Payload, decode_payload, encode_payload
from protocols.sparkplug.topics import Topic, is_id, parse_topic, state_topic
from protocols.sparkplug.values import TYPES, set_value, value_of

NOW = 1_700_000_000_000
DOUBLE = TYPES["Double"]


class Site:
    """One edge node that a host hears."""

    def __init__(self) -> None:
        self.edge = EdgeNode("G", "E")
        self.view = HostView(rebirth_seconds=10.0)

    def born(self) -> list[Event]:
        self.edge.connect(NOW)
        return self.hear(*self.edge.births(NOW))

    def hear(self, *told: Told, at: float = 0.0) -> list[Event]:
        found: list[Event] = []
        for topic, payload in told:
            parsed = parse_topic(topic)
            assert parsed is not None
            found += self.view.receive(parsed, decode_payload(payload), at)
        return found

    def say(self, device: str, name: str, value: float) -> list[Told]:
        known = self.edge.find(device, name) or self.edge.define(device, name, DOUBLE)
        metric = Metric(alias=known.alias, timestamp=NOW + 1)
        set_value(metric, DOUBLE, value)
        self.edge.keep(known, metric)
        metric.datatype = 0
        return self.edge.data(device, [metric], NOW + 1)


def values(events: list[Event]) -> list[tuple[str, str, object]]:
    return [(one.device, one.name, value_of(one.metric, one.datatype)) for one in events if isinstance(one, Reading)]


def others(events: list[Event]) -> list[Event]:
    return [one for one in events if not isinstance(one, Reading)]


def test_births_tell_values_and_data_are_found_by_their_aliases() -> None:
    site = Site()
    site.say(NODE, "uptime", 1.0)
    site.say("pump", "rpm", 2.0)
    events = site.born()
    assert others(events) == [Presence(NODE, True), Presence("pump", True)]
    assert values(events) == [(NODE, "uptime", 1.0), ("pump", "rpm", 2.0)]
    events = site.hear(*site.say("pump", "rpm", 3.0), *site.say(NODE, "uptime", 4.0))
    assert (others(events), values(events)) == ([], [("pump", "rpm", 3.0), (NODE, "uptime", 4.0)])


def test_numbers_go_round_at_256() -> None:
    site = Site()
    site.say(NODE, "a", 0.0)
    site.born()
    for value in range(600):
        assert others(site.hear(*site.say(NODE, "a", value))) == []


def test_a_missing_message_asks_for_a_rebirth_now_and_then() -> None:
    site = Site()
    site.say(NODE, "a", 0.0)
    site.born()
    site.say(NODE, "a", 1.0)
    events = site.hear(*site.say(NODE, "a", 2.0), at=100.0)
    assert values(events) == [(NODE, "a", 2.0)]
    assert others(events) == [Ask("spBv1.0/G/NCMD/E", rebirth_request(NOW + 1), GAP)]
    site.say(NODE, "a", 3.0)
    assert others(site.hear(*site.say(NODE, "a", 4.0), at=105.0)) == []
    site.say(NODE, "a", 5.0)
    (again,) = others(site.hear(*site.say(NODE, "a", 6.0), at=110.0))
    assert isinstance(again, Ask)
    (asked,) = site.edge.commands(NODE, decode_payload(again.payload))
    assert (asked.name, asked.value) == (REBIRTH, True)
    # It is the same connection: no device is called away.
    assert others(site.hear(*site.edge.births(NOW))) == []


def test_an_unknown_node_and_an_unknown_alias_ask_for_a_rebirth() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.edge.connect(NOW)
    births = list(site.edge.births(NOW))
    dropped, ask = others(site.hear(*site.say("pump", "rpm", 1.0)))
    assert dropped == Dropped(UNKNOWN_NODE)
    assert isinstance(ask, Ask)
    assert ask.reason == UNKNOWN_NODE
    site.hear(births[0])  # But not that of the device.
    dropped, ask = others(site.hear(Told("spBv1.0/G/DDATA/E/pump", numbered(1, Metric(alias=1))), at=60.0))
    assert dropped == Dropped(UNKNOWN_ALIAS)
    assert isinstance(ask, Ask)


def numbered(seq: int, *metrics: Metric) -> bytes:
    return encode_payload(Payload(timestamp=NOW, seq=seq, metrics=list(metrics)))


def test_an_alias_is_of_one_device_alone() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.born()
    events = site.hear(Told("spBv1.0/G/DDATA/E/fan", numbered(2, Metric(alias=1))))
    assert values(events) == []
    assert others(events)[0] == Dropped(UNKNOWN_ALIAS)


def test_deaths_are_those_of_the_connection_that_is() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.born()
    old = site.edge.death(NOW)
    events = site.born()  # A second connection, before the first one's will is told.
    assert others(events) == [Presence("pump", False), Presence("pump", True)]
    assert site.hear(old) == []
    assert site.hear(site.edge.death(NOW)) == [Presence("pump", False), Presence(NODE, False)]
    assert site.hear(site.edge.death(NOW)) == []


def test_devices_come_and_leave() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.born()
    assert site.edge.set_presence("pump", False)
    assert not site.edge.set_presence("pump", False)
    assert others(site.hear(site.edge.device_death("pump", NOW))) == [Presence("pump", False)]
    assert [one.topic for one in site.edge.births(NOW)] == ["spBv1.0/G/NBIRTH/E"]
    assert site.edge.set_presence("pump", True)


def test_a_broker_that_is_gone_leaves_nobody_there() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.born()
    assert site.view.lose() == [("G", "E", Presence("pump", False)), ("G", "E", Presence(NODE, False))]
    assert site.view.definition("G", "E", "pump", "rpm") is None


def test_commands_are_written_by_alias_and_read_by_their_type() -> None:
    site = Site()
    site.say("pump", "rpm", 0.0)
    site.born()
    definition = site.view.definition("G", "E", "pump", "rpm")
    assert definition is not None
    payload = decode_payload(command(definition, 7.5, NOW))
    assert (payload.metrics[0].name, payload.metrics[0].alias) == (None, definition.alias)
    (found,) = site.edge.commands("pump", payload)
    assert (found.name, found.value) == ("rpm", 7.5)
    # Its alias says nothing on a topic of another device.
    (found,) = site.edge.commands("fan", payload)
    assert found.known is None


def test_a_newer_value_is_what_a_birth_tells() -> None:
    edge = EdgeNode("G", "E")
    known = edge.define(NODE, "a", DOUBLE)
    for timestamp, value in ((NOW + 5, 2.0), (NOW, 1.0)):
        metric = Metric(timestamp=timestamp)
        set_value(metric, DOUBLE, value)
        edge.keep(known, metric)
    edge.connect(NOW)
    (birth,) = edge.births(NOW)
    assert decode_payload(birth.payload).metrics[-1].value == 2.0


def test_topics() -> None:
    assert parse_topic("spBv1.0/G/DDATA/E/D") == Topic("G", "DDATA", "E", "D")
    assert parse_topic("spBv1.0/G/NDATA/E") == Topic("G", "NDATA", "E")
    assert str(Topic("G", "NDATA", "E")) == "spBv1.0/G/NDATA/E"
    for topic in ("spBv1.0/G/NDATA/E/D", "spBv1.0/G/DDATA/E", "spAv1.0/G/NDATA/E", "spBv1.0/G/NDATA/", "spBv1.0"):
        assert parse_topic(topic) is None
    assert state_topic("h") == "spBv1.0/STATE/h"
    assert [is_id(one) for one in ("a b", "", "a/b", "+", "a\n")] == [True, False, False, False, False]


def test_what_a_host_knows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of devices that have no metrics."""
    monkeypatch.setattr(host_view, "MOST_METRICS", 10)
    site = Site()
    site.born()
    found: list[Event] = []
    for number in range(20):
        device = Told(f"spBv1.0/G/DBIRTH/E/{number}", numbered(number + 1))
        found += site.hear(device)
    online = [one for one in found if isinstance(one, Presence)]
    dropped = [one for one in found if isinstance(one, Dropped)]
    assert 0 < len(online) < 10
    assert len(online) + len(dropped) == 20
    # A birth that comes again counts once, and a node that is born anew begins anew.
    site.edge.connect(NOW)
    assert [one for one in site.hear(*site.edge.births(NOW)) if isinstance(one, Presence) and one.is_online] == []
    for number in range(20):
        assert Dropped(TOO_MANY) not in site.hear(Told("spBv1.0/G/DBIRTH/E/same", numbered(number + 1)))
