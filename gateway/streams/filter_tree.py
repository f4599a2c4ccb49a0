"""FilterTree: subject filters that a configuration names, compared with each other in one walk for each.

To compare every one with every other takes the square of their number, and of what somebody else has written.
"""

from typing import Any

ONE, REST = b"*", b">"
# Where a filter ends; no token is empty.
END = b""


class FilterTree:
    """Takes filters that are valid (`protocols.subjects.is_valid_filter`)."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        # What follows each token; a tree of dicts.
        self._root: dict[bytes, Any] = {}

    def add(self, one: bytes) -> None:
        node = self._root
        for token in one.split(b"."):
            node = node.setdefault(token, {})
        node[END] = True

    def overlaps(self, other: bytes) -> bool:
        """Whether a subject can match both another filter and one of these."""
        nodes = [self._root]
        for token in other.split(b"."):
            following: list[dict[bytes, Any]] = []
            for node in nodes:
                if REST in node:
                    return True
                if token in (ONE, REST):
                    following += [child for key, child in node.items() if key != END]
                else:
                    following += [node[key] for key in (token, ONE) if key in node]
            if token == REST or not following:
                return bool(following)
            nodes = following
        return any(END in node for node in nodes)

    def covers(self, other: bytes) -> bool:
        """Whether one of these matches all that another filter matches."""
        nodes = [self._root]
        for token in other.split(b"."):
            if any(REST in node for node in nodes):
                return True
            keys = (ONE,) if token == ONE else () if token == REST else (token, ONE)
            nodes = [node[key] for node in nodes for key in keys if key in node]
        return any(END in node for node in nodes)


def have_overlaps(filters: list[bytes]) -> bool:
    """Whether a subject can match two of these filters."""
    return overlapping(filters) is not None


def overlapping(filters: list[bytes]) -> int | None:
    """The index of the first filter that overlaps with one before it."""
    tree = FilterTree()
    for index, one in enumerate(filters):
        if tree.overlaps(one):
            return index
        tree.add(one)
    return None


def have_covered(filters: list[bytes]) -> bool:
    """Whether one of these filters matches all that another one matches."""
    for row in (filters, filters[::-1]):
        tree = FilterTree()
        for one in row:
            if tree.covers(one):
                return True
            tree.add(one)
    return False


def collide(ours: list[bytes], theirs: list[list[bytes]]) -> bool:
    """Whether a subject can match one of our filters and one of others'."""
    tree = FilterTree()
    for one in ours:
        tree.add(one)
    return any(tree.overlaps(other) for filters in theirs for other in filters)
