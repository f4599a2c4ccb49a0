"""Spoke directory: the leafnodes that are linked to us, by what tells one server from others.

A server that comes again takes the place of its link that may be dead without our knowing. Two servers of one name
(cloned cards, containers of one image) throw each other out without end: the log says so, loudly.
"""

import logging
from typing import NamedTuple, Protocol

from gateway.runtime.logs import Repeats
from gateway.transport.connection import Connection

log = logging.getLogger("leafgate.leafnodes")


class SpokeKey(NamedTuple):
    account: str
    name: str
    cluster: str
    remote_account: str


class Spoke(Protocol):
    @property
    def connection(self) -> Connection: ...

    def replaced(self) -> None:
        """Another link has come from the same server."""


class SpokeDirectory:
    """Who is linked, one link for each server and pair of accounts."""

    def __init__(self, repeats: Repeats) -> None:
        self._repeats = repeats
        self._spokes: dict[SpokeKey, Spoke] = {}

    def __contains__(self, key: SpokeKey | None) -> bool:
        return key in self._spokes

    def come(self, key: SpokeKey, spoke: Spoke) -> None:
        before = self._spokes.get(key)
        self._spokes[key] = spoke
        if before is None:
            return
        text = (
            "cid=%d event=twin name=%.100r account=%s peer=%s before=%s "
            "detail='a leafnode of this name was linked: one that came back, or two of one name that take turns'"
        )
        here, there = spoke.connection.address[0], before.connection.address[0]
        self._repeats.log(
            log, logging.WARNING, ("twin", *key), text, spoke.connection.cid, key.name, key.account, here, there
        )
        before.replaced()

    def go(self, key: SpokeKey, spoke: Spoke) -> None:
        if self._spokes.get(key) is spoke:
            del self._spokes[key]
