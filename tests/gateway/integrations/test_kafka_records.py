"""What a message is in Kafka, and what a record is here; the keys of [[kafka]]."""

from typing import Any

import pytest

from gateway.integrations.kafka import records
from gateway.integrations.kafka.properties import BATCH_BYTES, consuming, producing
from gateway.integrations.kafka.records import Reader, Route, Router, UnroutableError, record_headers, topic_regex
from gateway.settings.file import KeyedValueError
from gateway.settings.kafka import In, Kafka, KafkaTls, Out
from gateway.settings.secret import Secret
from gateway.storage.streams.stored_message import stored_message


def message(subject: bytes, header: bytes = b"") -> Any:
    return stored_message(1, 2, subject, header, b"payload")


def test_first_entry_that_fits_says_topic_key_and_partition() -> None:
    router = Router(
        [
            Out(subject="a.*.t", topic="t-$1", key="{{header(Site)}}", partition="{{partition(3,1)}}"),
            Out(subject="a.>", topic="rest"),
            Out(subject="b", topic="keyless", key=""),
        ]
    )
    route = router.route(message(b"a.x.t", b"NATS/1.0\r\nSite: s7\r\n\r\n"))
    assert (route.topic, route.key) == ("t-x", b"s7")
    assert 0 <= route.partition < 3
    assert router.route(message(b"a.x.t")).key is None
    assert router.route(message(b"a.y")) == Route("rest", b"a.y", -1)
    assert router.route(message(b"b")) == Route("keyless", None, -1)
    with pytest.raises(UnroutableError, match="no entry"):
        router.route(message(b"c"))


def test_routes_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_ROUTES", 10)
    router = Router([Out(subject=">", topic="t")])
    for number in range(35):
        router.route(message(b"%d" % number))
    found = router.route(message(b"34"))
    assert router.route(message(b"34")) is found
    assert len(router.known) <= 10


def test_topics_that_subjects_make_are_legal_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_TOPICS", 3)
    router = Router([Out(subject="*", topic="$1")])
    assert router.route(message("ä b/c".encode())).topic == "___b_c"
    assert len(router.route(message(b"x" * 1000)).topic) == 249
    assert router.route(message(b"fine")).topic == "fine"
    with pytest.raises(UnroutableError, match="more than"):
        router.route(message(b"fourth"))
    assert router.route(message(b"fine")).topic == "fine"


def test_partition_has_to_be_a_number() -> None:
    router = Router([Out(subject="*", topic="t", partition="$1")])
    assert router.route(message(b"12")).partition == 12
    with pytest.raises(UnroutableError, match="no number"):
        router.route(message(b"x"))


def test_headers_go_out_as_they_are() -> None:
    header = b"NATS/1.0 503 No\r\nUnit: \xc2\xb0C\r\nno colon\r\nempty:\r\n\r\n"
    assert record_headers(header) == [("Unit", b"\xc2\xb0C"), ("empty", b"")]


class Record:
    def __init__(self, topic: str, key: Any = None, value: Any = b"", headers: Any = None) -> None:
        self._all = topic, key, value, headers

    def topic(self) -> str:
        return str(self._all[0])

    def key(self) -> Any:
        return self._all[1]

    def value(self) -> Any:
        return self._all[2]

    def headers(self) -> Any:
        return self._all[3]

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 12


def test_records_become_messages_on_legal_subjects() -> None:
    reader = Reader(
        [
            In(topic="plant.*.orders", subject="orders.$1.{{key}}.{{partition}}"),
            In(topic="logs.>", subject="kafka.{{topic}}"),
            In(topic="by-header", subject="h.{{header(Site)}}"),
        ]
    )
    found = reader.read(Record("plant.hall.orders", b"k.1 *", b"body", [("Unit", b"kg")]))
    assert found is not None
    assert found.subject.startswith(b"orders.hall.k_1")
    assert found.subject.endswith(b".3")
    assert found.payload() == b"body"
    assert b"Kafka-Position: plant.hall.orders/3/12\r\n" in found.header()
    assert b"Unit: kg\r\n" in found.header()
    assert found.header().endswith(b"\r\n\r\n")
    for key in (None, b"", b"..", b"\xff"):
        made = reader.read(Record("plant.hall.orders", key))
        assert made is not None
        assert b".." not in made.subject
    plain = reader.read(Record("logs.a.b", value=None))
    assert plain is not None
    assert (plain.subject, plain.payload()) == (b"kafka.logs.a.b", b"")
    named = reader.read(Record("by-header", headers=[("site", b"s7")]))
    assert named is not None
    assert named.subject == b"h.s7"
    assert reader.read(Record("other")) is None


