"""One rule: what becomes of messages, by their subject, their payload and the time."""

import json
import sys
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.aggregation import LONGEST_TEXT, MOST_NAMES, Sums, Window
from gateway.rules.rule import Rule
from gateway.settings.rule import Rule as RuleConfig


def rule(**keys: object) -> Rule:
    given_keys = {name.replace("_", "-"): value for name, value in keys.items()}
    return Rule(msgspec.convert({"name": "one", "from": "raw.*", "to": "made.$1"} | given_keys, RuleConfig))


def take(one: Rule, payload: object, subject: str = "raw.a", now: float = 0.0) -> str | None:
    text = payload if isinstance(payload, bytes) else str(payload).encode()
    made = one.take(one.place_of(subject.encode()), text, now)
    return made if made is None else made.decode()


def ended(one: Rule, now: float) -> list[tuple[str, str]]:
    return [(outcome.subject.decode(), outcome.payload.decode()) for outcome in one.due(now, 100)]


def test_rename_leaves_every_payload_as_it_is():
    one = rule()
    assert one.place_of(b"raw.a").subject == b"made.a"
    assert one.take(one.place_of(b"raw.a"), b"\xff{", 0.0) == b"\xff{"
    assert (one.taken, one.made, one.errors.total()) == (1, 1, 0)


def test_filter_lets_through_what_is_wanted():
    one = rule(when="t > 20")
    assert take(one, '{"t": 21, "x": 1}') == '{"t": 21, "x": 1}'
    assert take(one, '{"t": 19}') is None
    assert (one.taken, one.made, one.filtered) == (2, 1, 1)


def test_payload_and_fields_are_made():
    assert take(rule(payload='round(convert(payload, "F", "C"), 1)'), 71.6) == "22.0"
    made = take(rule(fields={"celsius": "t", "place": "$1", "raw": "payload.raw"}), '{"t":1,"raw":{"a":[1]},"z":2}')
    assert json.loads(made or "") == {"celsius": 1, "place": "a", "raw": {"a": [1]}}
    assert take(rule(payload="name"), '{"name":"x y"}') == "x y"
    assert take(rule(payload="ok"), '{"ok":true}') == "true"


def test_message_without_a_result_is_counted_and_told_and_the_next_goes_on():
    one, told = rule(payload="t + 1"), []
    one.report = lambda kind, sentence: told.append((kind, sentence))
    for payload in ("{", '{"x":1}', '{"t":"a"}', b"\xff", '{"t":null}'):
        assert take(one, payload) is None
    assert one.errors == {"not-json": 1, "missing-field": 1, "not-a-number": 2, "not-text": 1}
    assert ("missing-field", "the payload has no t") in told
    assert take(one, '{"t":1}') == "2"


def test_numbers_that_are_none_do_not_leave():
    one = rule(payload="1e308 * payload")
    assert take(one, 10) is None
    assert rule_errors(one) == {"no-result": 1}
    other = rule(fields={"x": "1e308 * payload"})
    assert take(other, 10) is None
    assert rule_errors(other) == {"no-result": 1}
    huge = rule(payload="payload + 0.5")
    assert take(huge, "9" * 400) is None
    assert rule_errors(huge) == {"no-result": 1}


def rule_errors(one: Rule) -> dict[str, int]:
    return dict(one.errors)


def test_subject_that_would_be_none_is_an_error():
    one = rule(to="made.{{left(1,1)}}")
    assert one.place_of(b"raw.abc").subject == b"made.a"
    one = rule(**{"from": "raw.*", "to": "made.{{split(1,-)}}"})
    assert take(one, 1, "raw.--") is None
    assert rule_errors(one) == {"no-subject": 1}


def test_throttle_lets_one_message_of_each_subject_through_in_a_span():
    one = rule(throttle_seconds=10)
    assert [take(one, n, now=float(n)) for n in (1, 5, 10, 11, 12)] == ["1", None, None, "11", None]
    assert take(one, 7, "raw.b", 12.0) == "7"
    assert one.held == 3


def test_deadband_holds_back_what_is_like_the_last_that_was_sent():
    one = rule(deadband=0.5)
    sent = [take(one, value, now=1.0) for value in (20, 20.5, 20.6, 20.2, 20.0)]
    assert sent == ["20", None, "20.6", None, "20.0"]
    assert take(rule(deadband=0), 5, now=1.0) == "5"


