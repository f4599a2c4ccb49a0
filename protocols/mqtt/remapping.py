"""Remapping: which topics pass a bridge between two brokers, in which direction, and what they are called beyond it.

A topic is chosen by a filter with the prefix of its own side before it; that prefix goes, the other side's comes. Where
several entries fit, the first does it, so that a message passes once.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from protocols.cache import GenerationCache
from protocols.mqtt.primitives import LONGEST_STRING
from protocols.mqtt.topics import filter_matches, is_topic_name

REMEMBERED_TOPICS = 1024
# The name that a topic has beyond the bridge when it does not pass; no topic is empty.
NOT_PASSING = b""


class TopicEntry(NamedTuple):
    """What passes: `outwards`, from the local side to the remote one, `inwards`, or both. `topic_filter` may be empty
    where both prefixes are whole topics.
    """

    topic_filter: bytes
    outwards: bool
    inwards: bool
    qos: int
    local_prefix: bytes = b""
    remote_prefix: bytes = b""

    @property
    def local_filter(self) -> bytes:
        return self.local_prefix + self.topic_filter

    @property
    def remote_filter(self) -> bytes:
        return self.remote_prefix + self.topic_filter


def anything(topic: bytes) -> bool:
    """A broker takes every topic."""
    return True


class Remapping:
    """The entries of one bridge. What a topic becomes is remembered; the caches are bounded. `takes` says whether the
    remote side takes a topic; it is asked when one is not remembered.
    """

    def __init__(self, entries: tuple[TopicEntry, ...], takes: Callable[[bytes], bool] = anything) -> None:
        self.entries = entries
        self._outwards = [(one.local_filter, one.local_prefix, one.remote_prefix) for one in entries if one.outwards]
        self._inwards = [(one.remote_filter, one.remote_prefix, one.local_prefix) for one in entries if one.inwards]
        self._known_outwards = GenerationCache(REMEMBERED_TOPICS)
        self._known_inwards = GenerationCache(REMEMBERED_TOPICS)
        self._takes = takes

    def outward(self, topic: bytes) -> bytes | None:
        """What a local topic is called on the remote side; None where it does not pass."""
        return _renamed(topic, self._outwards, self._known_outwards, self._takes)

    def inward(self, topic: bytes) -> bytes | None:
        """What a remote topic is called here; None where it does not pass."""
        return _renamed(topic, self._inwards, self._known_inwards, anything)

    def local_filters(self) -> dict[bytes, int]:
        """What is to be subscribed to here, with the highest QoS of those entries that share a filter."""
        return _filters((one.local_filter, one.qos) for one in self.entries if one.outwards)

    def remote_filters(self) -> dict[bytes, int]:
        """What is to be subscribed to on the remote side, as `local_filters`."""
        return _filters((one.remote_filter, one.qos) for one in self.entries if one.inwards)


def _filters(wanted: Iterable[tuple[bytes, int]]) -> dict[bytes, int]:
    filters: dict[bytes, int] = {}
    for topic_filter, qos in wanted:
        filters[topic_filter] = max(qos, filters.get(topic_filter, 0))
    return filters


def _renamed(
    topic: bytes, rules: list[tuple[bytes, bytes, bytes]], known: GenerationCache, takes: Callable[[bytes], bool]
) -> bytes | None:
    renamed: bytes | None = known.young.get(topic)
    if renamed is None:
        renamed = known.recall(topic)
        if renamed is None:
            renamed = _rename(topic, rules)
            if renamed and not takes(renamed):
                renamed = NOT_PASSING
            known.remember(topic, renamed)
    return renamed or None


def _rename(topic: bytes, rules: list[tuple[bytes, bytes, bytes]]) -> bytes:
    for topic_filter, prefix, other in rules:
        # `a/#` takes `a` too, which lacks the `/` of a prefix.
        if topic.startswith(prefix) and filter_matches(topic_filter, topic):
            renamed = other + topic[len(prefix) :]
            return renamed if is_topic_name(renamed) and len(renamed) <= LONGEST_STRING else NOT_PASSING
    return NOT_PASSING
