"""What a row of the table is, what a case measures for it, and which servers take part."""

from dataclasses import dataclass

from measures import Measure
from servers import GATEWAY, MOSQUITTO, NATS_SERVER, Keeping, Store

NATS_PEERS = (GATEWAY, NATS_SERVER)
MQTT_PEERS = (GATEWAY, NATS_SERVER, MOSQUITTO)
CPU = "µs (less is better)"


@dataclass(frozen=True)
class Row:
    """One line of the table: the metric of its case that it shows. `scale` turns the value into the unit."""

    key: str
    title: str
    unit: str
    metric: str = "rate"
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    """A measurement and the rows it fills. Long ones never take more than `runs` runs or tries."""

    rows: tuple[Row, ...]
    measure: Measure
    servers: tuple[str, ...] = NATS_PEERS
    protocols: frozenset[str] = frozenset({"nats"})
    hub: bool = False
    store: Store = ""
    runs: int | None = None
    accounts: bool = False
    tls: bool = False
    rights: bool = False
    rules: bool = False
    keeping: Keeping = ""
    synced: bool = False
    commit_interval: int = 0


def rate(
    key: str,
    title: str,
    measure: Measure,
    *protocols: str,
    servers: tuple[str, ...] = NATS_PEERS,
    unit: str = "k deliveries/s",
    hub: bool = False,
    store: Store = "",
    accounts: bool = False,
) -> Case:
    """One row of thousands a second."""
    row = Row(key, title, unit, scale=1e-3)
    return Case((row,), measure, servers, frozenset(protocols or ("nats",)), hub, store, accounts=accounts)


def mqtt(*rows: Row, measure: Measure, store: Store = "", runs: int | None = None) -> Case:
    """Rows of a measurement that all three servers can take part in."""
    return Case(rows, measure, MQTT_PEERS, frozenset({"mqtt"}), store=store, runs=runs)


def streamed(key: str, title: str, measure: Measure) -> Case:
    """How many a second go out of a stream, or into one, and what each costs. No other server does it by itself."""
    rows = Row(key, title, "k messages/s", scale=1e-3), Row(f"{key}-cpu", f"{title}: CPU for each", CPU, "cpu")
    return Case(rows, measure, (GATEWAY,), frozenset({"nats", "monitoring"}), keeping="stream", runs=3)
