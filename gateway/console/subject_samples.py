"""Subject samples: the last message of each subject and how many there were, while somebody looks.

Whoever looks gets what it shows at that moment, however much passes: a page of 10,000 subjects with 20,000 messages a
second costs as much as a calm one.
"""

from collections.abc import Iterator
from typing import Any

from gateway.accounts.permissions import Permissions
from gateway.dataplane.port import Port, Receiver
from protocols.message import Burst, Message

MOST_SUBJECTS = 10_000
LONGEST_SUBJECT = 256
# A message of up to so many bytes is kept as it is; of a longer one the beginning, once between two looks.
SMALL = 1024
SHOWN = 256
# About what a subject takes, with a small message and its place in the tree.
SAMPLE_BYTES = 1800
# Requests and their answers come on subjects that nobody sees twice.
PASSING = (b"_INBOX.", b"$LEAFGATE.", b"$MQTT.")


class Sample:
    """What came on a subject: `count` messages, the last of them in `last`, or what is shown of it."""

    __slots__ = ("count", "last", "looked", "subject")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.count = 0
        # A Message, or the size of a payload and its beginning.
        self.last: Any = (0, b"")
        self.looked = True

    def shown(self) -> dict[str, object]:
        """As JSON: `value` is the beginning of the payload as text where it is such, else `hex`."""
        self.looked = True
        last = self.last
        size, payload = last if isinstance(last, tuple) else (last.size - last.header_size, last.payload()[:SHOWN])
        told: dict[str, object] = {"subject": self.subject.decode("utf-8", "replace"), "n": self.count, "size": size}
        text = as_text(payload, cut=size > len(payload))
        if text is None:
            told["hex"] = payload[: SHOWN // 4].hex()
        else:
            told["value"] = text
        return told


def as_text(payload: bytes, cut: bool) -> str | None:
    """None for what is no text. One that was cut may end within a character."""
    for end in (0, 1, 2, 3) if cut else (0,):
        try:
            text = payload[: len(payload) - end].decode()
        except UnicodeDecodeError:
            continue
        return text if text.isprintable() or not any(c < " " and c not in "\t\r\n" for c in text) else None
    return None


class Node:
    """A token of subjects: those that go on behind it, how many there are `below`, and the sample of its own."""

    __slots__ = ("below", "children", "sample")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] = {}
        self.sample: Sample | None = None
        self.below = 0


class SubjectSamples(Receiver):
    """Listens to everything in an account that somebody with these permissions may hear, and takes nothing."""

    __slots__ = ("_permissions", "_samples", "left_out", "root")

    def __init__(self, permissions: Permissions) -> None:
        super().__init__(Port(None), b">", b"")
        self.onlooker = True
        self._permissions = permissions
        self._samples: dict[bytes, Sample | None] = {}
        self.root = Node()
        # How many messages came on subjects for which there was no room.
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._samples)

    def deliver(self, message: Message, source: Port) -> bool:
        sample = self._samples.get(message.subject) or self._added(message.subject)
        if sample is None:
            return False
        sample.count += 1
        if message.size <= SMALL:
            sample.last = message
        elif sample.looked:
            sample.last = (message.size - message.header_size, message.payload()[:SHOWN])
            sample.looked = False
        return False

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        sample = self._samples.get(burst.subject) or self._added(burst.subject)
        if sample is None:
            return
        sample.count += burst.count
        if sample.looked:
            content = burst.contents()[-1]
            end = burst.header_size + SHOWN
            sample.last = (burst.message_size - burst.header_size, bytes(content[burst.header_size : end]))
            sample.looked = False

    def _added(self, subject: bytes) -> Sample | None:
        if subject in self._samples or subject.startswith(PASSING):
            return None
        if len(self._samples) >= MOST_SUBJECTS or len(subject) > LONGEST_SUBJECT:
            self.left_out += 1
            return None
        # Verdicts are asked once for each subject.
        sample = Sample(subject) if self._permissions.may_receive(subject) else None
        self._samples[subject] = sample
        if sample is not None:
            node = self.root
            for token in subject.split(b"."):
                node.below += 1
                node = node.children.setdefault(token, Node())
            node.sample = sample
        return sample

    def children(self, prefix: str, most: int) -> tuple[int, list[tuple[str, Node]]]:
        """What stands behind a prefix, "" for the top: how many, and the first of them in order."""
        node = self.root
        for token in prefix.encode().split(b".") if prefix else ():
            found = node.children.get(token)
            if found is None:
                return 0, []
            node = found
        first = sorted(node.children)[:most]
        return len(node.children), [(token.decode("utf-8", "replace"), node.children[token]) for token in first]

    def matching(self, pattern: bytes) -> Iterator[Sample | None]:
        """The samples on subjects that a filter matches; None in between, where whoever asks may look at the clock."""
        yield from matches_below(self.root, pattern.split(b"."))


def matches_below(node: Node, tokens: list[bytes]) -> Iterator[Sample | None]:
    yield None
    first, rest = tokens[0], tokens[1:]
    if first == b">":
        yield from all_below(node)
        return
    nodes = node.children.values() if first == b"*" else filter(None, (node.children.get(first),))
    for child in list(nodes):
        if rest:
            yield from matches_below(child, rest)
        elif child.sample is not None:
            yield child.sample


def all_below(node: Node) -> Iterator[Sample | None]:
    for child in list(node.children.values()):
        yield child.sample
        yield from all_below(child)
