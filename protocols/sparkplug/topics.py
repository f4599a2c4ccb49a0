"""Topics of Sparkplug: `spBv1.0/group/verb/edge node[/device]`, and `spBv1.0/STATE/host` (3.0, 4)."""

from typing import NamedTuple

NAMESPACE = "spBv1.0"
NBIRTH, NDEATH, NDATA, NCMD = "NBIRTH", "NDEATH", "NDATA", "NCMD"
DBIRTH, DDEATH, DDATA, DCMD = "DBIRTH", "DDEATH", "DDATA", "DCMD"
STATE = "STATE"
OF_NODES = frozenset((NBIRTH, NDEATH, NDATA, NCMD))
OF_DEVICES = frozenset((DBIRTH, DDEATH, DDATA, DCMD))
LONGEST_ID = 256


class Topic(NamedTuple):
    """`device` is "" for what is of the node itself."""

    group: str
    verb: str
    node: str
    device: str = ""

    def __str__(self) -> str:
        made = f"{NAMESPACE}/{self.group}/{self.verb}/{self.node}"
        return f"{made}/{self.device}" if self.device else made


def parse_topic(text: str) -> Topic | None:
    """None for a topic that is none of an edge node, nor of a device of one."""
    namespace, *levels = text.split("/")
    if namespace != NAMESPACE or not all(levels):
        return None
    if len(levels) == 3 and levels[1] in OF_NODES:
        return Topic(levels[0], levels[1], levels[2])
    if len(levels) == 4 and levels[1] in OF_DEVICES:
        return Topic(*levels)
    return None


def state_topic(host: str) -> str:
    return f"{NAMESPACE}/{STATE}/{host}"


def is_id(text: str) -> bool:
    """Whether a group, a node, a device or a host may be called so."""
    return 0 < len(text) <= LONGEST_ID and text.isprintable() and set("+/#").isdisjoint(text)
