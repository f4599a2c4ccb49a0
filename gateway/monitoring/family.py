"""Family: metrics of one name, before they are made into text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.runtime.histogram import Histogram


@dataclass(slots=True)
class Family:
    """Metrics of one name. `values` are label values and the value; of a histogram the value is a Histogram."""

    kind: str
    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: Sequence[tuple[tuple[str, ...], Any]] = field(default_factory=tuple)


def gauge(name: str, text: str, value: float) -> Family:
    return Family("gauge", name, text, (), [((), float(value))])


def counter(name: str, text: str, value: float) -> Family:
    return Family("counter", name, text, (), [((), value)])


def histogram(name: str, text: str, value: Histogram) -> Family:
    return Family("histogram", name, text, (), [((), value)])
