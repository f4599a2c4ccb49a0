"""What /metrics tells of what has a name in the configuration: links, buffers, bridges, integrations and rules.

Of each there are families where one is configured; those of links to hubs are always there.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gateway.monitoring.family import Family, Measure, measured

if TYPE_CHECKING:
    from gateway.bridges.status import BridgeStatus
    from gateway.forwarding.status import BufferStatus
    from gateway.integrations.status import IntegrationStatus
    from gateway.monitoring.sources import Sources
    from gateway.services.rules import RuleStatus
    from gateway.uplink.status import LinkStatus

UPLINKS: "tuple[Measure[LinkStatus], ...]" = (
    ("gauge", "uplink_up", "Whether a link to a hub is up.", lambda one: one.up),
    ("counter", "uplink_losses", "How often a link was lost.", lambda one: one.flaps),
    ("counter", "uplink_attempts", "How often a link was tried.", lambda one: one.attempts),
    ("gauge", "uplink_refused_subjects", "Subjects that the hub refused.", lambda one: one.refused_interest),
    ("counter", "uplink_dropped_messages", "What the hub would not take.", lambda one: one.dropped_msgs),
)
BUFFERS: "tuple[Measure[BufferStatus], ...]" = (
    ("gauge", "buffer_messages", "Messages that wait for a hub.", lambda one: one.messages),
    ("gauge", "buffer_bytes", "Bytes that wait for a hub.", lambda one: one.bytes),
    ("gauge", "buffer_oldest_seconds", "How long the oldest has waited.", lambda one: one.oldest_seconds),
    ("gauge", "buffer_held", "Whether the hub does not take them.", lambda one: one.state == "held"),
    ("counter", "buffer_forwarded_messages", "What a hub has acknowledged.", lambda one: one.forwarded),
    ("counter", "buffer_dropped_messages", "What was lost at a bound.", lambda one: sum(one.dropped.values())),
)
BRIDGES: "tuple[Measure[BridgeStatus], ...]" = (
    ("gauge", "bridge_up", "Whether a link to a broker is up.", lambda one: one.up),
    ("counter", "bridge_losses", "How often a link to a broker was lost.", lambda one: one.flaps),
    ("counter", "bridge_attempts", "How often a link to a broker was tried.", lambda one: one.attempts),
    ("gauge", "bridge_queued_messages", "Messages that wait for a broker.", lambda one: one.queued_msgs),
    ("gauge", "bridge_queued_bytes", "Bytes that wait for a broker.", lambda one: one.queued_bytes),
    ("counter", "bridge_dropped_messages", "What there was no room for.", lambda one: one.dropped_msgs),
    ("counter", "bridge_refused_messages", "What a broker did not take.", lambda one: one.refused_msgs),
)
INTEGRATIONS: "tuple[Measure[IntegrationStatus], ...]" = (
    ("gauge", "integration_up", "Whether the other side answers.", lambda one: one.up),
    ("counter", "integration_outages", "How often it went down.", lambda one: one.outages),
    ("gauge", "integration_waiting_messages", "What it has not acknowledged.", lambda one: one.waiting_msgs),
    ("gauge", "integration_waiting_bytes", "About how many bytes that is.", lambda one: one.waiting_bytes),
    ("counter", "integration_sent_messages", "What it has acknowledged.", lambda one: one.sent_msgs),
    ("counter", "integration_received_messages", "What came from it.", lambda one: one.received_msgs),
)
RULES: "tuple[Measure[RuleStatus], ...]" = (
    ("counter", "rule_taken_messages", "Messages that came to a rule.", lambda one: one.taken_msgs),
    ("counter", "rule_made_messages", "Messages that a rule made.", lambda one: one.made_msgs),
    ("counter", "rule_filtered_messages", "What a rule did not want.", lambda one: one.filtered_msgs),
    ("counter", "rule_held_messages", "What was too soon, or too like the last one.", lambda one: one.held_msgs),
    ("gauge", "rule_subjects", "Subjects of which a rule remembers something.", lambda one: one.subjects),
    ("gauge", "rule_bytes", "About what that takes.", lambda one: one.bytes),
    ("counter", "rule_forgotten_subjects", "Subjects that there was no room for.", lambda one: one.forgotten_subjects),
)


def part_families(sources: "Sources") -> Iterator[Family]:
    yield from _uplinks(one.status() for one in sources.uplinks)
    buffers = [((one.name, one.account), one) for one in sources.buffers()]
    if buffers:
        yield from measured(BUFFERS, ("buffer", "account"), buffers)
    bridges = [((one.name,), one) for one in (bridge.status() for bridge in sources.bridges)]
    if bridges:
        yield from measured(BRIDGES, ("bridge",), bridges)
    yield from _integrations([((one.kind, one.name), one) for one in sources.integrations()])
    yield from _rules([((one.name,), one) for one in (rule.status() for rule in sources.rules)])


def _uplinks(links: "Iterable[LinkStatus]") -> Iterator[Family]:
    # One URL for each: two links of an account to one hub would be one.
    unique = {(one.url, one.account): one for one in links}
    yield from measured(UPLINKS, ("uplink", "account"), list(unique.items()))


def _integrations(found: "list[tuple[tuple[str, ...], IntegrationStatus]]") -> Iterator[Family]:
    if not found:
        return
    labels = ("kind", "integration")
    yield from measured(INTEGRATIONS, labels, found)
    dropped = [((*key, reason), count) for key, one in found for reason, count in one.dropped_msgs.items()]
    yield Family("counter", "integration_dropped_messages", "What is lost, by reason.", (*labels, "reason"), dropped)


def _rules(found: "list[tuple[tuple[str, ...], RuleStatus]]") -> Iterator[Family]:
    if not found:
        return
    yield from measured(RULES, ("rule",), found)
    errors = [((*key, kind), count) for key, one in found for kind, count in one.errors.items()]
    yield Family("counter", "rule_errors", "Messages that a rule had no result for.", ("rule", "kind"), errors)
