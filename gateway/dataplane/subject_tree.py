"""Subject tree: which subscriptions match a subject (hot).

Literal filters are found by one look-up. Filters with wildcards stand in a tree of tokens; a walk follows
at most the literal child, `*` and `>` of each level.
"""

from collections.abc import Iterator

from gateway.dataplane.drawers import Drawers
from gateway.dataplane.port import Receiver
from protocols.scanning import cut, find_byte

DOT = 0x2E
# At how many nodes a walk looks before it is left for a later turn: half a millisecond's worth where few are cached.
LONGEST_WALK = 1024
# How many ways lead to what subjects have in common, where it is worth to look.
MOST_WAYS = 16


class Interest:
    """Everybody who subscribed with the same filter.

    `plain` and the lists in `groups` (queue group name to members) hold local receivers, `beyond` those of leafnode
    links by their queue group, b"" for those in none. `local_only`, `untold` and `onlookers` count the plain ones that
    are. `routes` is the router's: where messages go that interest nobody else; None again after each change.
    """

    __slots__ = ("beyond", "groups", "local_only", "onlookers", "plain", "routes", "subject", "untold")

    def __init__(self, subject: bytes) -> None:
        self.subject = subject
        self.plain: list[Receiver] = []
        self.local_only = 0
        self.untold = 0
        self.onlookers = 0
        self.groups: dict[bytes, list[Receiver]] | None = None
        self.beyond: dict[bytes, list[Receiver]] | None = None
        self.routes: object = None

    def is_empty(self) -> bool:
        return not self.plain and not self.groups and not self.beyond

    def told_count(self, queue: bytes, by_hub: bool = False) -> int:
        """How many local receivers leafnodes, or a hub, are told of in the queue group; b"" counts the plain ones. Of
        what the gateway answers itself they are told nothing.
        """
        if self.local_only:
            return 0
        if not queue:
            told = len(self.plain) - self.onlookers
            return told - self.untold if by_hub else told
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


class Walk:
    """A walk through the tree that takes long: all nodes of a level before those of the next. `found` are the
    interests that match so far.

    Filters may come and go in between: one that was there all the time is found.
    """

    __slots__ = ("_following", "_nodes", "_position", "_start", "_subject", "_token", "found")

    def __init__(self, subject: bytes, start: int, nodes: list[Node], found: list[Interest]) -> None:
        self.found = found
        self._subject = subject
        self._start = start
        self._nodes = nodes
        self._following: list[Node] = []
        self._position = 0
        self._token = b""
        self._cut()

    def go_on(self) -> bool:
        """Look at the next nodes, LONGEST_WALK of them; whether there are more."""
        left = LONGEST_WALK
        while left > 0:
            first, nodes = self._position, self._nodes
            stop = min(first + left, len(nodes))
            left -= stop - first
            self._position = stop
            if self._start > len(self._subject) + 1:
                arrive(nodes, first, stop, self.found)
            else:
                descend(nodes, first, stop, self._token, self._following, self.found)
            if stop < len(nodes):
                break
            if not self._following:
                self._nodes = []
                return False
            self._nodes, self._following = self._following, []
            self._position = 0
            self._cut()
        return True

    def _cut(self) -> None:
        """Take the next token; `_start` is beyond the subject's end when there is none."""
        subject, start = self._subject, self._start
        end = len(subject)
        if start > end:
            self._start = end + 2
            return
        stop = find_byte(subject, DOT, start, end)
        if stop < 0:
            stop = end
        self._token = cut(subject, start, stop)
        self._start = stop + 1


