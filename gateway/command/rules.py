"""`leafgate rules test`: what the rules of a configuration make of recorded messages. No gateway is needed."""

import argparse
import binascii
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.errors import ClientError, ConfigError
from gateway.rules.receivers import is_private
from gateway.rules.rule import Rule
from gateway.settings.schema import load_config
from protocols.foreign_text import is_legal_literal
from protocols.subjects import matches

LONGEST_LINE = 4 << 20
# What a file of samples is told from that has no times: one a second.
STEP_SECONDS = 1.0
ALL_WINDOWS = 1 << 30


class Sample(msgspec.Struct, frozen=True):
    """One line as `leafgate sub --json` writes it; what else stands there does not matter."""

    subject: str
    payload: str = ""
    payload_base64: str = ""
    time: Annotated[float, Meta(ge=0, le=1e12)] | None = None


class Sampled(msgspec.Struct, frozen=True):
    """A message that was recorded, and when, in seconds from anywhere."""

    subject: bytes
    payload: bytes
    time: float


def run_rules_command(options: argparse.Namespace) -> int:
    """Print each message that a rule makes as a JSON object, and a summary on standard error; 1 where a message had no
    result. Raises ConfigError and ClientError.
    """
    rules = find_rules(options.config, options.rule)
    failed = test(rules, read_samples(options.file))
    return 1 if failed else 0


def find_rules(path: Path, names: list[str]) -> list[Rule]:
    """Raises ConfigError."""
    configured = load_config(path).rules
    known = [one.name for one in configured]
    for name in names:
        if name not in known:
            raise ConfigError(f"{path}: there is no rule {name!r}; there are {', '.join(known) or 'none'}")
    if not configured:
        raise ConfigError(f"{path}: there are no rules")
    return [Rule(one) for one in configured if one.name in names or not names]


def read_samples(path: Path) -> Iterator[Sampled]:
    """Raises ClientError that names the line."""
    decode = msgspec.json.Decoder(Sample).decode
    now = 0.0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                if not line.strip():
                    continue
                try:
                    sample = decode(line)
                    payload = b64decode(sample.payload_base64, validate=True) or sample.payload.encode()
                except (msgspec.DecodeError, UnicodeError, binascii.Error, RecursionError) as error:
                    raise ClientError(
                        f"{path}:{number}: no message as `leafgate sub --json` writes it: {error}"
                    ) from None
                if not is_legal_literal(sample.subject.encode()):
                    raise ClientError(f"{path}:{number}: {sample.subject!r} is no subject")
                # A recording goes forwards, whatever its clock did.
                now = now + STEP_SECONDS if sample.time is None else max(now, sample.time)
                yield Sampled(sample.subject.encode(), payload, now)
    except OSError as error:
        raise ClientError(f"{path}: cannot be read: {error.strerror}") from None


def test(rules: list[Rule], samples: Iterator[Sampled]) -> bool:
    """Whether a message had no result."""
    now = 0.0
    for rule in rules:
        rule.report = _Told(rule.name)
    for sample in samples:
        now = sample.time
        for rule in rules:
            for outcome in rule.due(now, ALL_WINDOWS):
                show(rule, outcome.subject, outcome.payload)
            source = rule.config.source.encode()
            if not matches(source, sample.subject) or is_private(source, sample.subject):
                continue
            place = rule.place_of(sample.subject)
            made = rule.take(place, sample.payload, now)
            if made is not None:
                show(rule, place.subject, made)
    for rule in rules:
        for outcome in rule.end(now):
            show(rule, outcome.subject, outcome.payload)
        sys.stdout.flush()  # So that the summary stands behind it.
        errors = sum(rule.errors.values())
        told = f"{rule.taken} taken, {rule.made} made, {rule.filtered} filtered, {rule.held} held, {errors} errors"
        print(f"rule {rule.name}: {told}", file=sys.stderr)
    return any(rule.errors for rule in rules)


class _Told:
    """Tells the first error of each kind of a rule."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: set[str] = set()

    def __call__(self, kind: str, sentence: str) -> None:
        if kind not in self._kinds:
            self._kinds.add(kind)
            print(f"rule {self._name}: {kind}: {sentence}", file=sys.stderr)


def show(rule: Rule, subject: bytes, payload: bytes) -> None:
    told = {"rule": rule.name, "subject": subject.decode()}
    try:
        told["payload"] = payload.decode()
    except UnicodeDecodeError:
        told["payload_base64"] = b64encode(payload).decode()
    print(json.dumps(told, ensure_ascii=False))
