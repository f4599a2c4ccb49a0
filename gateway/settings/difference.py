"""Difference: what of one configuration is another in the next, by key and by the names of listeners, users and so on.

No text here tells a secret: of what could be one it is only said that it changed.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from gateway.settings.bridge import Bridge
from gateway.settings.integration import KINDS, Integration
from gateway.settings.listener import Listener
from gateway.settings.rule import Rule
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules, User
from gateway.settings.serial import Serial
from gateway.settings.store_and_forward import StoreAndForward
from gateway.settings.uplink import Uplink

T = TypeVar("T")

# What only a start can change, with all below: who the gateway is, where its state lives, by what it is spoken to
# meanwhile, and whether JWTs say who peers are.
FIXED = (
    "name",
    "data-directory",
    "trust-clock",
    "control-socket",
    "streams",
    "pair",
    "mqtt.retained-bucket",
    "authentication.operator",
    "authentication.resolver.directory",
    "authentication.system-account",
)
LONGEST_SHOWN = 60


class Change(msgspec.Struct, frozen=True):
    """`key` is that of the file, as in `limits.max-connections`; in a list `sign` tells what became of the element that
    `text` names. Elsewhere `text` has the old value and the new one.
    """

    key: str
    sign: Literal["+", "-", "~", ""]
    text: str

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.key}: {self.sign}{' ' if self.sign else ''}{self.text}"


class Matching(msgspec.Struct, frozen=True):
    """Indices into two lists: elements that stand in both (equal or not), in the first only, in the second only."""

    pairs: list[tuple[int, int]]
    removed: list[int]
    added: list[int]


def match(old: Sequence[T], new: Sequence[T], label: Callable[[T], str]) -> Matching:
    """Which element of one list is which of the other: an equal one, else the next of the same label."""
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for index, element in enumerate(old):
        waiting[label(element)].append(index)
    found: dict[int, int] = {}
    for index, element in enumerate(new):
        alike = waiting.get(label(element), deque())
        equal = next((one for one in alike if old[one] == element), None)
        if equal is not None:
            alike.remove(equal)
            found[index] = equal
    for index, element in enumerate(new):
        alike = waiting.get(label(element), deque())
        if index not in found and alike:
            found[index] = alike.popleft()
    pairs = sorted((before, now) for now, before in found.items())
    added = [index for index in range(len(new)) if index not in found]
    return Matching(pairs, sorted(index for rest in waiting.values() for index in rest), added)


def listener_label(listener: Listener) -> str:
    """An address is one listener's, whatever is spoken there; port 0 is everybody's."""
    return listener.address if listener.port else f"{listener.protocol} {listener.address}"


def uplink_label(uplink: Uplink) -> str:
    """The hub's addresses, without users and passwords."""
    return " ".join(map(str, uplink.urls))


def bridge_label(bridge: Bridge) -> str:
    return bridge.name


def integration_label(integration: Integration) -> str:
    return integration.name


def buffer_label(buffer: StoreAndForward) -> str:
    return buffer.title


def serial_label(serial: Serial) -> str:
    return serial.port


def rule_label(rule: Rule) -> str:
    return rule.name


def user_label(user: User) -> str:
    return user.name or user.nkey


def account_label(account: AccountRules) -> str:
    return account.name


# Lists of the configuration: what tells their elements apart, and how an element is shown.
LISTS: dict[str, tuple[Callable[[Any], str], Callable[[Any], str]]] = {
    "listeners": (listener_label, lambda listener: f"{listener.protocol} {listener.address}"),
    "uplinks": (uplink_label, uplink_label),
    "store-and-forward": (buffer_label, buffer_label),
    "bridges": (bridge_label, bridge_label),
    "serial": (serial_label, serial_label),
    "rules": (rule_label, lambda rule: f"{rule.name} {rule.source}"),
    "accounts": (account_label, account_label),
    "users": (user_label, user_label),
    **{kind.replace("_", "-"): (integration_label, integration_label) for kind in KINDS},
}


def difference(old: Config, new: Config) -> list[Change]:
    """What changes, in the order of the file's keys; empty for equal configurations."""
    changes: list[Change] = []
    for field in msgspec.structs.fields(Config):
        key, before, now = field.encode_name, getattr(old, field.name), getattr(new, field.name)
        if key in LISTS:
            changes += _list_changes(key, before, now)
        else:
            changes += _value_changes(key, before, now)
    return changes


def fixed_change(changes: Iterable[Change], operator_stays: bool = False) -> Change | None:
    """The first change that only a start can make; None where all of them can be made now.

    `operator_stays`: there is an operator before and after, which may have another token.
    """
    fixed = [key for key in FIXED if not (operator_stays and key == "authentication.operator")]
    return next((one for one in changes if any(f"{one.key}.".startswith(f"{key}.") for key in fixed)), None)


def summary(changes: Iterable[Change]) -> str:
    """One line: the sections that changed, and how many elements of each list came, went or became others."""
    sections: dict[str, dict[str, int]] = {}
    for change in changes:
        signs = sections.setdefault(change.section, {})
        if change.sign:
            signs[change.sign] = signs.get(change.sign, 0) + 1
    return ", ".join(
        " ".join((section, *(f"{sign}{signs[sign]}" for sign in "+-~" if sign in signs)))
        for section, signs in sections.items()
    )


def _list_changes(key: str, old: Sequence[Any], new: Sequence[Any]) -> list[Change]:
    label, shown = LISTS[key]
    matching = match(old, new, label)
    changes = [Change(key, "-", shown(old[index])) for index in matching.removed]
    changes += [Change(key, "+", shown(new[index])) for index in matching.added]
    for before, now in matching.pairs:
        others = _differing_fields(old[before], new[now])
        if others:
            changes.append(Change(key, "~", f"{shown(new[now])} ({', '.join(others)})"))
    return changes


def _differing_fields(old: msgspec.Struct, new: msgspec.Struct) -> list[str]:
    return [
        field.encode_name
        for field in msgspec.structs.fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    ]


def _value_changes(key: str, old: Any, new: Any) -> list[Change]:
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        return [
            change
            for field in msgspec.structs.fields(old)
            for change in _value_changes(
                f"{key}.{field.encode_name}", getattr(old, field.name), getattr(new, field.name)
            )
        ]
    before, now = _shown(old), _shown(new)
    return [Change(key, "", f"{before} → {now}" if before and now else "changed")]


def _shown(value: object) -> str:
    """A value as the file spells it; empty for what is long, a table, or a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        text = msgspec.json.encode(value).decode()
        return text if len(text) <= LONGEST_SHOWN else ""
    return ""
