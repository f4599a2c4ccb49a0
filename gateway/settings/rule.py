"""The keys of `[[rules]]`: what is made of messages on their way, for another subject."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.rules.errors import ExpressionError
from gateway.rules.expressions import compile_expression
from gateway.rules.payloads import Wanted
from gateway.settings.file import KeyedValueError
from gateway.settings.units import DAY, KIB
from protocols.subject_transform import SubjectTransform
from protocols.subjects import RESERVED_SUBJECTS, is_valid_filter

MOST_FIELDS = 64

Aggregate = Literal["mean", "min", "max", "sum", "count", "first", "last"]
Span = Annotated[float, Meta(ge=0, le=31 * DAY)]
Band = Annotated[float, Meta(ge=0, le=1e300)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One rule. A message on a subject that `from` matches becomes another one on `to`; the first is left as it is."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
    source: Annotated[str, Meta(min_length=1, max_length=1024)] = msgspec.field(name="from")
    target: Annotated[str, Meta(min_length=1, max_length=1024)] = msgspec.field(name="to")
    account: str = ""
    when: str = ""
    payload: str = ""
    fields: dict[str, str] = {}
    retain: bool | None = None
    throttle_seconds: Span = 0.0
    deadband: Band | None = None
    deadband_percent: Band | None = None
    repeat_seconds: Span = 0.0
    window_seconds: Span = 0.0
    aggregate: Aggregate | tuple[Aggregate, ...] = ()
    max_subjects: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    max_bytes: Annotated[int, Meta(ge=64 * KIB, le=1 << 40)] = 8 * KIB * KIB

    def __post_init__(self) -> None:
        self._check_subjects()
        wildcards = self.source.split(".").count("*")
        places = {"when": self.when, "payload": self.payload} | {
            f"fields.{name}": text for name, text in self.fields.items()
        }
        for place, text in places.items():
            if text or place.startswith("fields."):
                try:
                    compile_expression(text, wildcards, Wanted())
                except ExpressionError as error:
                    raise KeyedValueError(place, f"{text!r}: {error}") from None
        if self.payload and self.fields:
            raise KeyedValueError("fields", "a message becomes either one value, by payload, or an object of fields")
        if len(self.fields) > MOST_FIELDS:
            raise KeyedValueError("fields", f"there are more than {MOST_FIELDS}")
        if bool(self.functions) != (self.window_seconds > 0):
            key = "aggregate" if self.window_seconds else "window-seconds"
            raise KeyedValueError(key, "window-seconds says how long is collected, and aggregate what becomes of that")
        if len(set(self.functions)) != len(self.functions):
            raise KeyedValueError("aggregate", "one of them stands there twice")
        if self.repeat_seconds and self.deadband is None and self.deadband_percent is None:
            raise KeyedValueError("repeat-seconds", "it is for what a deadband holds back, and there is none")

    def _check_subjects(self) -> None:
        source, target = self.source.encode(), self.target.encode()
        if not (is_valid_filter(source) and self.source.isprintable() and " " not in self.source):
            raise KeyedValueError("from", f"{self.source!r} is no subject; write it as sensors.*.temperature")
        for key, text in (("from", self.source), ("to", self.target)):
            literal = text.startswith("$") and not (key == "to" and text[1:2].isdigit())
            if literal or text.encode().startswith((b"_", *RESERVED_SUBJECTS)):
                raise KeyedValueError(key, f"{text!r} is the servers' own: rules are for messages of clients")
        try:
            SubjectTransform(source, target)
        except ValueError as error:
            raise KeyedValueError("to", str(error)) from None

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of what a window comes to; none where nothing is collected."""
        return (self.aggregate,) if isinstance(self.aggregate, str) else self.aggregate
