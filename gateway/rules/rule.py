"""Rule: what one `[[rules]]` of the configuration makes of messages; knows time as an argument and no sockets (hot).

A message passes `when`, becomes what `payload` or `fields` say, goes into a window where there is one, and passes
deadband and throttle. What comes out has another subject.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from gateway.rules.aggregation import OF_ANYTHING, Window
from gateway.rules.errors import MessageError
from gateway.rules.expressions import Expression, compile_expression
from gateway.rules.functions import is_number
from gateway.rules.memory import Entry, Memory, kept_bytes
from gateway.rules.payloads import Made, Wanted, encode, encode_object
from gateway.settings.rule import Rule as RuleConfig
from protocols.foreign_text import is_legal_literal
from protocols.subject_transform import SubjectTransform

# Subjects whose outcome is remembered, and the longest of them.
REMEMBERED_SUBJECTS = 4096
LONGEST_REMEMBERED = 256
NOWHERE = b""
NOTHING: list[Any] = []


class Place:
    """Where messages on one subject go, and the tokens of that subject that expressions may name."""

    __slots__ = ("subject", "tokens")

    def __init__(self, subject: bytes, tokens: tuple[str, ...]) -> None:
        self.subject = subject
        self.tokens = tokens


class Outcome:
    """What leaves: a payload for a subject."""

    __slots__ = ("payload", "subject")

    def __init__(self, subject: bytes, payload: bytes) -> None:
        self.subject = subject
        self.payload = payload


class Rule:
    """`taken` messages came, `made` left; `filtered` were not wanted, `held` were too like the last one or too soon.
    `errors` counts by kind those that an expression had no result for, `last_error` is a sentence about the last.
    `next_due` is when a window ends, None where none is open.
    """

    __slots__ = (
        "_deadband",
        "_fields",
        "_functions",
        "_numbers",
        "_object",
        "_places",
        "_remembers",
        "_repeat",
        "_throttle",
        "_transform",
        "_value",
        "_wanted",
        "_when",
        "_whole",
        "_wildcards",
        "_window",
        "config",
        "errors",
        "filtered",
        "held",
        "is_timed",
        "last_error",
        "made",
        "memory",
        "name",
        "report",
        "taken",
    )

    def __init__(self, config: RuleConfig) -> None:
        self.config = config
        self.name = config.name
        self.taken = self.made = self.filtered = self.held = 0
        self.errors: Counter[str] = Counter()
        self.last_error = ""
        # Hears of each error: its kind, and a sentence.
        self.report: Callable[[str, str], None] = unheard
        source = config.source.encode()
        self._transform = SubjectTransform(source, config.target.encode())
        self._wildcards = [index for index, token in enumerate(source.split(b".")) if token == b"*"]
        self._places: dict[bytes, Place] = {}
        count = len(self._wildcards)
        wanted = self._wanted = Wanted()

        def compiled(text: str) -> Expression:
            return compile_expression(text, count, wanted)

        self._when = compiled(config.when) if config.when else None
        self._value = compiled(config.payload) if config.payload else None
        self._fields = [compiled(text) for text in config.fields.values()]
        self._object = Made(config.fields)
        self._deadband = config.deadband is not None or config.deadband_percent is not None
        self._throttle = config.throttle_seconds
        self._repeat = config.repeat_seconds
        self._window = config.window_seconds
        self._functions = config.functions
        self._numbers = not OF_ANYTHING.issuperset(self._functions)
        self._remembers = self._deadband or self._throttle > 0
        self.is_timed = self._remembers or self._window > 0
        # Where a payload is looked at that leaves as it is.
        leaves = (self._deadband or self._window > 0) and not (config.payload or config.fields)
        self._whole = wanted.whole() if leaves else -1
        self.memory = Memory(config.max_subjects, config.max_bytes)

    @property
    def next_due(self) -> float | None:
        if self.memory.early:
            return 0.0
        for entry in self.memory.open.values():
            return entry.window.end if entry.window is not None else 0.0
        return None

    def place_of(self, subject: bytes) -> Place:
        """Where messages on a subject go; to no subject where it would be no legal one."""
        place = self._places.get(subject)
        if place is None:
            target = self._transform.apply(subject)
            tokens = subject.split(b".")
            named = (subject, *[tokens[index] for index in self._wildcards])
            legal = target if is_legal_literal(target) else NOWHERE
            place = Place(legal, tuple([one.decode("utf-8", "replace") for one in named]))
            if len(subject) <= LONGEST_REMEMBERED:
                if len(self._places) >= REMEMBERED_SUBJECTS:
                    self._places.clear()
                self._places[subject] = place
        return place

    def take(self, place: Place, payload: bytes, now: float) -> bytes | None:
        """The payload that leaves for the place's subject; None where nothing does, or not yet."""
        self.taken += 1
        value: Any = None
        try:
            if not place.subject:
                raise MessageError("no-subject", "the new subject would be none that one may publish on")
            tokens = place.tokens
            values = self._wanted.read(payload) if self._wanted.count else NOTHING
            if self._when is not None and not self._when.value(values, tokens):
                self.filtered += 1
                return None
            if self._value is not None:
                value = self._value.value(values, tokens)
            elif self._fields:
                fields: list[Any] = []
                for expression in self._fields:
                    fields.append(expression.value(values, tokens))  # noqa: PERF401 - compiled, the other knows no types
                if not self.is_timed:
                    made = self._object.encode(fields)
                    self.made += 1
                    return made
                value = self._object.value(fields)
            elif self._whole >= 0:
                value = values[self._whole]
            if self._window > 0:
                self._collect(place.subject, value, now)
                return None
            if self._remembers:
                return self._pass(place.subject, value, payload, now)
            made = self._encoded(value, payload)
        except MessageError as error:
            self._fail(error.kind, str(error))
            return None
        except (ArithmeticError, RecursionError):
            self._fail("no-result", "a number or an object is too large")
            return None
        self.made += 1
        return made

    def due(self, now: float, most: int) -> list[Outcome]:
        """What windows that have ended come to, of at most so many of them."""
        found: list[Outcome] = []
        early, opened = self.memory.early, self.memory.open
        while most and early:
            most -= 1
            self._close(early.pop(), now, found)
        while most and opened:
            entry = next(iter(opened.values()))
            if entry.window is not None and entry.window.end > now:
                break
            del opened[entry.subject]
            most -= 1
            self._close(entry, now, found)
        return found

    def end(self, now: float) -> list[Outcome]:
        """What all open windows come to, before their time."""
        found: list[Outcome] = []
        for entry in [*self.memory.early, *self.memory.open.values()]:
            self._close(entry, now, found)
        self.memory.clear()
        return found

    def _collect(self, subject: bytes, value: Any, now: float) -> None:
        entry = self.memory.entry(subject)
        window = entry.window
        if window is None:
            window = Window(now + self._window)
            window.add(value, self._numbers)
            entry.window = window
            self.memory.open[subject] = entry
        else:
            window.add(value, self._numbers)
        self.memory.resize(entry, window.bytes)
        self.memory.trim()

    def _close(self, entry: Entry, now: float, found: list[Outcome]) -> None:
        window = entry.window
        entry.window = None
        if window is None:  # It gave way, and was handed on early.
            return
        try:
            value = window.result(self._functions)
            made = self._pass(entry.subject, value, b"", now) if self._remembers else encode_any(value)
        except MessageError as error:
            self._fail(error.kind, str(error))
            return
        except ArithmeticError:
            self._fail("no-result", "a sum is too large")
            return
        if made is not None:
            self.made += not self._remembers
            found.append(Outcome(entry.subject, made))

    def _pass(self, subject: bytes, value: Any, payload: bytes, now: float) -> bytes | None:
        """The payload that leaves, where it is not too like the last one or too soon behind it."""
        memory = self.memory
        entry = memory.entry(subject)
        if entry.at:
            since = now - entry.at
            is_old = 0 < self._repeat <= since
            if (self._throttle > 0 and since < self._throttle) or (
                self._deadband and not is_old and not self._differs(entry.sent, value)
            ):
                self.held += 1
                return None
        made = self._encoded(value, payload) if self._window <= 0 else encode_any(value)
        entry.at = now or 1e-9
        if self._deadband:
            entry.sent = value
            memory.resize(entry, kept_bytes(value, len(made)))
        memory.trim()
        self.made += 1
        return made

    def _differs(self, before: Any, now: Any) -> bool:
        if type(before) is dict and type(now) is dict:
            if before.keys() != now.keys():
                return True
            return any(self._is_other(before[name], value) for name, value in now.items())
        return self._is_other(before, now)

    def _is_other(self, before: Any, now: Any) -> bool:
        if not (is_number(before) and is_number(now)):
            return type(before) is not type(now) or bool(before != now)
        config = self.config
        band = config.deadband or 0.0
        if config.deadband_percent is not None:
            band = max(band, abs(before) * config.deadband_percent / 100)
        return bool(abs(now - before) > band)

    def _encoded(self, value: Any, payload: bytes) -> bytes:
        if self._value is not None:
            return encode(value)
        return encode_object(value) if self._fields else payload

    def _fail(self, kind: str, sentence: str) -> None:
        self.errors[kind] += 1
        self.last_error = sentence
        self.report(kind, sentence)


def encode_any(value: Any) -> bytes:
    return encode_object(value) if type(value) is dict else encode(value)


def unheard(kind: str, sentence: str) -> None:
    """Nobody hears of errors but who counts them."""