def test_headers_of_records_are_made_legal_and_say_nothing_to_servers() -> None:
    reader = Reader([In(topic="t")])
    given = [
        ("bin", b"\x00\r\n"),
        ("a b:c", b"1"),
        ("Nats-Rollup", b"all"),
        ("nats-expected-stream", b"S"),
        ("Nats-Msg-Id", b"7"),
        ("Mqtt-Retain", b"1"),
        ("none", None),
        ("", b"x"),
    ]
    found = reader.read(Record("t", headers=given))
    assert found is not None
    lines = found.header().split(b"\r\n")
    assert lines[2:-2] == [b"bin: %00%0D%0A", b"a_b_c: 1", b"Nats-Msg-Id: 7", b"none: "]


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [("plain", "plain"), ("a.*.b", r"^a\.[^.]+\.b$"), ("a.>", r"^a\..+$"), (">", "^.+$"), ("a-b_c", "a-b_c")],
)
def test_patterns_of_topics_are_subscribed_to(pattern: str, regex: str) -> None:
    assert topic_regex(pattern) == regex


# Keys.

OUT = (Out(subject="a.>", topic="t"),)


def keys(**more: Any) -> Kafka:
    return Kafka(**({"name": "one", "servers": ("broker:9092",), "out": OUT} | more))


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"servers": ()}, "servers"),
        ({"servers": ("a:x",)}, r"servers\[0\]"),
        ({"out": ()}, "out"),
        ({"subjects": ("a",)}, "subjects"),
        ({"stream": "S", "out": (), "in_": (In(topic="t"),), "group": "g"}, "stream"),
        ({"in_": (In(topic="t"),)}, "group"),
        ({"group": "g"}, "group"),
        ({"user": "u"}, "password"),
        ({"password": Secret("p")}, "user"),
        ({"in_": (In(topic="t", subject="a.{{key}}"),), "group": "g"}, r"in\[0\].subject"),
        ({"in_": (In(topic="t", subject="{{topic}}"),), "group": "g"}, r"in\[0\].subject"),
        ({"out": (Out(subject="a.*", topic="t"), Out(subject="*.b", topic="t"))}, "out"),
        ({"properties": {"acks": "0"}}, "properties.acks"),
    ],
)
def test_keys_that_do_not_go_together_are_named(more: dict[str, Any], key: str) -> None:
    with pytest.raises(KeyedValueError, match=f"^{key}: "):
        keys(**more)


def test_entries_are_checked() -> None:
    with pytest.raises(KeyedValueError, match=r"^topic: "):
        Out(subject="a.*", topic="$2")
    with pytest.raises(KeyedValueError, match=r"^subject: "):
        Out(subject="a b", topic="t")
    with pytest.raises(KeyedValueError, match=r"^topic: "):
        In(topic="a b")
    with pytest.raises(KeyedValueError, match=r"^subject: "):
        In(topic="a.*", subject="{{nothing}}")
    with pytest.raises(KeyedValueError, match=r"^key: "):
        KafkaTls(certificate="c")


def test_filters_within_others_are_subscribed_to_once() -> None:
    found = keys(out=(Out(subject="a.b", topic="x"), Out(subject="a.>", topic="y"), Out(subject="c", topic="y")))
    assert found.taken == ("a.>", "c")


def test_librdkafka_is_configured_so_that_nothing_is_lost_and_nothing_is_shown() -> None:
    config = keys(
        user="u", password=Secret("p"), tls=KafkaTls(ca="/ca.pem", verify_name=False), properties={"linger.ms": 50}
    )
    found = producing(config, "edge", 8 << 20, BATCH_BYTES)
    assert (found["enable.idempotence"], found["acks"], found["message.timeout.ms"]) == (True, "all", 0)
    assert (found["security.protocol"], found["sasl.username"]) == ("SASL_SSL", "u")
    assert (found["ssl.ca.location"], found["ssl.endpoint.identification.algorithm"]) == ("/ca.pem", "none")
    assert found["message.max.bytes"] > 8 << 20
    assert (found["linger.ms"], found["client.id"]) == (50, "edge")
    taken = consuming(keys(in_=(In(topic="t"),), group="g"), "edge")
    assert (taken["enable.auto.commit"], taken["group.id"], taken["security.protocol"]) == (False, "g", "PLAINTEXT")
    assert taken["queued.max.messages.kbytes"] * 1024 <= keys().max_pending_bytes // 4
