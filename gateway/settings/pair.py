"""The keys of `[pair]`: another gateway that stands in for this one, and this one for it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.settings.checks import check_address
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret

SHORTEST_SECRET = 16


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """`uplink` names the link of ours that leads to the other gateway; left out, the other one comes to a leafnode
    listener here. `account` is the one that the two share. By the `secret`, which both have, they know each other,
    whoever the link's user is.

    `streams` are those that either of the two mirrors of the other's, a `*` at the end for all that begin so. `nats`,
    `websocket` and `mqtt` are the addresses by which clients find this gateway; left out, those of its listeners.
    """

    secret: Secret
    uplink: str = ""
    # Left out: the uplink's, or the default one.
    account: str = ""
    streams: tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...] = ()
    sessions: bool = True
    nats: tuple[str, ...] = ()
    websocket: tuple[str, ...] = ()
    mqtt: str = ""

    def __post_init__(self) -> None:
        if len(self.secret.value) < SHORTEST_SECRET:
            raise KeyedValueError("secret", f"it has fewer than {SHORTEST_SECRET} characters")
        addresses = [(f"nats[{index}]", one) for index, one in enumerate(self.nats)]
        addresses += [(f"websocket[{index}]", one) for index, one in enumerate(self.websocket)]
        addresses += [("mqtt", self.mqtt)] if self.mqtt else []
        for key, address in addresses:
            check_address(key, address, "box-1.local:4222")

    def mirrors(self, stream: str) -> bool:
        """Whether a stream is one of those that are mirrored."""
        return any(stream == one or (one.endswith("*") and stream.startswith(one[:-1])) for one in self.streams)
