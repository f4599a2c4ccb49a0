"""Rule: what one `[[rules]]` of the configuration makes of messages; knows time as an argument and no sockets (hot).

A message passes `when`, becomes what `payload` or `fields` say, goes into a window where there is one, and passes
deadband and throttle. What comes out has another subject.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from gateway.rules.aggregation import OF_ANYTHING, Window
from gateway.rules.closures import Evaluate, compile_expression, is_number, reads_payload
from gateway.rules.errors import MessageError
from gateway.rules.memory import Entry, Memory, kept_bytes
from gateway.rules.payloads import decode, encode, encode_object
from gateway.settings.rule import Rule as RuleConfig
from protocols.foreign_text import is_legal_literal
from protocols.subject_transform import SubjectTransform

# Subjects whose outcome is remembered, and the longest of them.
REMEMBERED_SUBJECTS = 4096
LONGEST_REMEMBERED = 256
NOWHERE = b""


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
        "_places",
        "_reads",
        "_remembers",
        "_repeat",
        "_throttle",
        "_transform",
        "_value",
        "_when",
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
        self._when: Evaluate | None = compile_expression(config.when, count) if config.when else None
        self._value: Evaluate | None = compile_expression(config.payload, count) if config.payload else None
        self._fields = [(name, compile_expression(text, count)) for name, text in config.fields.items()]
        texts = [text for text in (config.when, config.payload, *config.fields.values()) if text]
        self._deadband = config.deadband is not None or config.deadband_percent is not None
        self._throttle = config.throttle_seconds
        self._repeat = config.repeat_seconds
        self._window = config.window_seconds
        self._functions = config.functions
        self._numbers = not OF_ANYTHING.issuperset(self._functions)
        self._reads = any(map(reads_payload, texts)) or (
            (self._deadband or self._window > 0) and not (config.payload or config.fields)
        )
        self._remembers = self._deadband or self._throttle > 0
        self.is_timed = self._remembers or self._window > 0
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
            data = decode(payload) if self._reads else None
            if self._when is not None and not self._when(data, tokens):
                self.filtered += 1
                return None
            if self._value is not None:
                value = self._value(data, tokens)
            elif self._fields:
                value = {}
                for name, evaluate in self._fields:
                    value[name] = evaluate(data, tokens)
            else:
                value = data
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
