"""Family: metrics of one name, before they are made into text; and measures that several things have, a family each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.runtime.histogram import Histogram

T = TypeVar("T")

# Kind, name, help, and the value that one of the things has.
Measure = tuple[str, str, str, Callable[[T], float]]
# The label values of what has none of its own.
OTHERS = "others"


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


def measured(
    measures: Iterable[Measure[T]], labels: tuple[str, ...], found: Sequence[tuple[tuple[str, ...], T]]
) -> Iterator[Family]:
    """A family for each measure, of all that are `found`, by their label values; those with the same are summed up."""
    for kind, name, text, value_of in measures:
        sums: dict[tuple[str, ...], float] = {}
        for key, one in found:
            sums[key] = sums.get(key, 0.0) + value_of(one)
        yield Family(kind, name, text, labels, list(sums.items()))