class SubjectTree:
    """Filters and their receivers. Filters must be valid (`protocols.subjects.is_valid_filter`).

    `changes` counts receivers that came and went, `looked` the nodes at which walks have looked.
    """

    __slots__ = ("_literals", "_root", "_wildcards", "changes", "count", "looked")

    def __init__(self) -> None:
        self._literals = Drawers()
        self._root = Node()
        self._wildcards = 0
        self.count = 0
        self.changes = 0
        self.looked = 0

    def insert(self, receiver: Receiver) -> Interest:
        """Add a receiver; returns the interest that it joined."""
        interest = self._interest(receiver.subject)
        members = _members(interest, receiver)
        receiver.slot = len(members)
        members.append(receiver)
        interest.routes = None
        interest.local_only += receiver.local_only
        interest.untold += receiver.untold
        interest.onlookers += receiver.onlooker
        self.count += 1
        self.changes += 1
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
        interest.untold -= receiver.untold
        interest.onlookers -= receiver.onlooker
        self.count -= 1
        self.changes += 1
        if not members and receiver.port.leaf and interest.beyond is not None:
            del interest.beyond[receiver.queue]
        elif not members and receiver.queue and interest.groups is not None:
            del interest.groups[receiver.queue]
        if interest.is_empty():
            self._drop(receiver.subject)
        return interest

    def interest_of(self, receiver: Receiver) -> Interest:
        """Where a subscribed receiver stands."""
        return self._interest(receiver.subject)

    def match(self, subject: bytes) -> list[Interest]:
        """The interests whose filter matches a published subject; none for a subject with an empty token."""
        found: list[Interest] = []
        walk = self.find(subject, found)
        while walk is not None and walk.go_on():
            pass
        return found

    def find(self, subject: bytes, found: list[Interest]) -> Walk | None:
        """Append what `match` returns; what is left of the walk where that takes long."""
        literal: Interest | None = self._literals.get(subject)
        if literal is not None:
            found.append(literal)
        if self._wildcards and not has_empty_token(subject):
            return self._walk(subject, found)
        return None

    def is_literal(self, subject: bytes) -> bool:
        """Whether somebody holds just this subject for a filter."""
        return subject in self._literals

    def only_interest(self, lead: bytes, tokens: int) -> Interest | None:
        """The one interest in all subjects that are a lead, with its dot, and so many tokens; None where it is another
        for some of them, literal filters aside, or none, or where that takes long to find out.
        """
        found: list[Interest] = []
        nodes = [self._root]
        known = lead.split(b".")[:-1]
        for level in range(len(known) + tokens):
            following: list[Node] = []
            if level < len(known):
                descend(nodes, 0, len(nodes), known[level], following, found)
            else:
                for node in nodes:
                    if node.children:
                        return None
                    if node.rest is not None:
                        found.append(node.rest)
                    if node.star is not None:
                        following.append(node.star)
            nodes = following
            if len(nodes) > MOST_WAYS:
                return None
        arrive(nodes, 0, len(nodes), found)
        return found[0] if len(found) == 1 else None

    def forget_routes(self, subject: bytes) -> None:
        """Forget where messages go that interest nobody but those who hold a filter; one must."""
        self._interest(subject).routes = None

    def interests(self) -> list[Interest]:
        """Every interest, in no order."""
        return [one for one in self.go_through() if one is not None]

    def go_through(self) -> Iterator[Interest | None]:
        """Every interest, in no order, one by one: it may be left and gone on with later. One that was there all the
        time comes; one that has gone meanwhile may come, and is empty.

        None comes where there is none, so that no step takes long.
        """
        yield from self._literals.values()
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            yield node.interest
            if node.rest is not None:
                yield node.rest
            if node.star is not None:
                nodes.append(node.star)
            if node.children:
                nodes.extend(node.children.values())

    def _walk(self, subject: bytes, found: list[Interest]) -> Walk | None:
        """Append what matches below the root; returns the rest of a long walk.

        As long as there is one way to go it is followed; from a fork on, all nodes of a level before those of the next,
        so that each token is cut out and hashed once: with `*` and a literal in every place there are thousands of
        ways.
        """
        node: Node | None = self._root
        start, end = 0, len(subject)
        steps = 1
        fork: Node | None = None
        while node is not None:
            if start > end:
                if node.interest is not None:
                    found.append(node.interest)
                break
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
            self.looked += steps
            return None
        nodes = [fork, node]
        while start <= end:
            steps += len(nodes)
            if steps > LONGEST_WALK:
                self.looked += steps
                return Walk(subject, start, nodes, found)
            stop = find_byte(subject, DOT, start, end)
            if stop < 0:
                stop = end
            following: list[Node] = []
            descend(nodes, 0, len(nodes), cut(subject, start, stop), following, found)
            start = stop + 1
            nodes = following
            if not nodes:
                break
        arrive(nodes, 0, len(nodes), found)
        self.looked += steps
        return None

    def _interest(self, subject: bytes) -> Interest:
        """The interest of a filter, made if there is none."""
        tokens = subject.split(b".")
        if b"*" not in tokens and tokens[-1] != b">":
            interest: Interest | None = self._literals.get(subject)
            if interest is None:
                interest = Interest(subject)
                self._literals.put(subject, interest)
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
        if self._literals.pop(subject) is not None:
            return
        self._wildcards -= 1
        _prune(self._root, subject.split(b"."), 0)


def _members(interest: Interest, receiver: Receiver) -> list[Receiver]:
    """The list of an interest in which a receiver stands."""
    if receiver.port.leaf:
        if interest.beyond is None:
            interest.beyond = {}
        return interest.beyond.setdefault(receiver.queue, [])
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


def descend(
    nodes: list[Node], first: int, stop: int, token: bytes, following: list[Node], found: list[Interest]
) -> None:
    """Go from some nodes of a level to those of the next that the token leads to."""
    for index in range(first, stop):
        node = nodes[index]
        if node.rest is not None:
            found.append(node.rest)
        if node.star is not None:
            following.append(node.star)
        if node.children is not None:
            child = node.children.get(token)
            if child is not None:
                following.append(child)


def arrive(nodes: list[Node], first: int, stop: int, found: list[Interest]) -> None:
    """No token is left: what ends at these nodes matches."""
    for index in range(first, stop):
        node = nodes[index]
        if node.interest is not None:
            found.append(node.interest)


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
