"""Subject tree: which subscriptions match a subject (hot).

Literal filters stand in a dict, found by one look-up. Filters with wildcards stand in a tree of tokens; a walk follows
at most the literal child, `*` and `>` of each level.
"""

from gateway.dataplane.port import Receiver
from protocols.scanning import cut, find_byte

DOT = 0x2E


class Interest:
    """Everybody who subscribed with the same filter.

    `plain` and the lists in `groups` (queue group name to members) hold local receivers, `upstream` those of leafnode
    links, with and without a queue group. `local_only` counts the plain ones that are. `routes` is the router's: where
    messages go that interest nobody else; None again after each change.
    """

    __slots__ = ("groups", "local_only", "plain", "routes", "subject", "upstream")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.plain: list[Receiver] = []
        self.local_only = 0
        self.groups: dict[bytes, list[Receiver]] | None = None
        self.upstream: list[Receiver] | None = None
        self.routes: object = None

    def is_empty(self) -> bool:
        return not self.plain and not self.groups and not self.upstream

    def told_count(self, queue: bytes) -> int:
        """How many local receivers hubs are told of in the queue group; b"" counts the plain ones. Of what the gateway
        answers itself they are told nothing.
        """
        if self.local_only:
            return 0
        if not queue:
            return len(self.plain)
        return len(self.groups[queue]) if self.groups and queue in self.groups else 0


class Node:
    """One level of the tree: `children` by token, `star` for `*`, and the interests that end here or with `>`."""

    __slots__ = ("children", "interest", "rest", "star")

    def __init__(self) -> None:
        self.children: dict[bytes, Node] | None = None
        self.star: Node | None = None
        self.interest: Interest | None = None
        self.rest: Interest | None = None

    def is_empty(self) -> bool:
        return not self.children and self.star is None and self.interest is None and self.rest is None


class SubjectTree:
    """Filters and their receivers. Filters must be valid (`protocols.subjects.is_valid_filter`)."""

    __slots__ = ("_literals", "_root", "_wildcards", "count")

    def __init__(self) -> None:
        self._literals: dict[bytes, Interest] = {}
        self._root = Node()
        self._wildcards = 0
        self.count = 0

    def insert(self, receiver: Receiver) -> Interest:
        """Add a receiver; returns the interest that it joined."""
        interest = self._interest(receiver.subject)
        members = _members(interest, receiver)
        receiver.slot = len(members)
        members.append(receiver)
        interest.routes = None
        interest.local_only += receiver.local_only
        self.count += 1
        return interest

    def remove(self, receiver: Receiver) -> Interest | None:
        """Take a receiver out; returns the interest that it left, or None when it is not in the tree."""
        if receiver.slot < 0:
            return None
        interest = self._interest(receiver.subject)
        members = _members(interest, receiver)
        last = members.pop()
        if last is not receiver:
            members[receiver.slot] = last
            last.slot = receiver.slot
        receiver.slot = -1
        interest.routes = None
        interest.local_only -= receiver.local_only
        self.count -= 1
        if not members and receiver.queue and interest.groups is not None and not receiver.port.leaf:
            del interest.groups[receiver.queue]
        if interest.is_empty():
            self._drop(receiver.subject)
        return interest

    def match(self, subject: bytes) -> list[Interest]:
        """The interests whose filter matches a published subject; none for a subject with an empty token."""
        found: list[Interest] = []
        self.find(subject, found)
        return found

    def find(self, subject: bytes, found: list[Interest]) -> int:
        """Append what `match` returns; returns at how many nodes was looked."""
        literal = self._literals.get(subject)
        if literal is not None:
            found.append(literal)
        if self._wildcards and not has_empty_token(subject):
            return walk(self._root, subject, found)
        return 0

    def interests(self) -> list[Interest]:
        """Every interest, in no order."""
        found = list(self._literals.values())
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            if node.interest is not None:
                found.append(node.interest)
            if node.rest is not None:
                found.append(node.rest)
            if node.star is not None:
                nodes.append(node.star)
            if node.children:
                nodes.extend(node.children.values())
        return found

    def _interest(self, subject: bytes) -> Interest:
        """The interest of a filter, made if there is none."""
        tokens = subject.split(b".")
        if b"*" not in tokens and tokens[-1] != b">":
            interest = self._literals.get(subject)
            if interest is None:
                interest = self._literals[subject] = Interest(subject)
            return interest
        node = self._root
        for token in tokens:
            if token == b">":
                if node.rest is None:
                    node.rest = Interest(subject)
                    self._wildcards += 1
                return node.rest
            if token == b"*":
                if node.star is None:
                    node.star = Node()
                node = node.star
            else:
                if node.children is None:
                    node.children = {}
                child = node.children.get(token)
                if child is None:
                    child = node.children[token] = Node()
                node = child
        if node.interest is None:
            node.interest = Interest(subject)
            self._wildcards += 1
        return node.interest

    def _drop(self, subject: bytes) -> None:
        """Take out a filter that nobody holds any more, and the nodes that only it needed."""
        if self._literals.pop(subject, None) is not None:
            return
        self._wildcards -= 1
        _prune(self._root, subject.split(b"."), 0)


