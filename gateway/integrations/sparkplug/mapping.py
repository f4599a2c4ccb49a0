"""Mapping: which metrics the messages on a subject are, and what their payloads say of them. No I/O."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.integrations.remembered import Remembered
from gateway.settings.sparkplug import AUTO, FIELD, NodeMetric
from protocols import foreign_json
from protocols.numbers.readings import DEEPEST, DOT, MOST_FIELDS, UNREADABLE, WORDS, all_numbers, at_path, plain_number
from protocols.sparkplug.topics import is_id
from protocols.sparkplug.values import REALS, SIGNED, TEXTS, TYPES, UNKNOWN, UNSIGNED
from protocols.subject_template import SubjectTemplate
from protocols.subjects import matches

MOST_ROUTES = 20_000
LONGEST_NAME = 1024
BOOLEAN = TYPES["Boolean"]


class Route(NamedTuple):
    """`datatype` is UNKNOWN where the first value decides. `command` is where what is written to the metric goes, ""
    for nowhere.
    """

    entry: int
    device: str
    metric: str
    datatype: int
    command: str


class Mapping:
    """The entries of one edge node."""

    def __init__(self, entries: Sequence[NodeMetric]) -> None:
        self._entries = [
            (
                one.subject.encode(),
                SubjectTemplate(one.device),
                SubjectTemplate(one.metric, others=(FIELD,)),
                SubjectTemplate(one.command),
                UNKNOWN if one.type == AUTO else TYPES[one.type],
                one.field.split(DOT) if one.field else None,
                bool(one.device),
            )
            for one in entries
        ]
        self._known: Remembered[bytes, Route | None] = Remembered(MOST_ROUTES)

    def route(self, subject: bytes) -> Route | None:
        """None for a subject that no entry takes, or that would make a device or a metric without a name."""
        if subject in self._known:
            return self._known[subject]
        return self._known.keep(subject, len(subject), self._find(subject))

    def _find(self, subject: bytes) -> Route | None:
        for index, (pattern, device, metric, command, datatype, _, has_device) in enumerate(self._entries):
            if matches(pattern, subject):
                text = subject.decode("utf-8", "replace")
                whose = device.make(text)
                name = metric.make(text, {FIELD: ""})
                if (has_device and not is_id(whose)) or not 0 < len(name or FIELD) <= LONGEST_NAME:
                    return None
                return Route(index, whose, name, datatype, command.make(text))
        return None

    def read(self, route: Route, subject: bytes, payload: bytes) -> list[tuple[str, object]]:
        """The metrics that a message has, by name, with their values as JSON has them; none where it has none."""
        _, _, template, _, datatype, path, _ = self._entries[route.entry]
        value = value_in(payload)
        if path is not None:
            value = at_path(value, path)
        elif isinstance(value, dict | list):
            numbers = list(zip(all_numbers(value, "", DEEPEST, None), range(MOST_FIELDS), strict=False))
            text = subject.decode("utf-8", "replace")
            has_field = FIELD in template.used
            return [
                (
                    template.make(text, {FIELD: field}) if has_field else f"{route.metric}/{field.replace(DOT, '/')}",
                    coerced(number, datatype),
                )
                for (field, number), _ in numbers
            ]
        if value is None or isinstance(value, dict | list) or not route.metric:
            return []
        return [(route.metric, coerced(value, datatype))]


def value_in(payload: bytes) -> object:
    """What a payload is: JSON, or else a text."""
    try:
        return foreign_json.decode(payload)
    except UNREADABLE:
        return payload.decode("utf-8", "replace")


def coerced(value: object, datatype: int) -> object:
    """A value in the form that a type has, where there is one: numbers and words in texts, 1 for true, and so on."""
    if datatype == BOOLEAN:
        word = value.strip().lower().encode() if isinstance(value, str) else None
        return bool(WORDS[word]) if word in WORDS else value
    if datatype in TEXTS and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if datatype in REALS or datatype in SIGNED or datatype in UNSIGNED:
        if isinstance(value, str):
            number = plain_number(value.encode())
            return value if number is None else number
        return int(value) if isinstance(value, bool) else value
    return value


def text_of(value: object) -> bytes:
    """As a message has it."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
