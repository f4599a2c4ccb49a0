"""What Prometheus is told of integrations, whatever their kind."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gateway.monitoring.family import Family

if TYPE_CHECKING:
    from gateway.integrations.status import IntegrationStatus

LABELS = ("kind", "integration")


def integration_families(statuses: "Iterable[IntegrationStatus]") -> Iterator[Family]:
    """None where nothing is configured."""
    links = list(statuses)
    if not links:
        return
    kinds: tuple[tuple[str, str, str, Callable[[IntegrationStatus], float]], ...] = (
        ("gauge", "integration_up", "Whether the other side answers.", lambda one: float(one.up)),
        ("counter", "integration_outages", "How often it went down.", lambda one: one.outages),
        ("gauge", "integration_waiting_messages", "What it has not acknowledged.", lambda one: one.waiting_msgs),
        ("gauge", "integration_waiting_bytes", "About how many bytes that is.", lambda one: one.waiting_bytes),
        ("counter", "integration_sent_messages", "What it has acknowledged.", lambda one: one.sent_msgs),
        ("counter", "integration_received_messages", "What came from it.", lambda one: one.received_msgs),
    )
    for kind, name, text, value_of in kinds:
        yield Family(kind, name, text, LABELS, [((one.kind, one.name), value_of(one)) for one in links])
    dropped = [((one.kind, one.name, reason), count) for one in links for reason, count in one.dropped_msgs.items()]
    text = "What is lost, by reason."
    yield Family("counter", "integration_dropped_messages", text, (*LABELS, "reason"), dropped)