def _members(interest: Interest, receiver: Receiver) -> list[Receiver]:
    """The list of an interest in which a receiver stands."""
    if receiver.port.leaf:
        if interest.upstream is None:
            interest.upstream = []
        return interest.upstream
    if not receiver.queue:
        return interest.plain
    if interest.groups is None:
        interest.groups = {}
    members = interest.groups.get(receiver.queue)
    if members is None:
        members = interest.groups[receiver.queue] = []
    return members


def has_empty_token(subject: bytes) -> bool:
    start, end = 0, len(subject)
    while True:
        stop = find_byte(subject, DOT, start, end)
        if stop < 0:
            return start == end
        if stop == start:
            return True
        start = stop + 1


def walk(node: Node | None, subject: bytes, found: list[Interest]) -> int:
    """Append what matches below the root; returns at how many nodes was looked.

    As long as there is one way to go it is followed; from a fork on, all nodes of a level before those of the next, so
    that each token is cut out and hashed once: with `*` and a literal in every place there are thousands of ways.
    """
    start, end = 0, len(subject)
    steps = 1
    fork: Node | None = None
    while node is not None:
        if start > end:
            if node.interest is not None:
                found.append(node.interest)
            return steps
        if node.rest is not None:
            found.append(node.rest)
        stop = find_byte(subject, DOT, start, end)
        if stop < 0:
            stop = end
        child = node.children.get(cut(subject, start, stop)) if node.children is not None else None
        start = stop + 1
        steps += 1
        if child is None:
            node = node.star
        elif node.star is None:
            node = child
        else:
            fork, node = node.star, child
            break
    if node is None or fork is None:
        return steps
    nodes = [fork, node]
    while start <= end:
        stop = find_byte(subject, DOT, start, end)
        if stop < 0:
            stop = end
        token = cut(subject, start, stop)
        start = stop + 1
        steps += len(nodes)
        following: list[Node] = []
        for node in nodes:
            if node.rest is not None:
                found.append(node.rest)
            if node.star is not None:
                following.append(node.star)
            if node.children is not None:
                child = node.children.get(token)
                if child is not None:
                    following.append(child)
        if not following:
            return steps
        nodes = following
    found.extend([node.interest for node in nodes if node.interest is not None])
    return steps


def _prune(node: Node, tokens: list[bytes], level: int) -> None:
    token = tokens[level] if level < len(tokens) else b""
    if level == len(tokens):
        node.interest = None
    elif token == b">":
        node.rest = None
    elif token == b"*":
        if node.star is not None:
            _prune(node.star, tokens, level + 1)
            if node.star.is_empty():
                node.star = None
    elif node.children is not None:
        child = node.children[token]
        _prune(child, tokens, level + 1)
        if child.is_empty():
            del node.children[token]