def test_deadband_of_an_object_looks_at_each_field():
    one = rule(fields={"t": "t", "door": "door"}, deadband_percent=10)
    assert take(one, '{"t":100,"door":"open"}', now=1.0) is not None
    assert take(one, '{"t":109,"door":"open"}', now=1.0) is None
    assert take(one, '{"t":109,"door":"closed"}', now=1.0) is not None
    assert take(one, '{"t":130,"door":"closed"}', now=1.0) is not None


def test_repeat_seconds_says_again_what_has_not_changed():
    one = rule(deadband=1, repeat_seconds=60)
    assert [take(one, 5, now=float(now)) for now in (1, 30, 60, 61, 62)] == ["5", None, None, "5", None]


@pytest.mark.parametrize(
    ("aggregate", "result"),
    [("mean", 2.5), ("min", 1), ("max", 4), ("sum", 10), ("count", 4), ("first", 4), ("last", 2)],
)
def test_window_comes_to_one_value(aggregate: str, result: float):
    one = rule(window_seconds=60, aggregate=aggregate)
    for value in (4, 1, 3, 2):
        assert take(one, value, now=100.0) is None
    assert one.next_due == 160.0
    assert ended(one, 159.9) == []
    ((subject, payload),) = ended(one, 160.0)
    assert (subject, json.loads(payload)) == ("made.a", result)
    assert one.next_due is None


def test_windows_are_of_each_subject_and_name():
    one = rule(fields={"t": "t"}, window_seconds=10, aggregate=["min", "max"])
    take(one, '{"t":1}', "raw.a", 0.0)
    take(one, '{"t":5}', "raw.b", 1.0)
    take(one, '{"t":3}', "raw.a", 9.0)
    assert [(subject, json.loads(text)) for subject, text in ended(one, 11.0)] == [
        ("made.a", {"t": {"min": 1, "max": 3}}),
        ("made.b", {"t": {"min": 5, "max": 5}}),
    ]


def test_window_takes_numbers_alone_where_it_computes():
    one = rule(window_seconds=10, aggregate="mean")
    assert take(one, "on") is None
    assert take(one, '{"a":[1]}') is None
    assert rule_errors(one) == {"not-a-number": 2}
    last = rule(window_seconds=10, aggregate="last")
    assert take(last, "on") is None
    assert ended(last, 10.0) == [("made.a", "on")]


def test_window_passes_deadband_at_its_end():
    one = rule(window_seconds=10, aggregate="mean", deadband=1)
    told = []
    for start, value in ((1.0, 5), (20.0, 5.5), (40.0, 9)):
        take(one, value, now=start)
        told += ended(one, start + 10)
    assert told == [("made.a", "5.0"), ("made.a", "9.0")]
    assert (one.made, one.held) == (2, 1)


def test_end_hands_on_what_is_collected():
    one = rule(window_seconds=3600, aggregate="sum")
    take(one, 1)
    take(one, 2)
    assert [(outcome.subject, outcome.payload) for outcome in one.end(5.0)] == [(b"made.a", b"3")]
    assert len(one.memory) == 0


def test_memory_is_bounded_in_subjects_and_the_oldest_window_ends_early():
    one = rule(window_seconds=3600, aggregate="count", max_subjects=3)
    for number in range(5):
        take(one, 1, f"raw.{number}", 1.0)
    assert len(one.memory) == 3
    assert one.memory.forgotten == 2
    assert one.next_due == 0.0
    assert sorted(ended(one, 2.0)) == [("made.0", "1"), ("made.1", "1")]
    assert one.next_due == 3601.0
    assert len(one.end(3.0)) == 3


def test_memory_is_bounded_in_bytes():
    one = rule(fields={"text": "payload"}, deadband=0, max_bytes=65_536)
    for number in range(100):
        assert take(one, "x" * 5000, f"raw.{number}", 1.0) is not None
    assert one.memory.size <= 65_536
    assert one.memory.forgotten > 90


