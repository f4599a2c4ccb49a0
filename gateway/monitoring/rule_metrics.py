"""What /metrics tells of rules."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gateway.monitoring.family import Family

if TYPE_CHECKING:
    from gateway.monitoring.sources import RuleSource

KINDS: tuple[tuple[str, str, str, Callable[[Any], float]], ...] = (
    ("counter", "rule_taken_messages", "Messages that came to a rule.", lambda one: one.taken_msgs),
    ("counter", "rule_made_messages", "Messages that a rule made.", lambda one: one.made_msgs),
    ("counter", "rule_filtered_messages", "What a rule did not want.", lambda one: one.filtered_msgs),
    ("counter", "rule_held_messages", "What was too soon, or too like the last one.", lambda one: one.held_msgs),
    ("gauge", "rule_subjects", "Subjects of which a rule remembers something.", lambda one: one.subjects),
    ("gauge", "rule_bytes", "About what that takes.", lambda one: one.bytes),
    ("counter", "rule_forgotten_subjects", "Subjects that there was no room for.", lambda one: one.forgotten_subjects),
)


def rule_families(rules: "Sequence[RuleSource]") -> Iterator[Family]:
    statuses = [one.status() for one in rules]
    if not statuses:
        return
    for kind, name, text, value_of in KINDS:
        yield Family(kind, name, text, ("rule",), [((one.name,), value_of(one)) for one in statuses])
    errors = [((one.name, kind), count) for one in statuses for kind, count in one.errors.items()]
    yield Family("counter", "rule_errors", "Messages that a rule had no result for.", ("rule", "kind"), errors)
