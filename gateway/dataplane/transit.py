"""Transit: what the other end of a leafnode link is told of the interest here, that of clients and of other links."""

from collections.abc import Iterable, Iterator

from gateway.dataplane.nats_receivers import LeafInterest, LeafPort
from gateway.dataplane.port import Receiver
from gateway.dataplane.subject_tree import Interest, SubjectTree
from protocols.leafnode.link import LOOP_PREFIX


def concerns(receiver: Receiver, link: LeafPort) -> bool:
    """Whether what becomes of a receiver can change what is told over a link."""
    if receiver.port.leaf:
        return link.hears_of(receiver.port)
    return not (receiver.local_only or receiver.onlooker or (receiver.untold and link.uplink))


def told_count(interest: Interest, queue: bytes, link: LeafPort) -> int:
    """How many there are in the queue group as far as a link's other end is told; of plain interest (b"") only whether
    there is some. Clients have no say in the watch for loops.
    """
    count = 0 if interest.subject.startswith(LOOP_PREFIX) else interest.told_count(queue, link.uplink)
    if count and not queue:
        return count
    for receiver in (interest.beyond or {}).get(queue, ()):
        if link.hears_of(receiver.port):
            if not queue:
                return 1
            assert isinstance(receiver, LeafInterest)
            count += max(receiver.weight, 1)
    return count


def queues_of(interest: Interest) -> Iterable[bytes]:
    """The queue groups with members here or behind links, and b"" for plain interest, be there some or not."""
    return dict.fromkeys((b"", *(interest.groups or ()), *(interest.beyond or ())))


def told_interest(tree: SubjectTree, link: LeafPort) -> Iterator[tuple[bytes, bytes, int] | None]:
    """(filter, queue group or b"", count) of all that a link's other end is told, one by one and as it is then: it may
    be left and gone on with later. None comes where there is nothing to tell, so that no step takes long.
    """
    for interest in tree.go_through():
        if interest is None:
            yield None
            continue
        for queue in queues_of(interest):
            count = told_count(interest, queue, link)
            yield (interest.subject, queue, count) if count else None