def weight(value: object) -> int:
    """What a value takes, with all that is in it."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(weight(key) + weight(one) for key, one in value.items())
    if isinstance(value, list):
        return size + sum(map(weight, value))
    if isinstance(value, Sums | Window):
        return size + sum(weight(getattr(value, name)) for name in type(value).__slots__)
    return size


WINDOWS: dict[str, Callable[[int], object]] = {
    "names": lambda number: {f"{number}" + "n" * (LONGEST_TEXT - 4): 1.5},
    "names of wide characters": lambda number: {f"{number}" + "\U0001f600" * (LONGEST_TEXT - 4): 1.5},
    "numbers": lambda number: {f"{number}": 10**18 + number},
    "texts": lambda number: {f"{number}": f"{number}" + "\U0001f600" * (LONGEST_TEXT - 4)},
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_what_a_window_keeps_is_counted(kind: str):
    one = rule(window_seconds=60, aggregate=["first", "last"])
    for number in range(MOST_NAMES):
        take(one, json.dumps(WINDOWS[kind](number)))
    assert one.errors.total() == 0
    window = next(iter(one.memory.open.values())).window
    assert weight(window) <= one.memory.size <= 4 * weight(window)


@pytest.mark.parametrize("value", [{"n" * (LONGEST_TEXT + 1): 1}, 10**400, {"a": -(10**400)}, 1 << 63])
def test_what_is_too_large_for_a_window_is_not_taken(value: object):
    one = rule(window_seconds=60, aggregate="count")
    take(one, json.dumps(value))
    assert rule_errors(one) == {"too-large": 1}


@pytest.mark.parametrize(
    "value",
    [
        [[]] * 1000,
        [{}] * 1000,
        {"a": [{"b": []}] * 500},
        {f"{number}": 1.5 for number in range(1000)},
        {f"{number}": "" for number in range(1000)},
        "x" * 10_000,
        [[[[[]]]]] * 300,
        [1.5] * 1000,
    ],
)
def test_what_was_sent_last_is_counted(value: object):
    one = rule(deadband=0)
    take(one, json.dumps(value, separators=(",", ":")))
    (entry,) = [one.memory.entry(b"made.a")]
    assert weight(entry.sent) <= one.memory.size


def test_names_of_one_window_are_bounded():
    one = rule(window_seconds=60, aggregate="count")
    take(one, json.dumps({str(number): 1 for number in range(64)}))
    take(one, '{"another": 1}')
    assert rule_errors(one) == {"too-large": 1}


def test_errors_leave_nothing_behind():
    one = rule(window_seconds=60, aggregate="mean", max_subjects=10)
    for number in range(50):
        take(one, "x", f"raw.{number}")
    assert len(one.memory) <= 10
    assert one.due(1e9, 100) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["raw.a", "raw.b", "raw.c"]), st.binary(max_size=12), st.floats(0, 30)), max_size=30
    ),
    st.sampled_from(
        [
            {"deadband": 1.0, "throttle_seconds": 5.0},
            {"window_seconds": 7.0, "aggregate": ["mean", "last"], "max_subjects": 2},
            {"window_seconds": 7.0, "aggregate": "first", "deadband": 0.0, "repeat_seconds": 9.0},
            {"payload": "payload * 2", "when": "payload > 1"},
        ]
    ),
)
def test_every_message_is_accounted_for_and_nothing_raises(messages: list, keys: dict[str, object]):
    one, now, made = rule(**keys), 0.0, 0
    for subject, payload, pause in messages:
        now += pause
        made += len(one.due(now, 1000))
        made += one.take(one.place_of(subject.encode()), payload, now) is not None
    made += len(one.end(now + 1000))
    assert one.taken == len(messages)
    assert one.made == made
    assert one.next_due is None
    if "window_seconds" not in keys:
        assert one.taken == one.made + one.filtered + one.held + one.errors.total()


NAMES = ("id", "t", "n", "°")
DOCUMENTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-1000, 1000, places=3).map(float)
    | st.text(max_size=6)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.sampled_from(NAMES), st.integers(), max_size=2),
)


@given(DOCUMENTS, st.booleans())
def test_fields_are_those_of_the_payload(document: dict[str, object], compact: bool):
    payload = msgspec.json.encode(document) if compact else json.dumps(document, indent=1).encode()
    one = rule(when="has(id)", fields={"a": "id", "odd ° name": 'default(payload["°"], $1)', "t": "t"})
    made = one.take(one.place_of(b"raw.x"), payload, 0.0)
    if document.get("id") is None:
        assert (made, one.filtered) == (None, 1)
    elif "t" not in document:
        assert (made, rule_errors(one)) == (None, {"missing-field": 1})
    else:
        second = document["°"] if document.get("°") is not None else "x"
        assert made == msgspec.json.encode({"a": document["id"], "odd ° name": second, "t": document["t"]})
    assert one.taken == 1
