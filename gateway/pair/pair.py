"""Pair: another gateway stands in for this one, and this one for it.

A leafnode link joins the subjects of the two; aside of its messages they tell each other where clients find them, what
happens to their MQTT sessions, and which streams are to be mirrored.
"""

import logging
from collections.abc import Callable
from functools import partial

import trio

from gateway.accounts.account import Account
from gateway.pair import wire
from gateway.pair.mirrored_sessions import FETCH_SECONDS, LinkedSessions, MirroredSessions
from gateway.pair.pair_link import PairLink
from gateway.pair.stream_mirrors import StreamMirrors
from gateway.runtime.neighbour import Link, Neighbour
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn
from gateway.settings.addresses import join_address, split_address
from gateway.settings.pair import Pair as PairConfig
from gateway.streams.account_streams import AccountStreams

log = logging.getLogger("leafgate.pair")

# How often it is looked whether there are other streams to mirror.
LOOK_SECONDS = 1.0
ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 -- what is configured, not what is bound here


class Pair:
    """`addresses` are those of the listeners, (protocol, `host:port`). `sessions` is None where none are mirrored;
    `streams` finds those of the account, None where there are none.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: PairConfig,
        account: Account,
        addresses: Callable[[], list[tuple[str, str]]],
        sessions: MirroredSessions | None,
        streams: Callable[[], AccountStreams | None],
    ) -> None:
        neighbour = runtime.neighbour
        assert neighbour is not None
        self._neighbour: Neighbour = neighbour
        self._runtime = runtime
        self._config = config
        self._account = account
        self._addresses = addresses
        self._sessions = sessions
        self._streams = streams
        self._links: dict[Link, PairLink] = {}
        self._link: PairLink | None = None
        self._linked: LinkedSessions | None = None
        self._mirrors: StreamMirrors | None = None
        # The streams that the other gateway has for us, as it tells them.
        self._theirs: list[bytes] = []
        # What the other gateway is called, while it is there.
        self.other = ""

    def begin(self) -> None:
        """Look for the other gateway on every link from now on."""
        self._neighbour.joined, self._neighbour.left = self._joined, self._left
        if self._sessions is not None:
            self._runtime.deadlines.call_at(trio.current_time() + FETCH_SECONDS, self._take_over_what_is_left)

    def _take_over_what_is_left(self, now: float) -> None:
        """An earlier run has left copies, and the other gateway does not come."""
        if self._link is None and self._sessions is not None and not self._runtime.stopping.is_set():
            self._sessions.parted()

    async def hand_over(self, seconds: float) -> None:
        """Clients have been sent to the other gateway: have it know everything, if that does not take long."""
        feed = self._linked.feed if self._linked is not None else None
        if feed is not None:
            with trio.move_on_after(seconds):
                await feed.caught_up()

    def begin_to_drain(self) -> None:
        """Clients are sent to the other gateway from now on, which is to send none here."""
        self._neighbour.is_draining = True
        if self._link is not None and self._link.other is not None:
            names = self._runtime.names
            facts = wire.Facts(names.server_id, names.server_name, self._runtime.domain, [], [], "")
            self._link.send(wire.Moved(facts))

    def status(self) -> dict[str, object]:
        """As /varz tells it: whether the other gateway is there, what of it is kept here, what it has yet to hear."""
        told: dict[str, object] = {"connected": self._link is not None, "other": self.other}
        if self._sessions is not None:
            feed = self._linked.feed if self._linked is not None else None
            copies = self._sessions.copies
            told |= {"sessions": len(copies), "messages": copies.messages}
            told |= {"untold": feed.untold if feed is not None else len(self._sessions)}
        return told

    # Links (gateway.runtime.neighbour).

    def _joined(self, link: Link) -> Callable[[bytes], None] | None:
        if not link.is_by(self._config.uplink, self._account.name):
            return None
        opened_here = self._config.uplink != ""
        taken = self._links[link] = PairLink(self, link, self._config.secret.value, opened_here)
        return taken.take

    def _left(self, link: Link) -> None:
        gone = self._links.pop(link, None)
        if gone is not None and gone is self._link:
            self._lose(gone)

    def _lose(self, link: PairLink) -> None:
        link.scope.cancel()
        self._link = self._linked = None
        name, self.other = self.other, ""
        log.warning("event=pair-lost name=%s", name)
        self._know(None)
        if self._sessions is not None and not self._runtime.stopping.is_set():
            self._sessions.parted()

    # What is said (gateway.pair.pair_link.Partner).

    def facts(self, link: Link) -> wire.Facts:
        config, found, here = self._config, self._addresses(), link.local_host()
        nats = [*config.nats] or places(found, "nats", here)
        websocket = [*config.websocket] or places(found, "websocket", here)
        mqtt = config.mqtt or next(iter(places(found, "mqtt", here)), "")
        self._neighbour.own_nats, self._neighbour.own_websocket = tuple(nats), tuple(websocket)
        names = self._runtime.names
        return wire.Facts(names.server_id, names.server_name, self._runtime.domain, nats, websocket, mqtt)

    def recognised(self, link: PairLink) -> None:
        assert link.other is not None
        if self._link is not None:  # It has come again before it was noticed that the old link is dead.
            self._lose(self._link)
        self._link, self.other = link, link.other.name
        log.info("event=pair-found name=%s nats=%s mqtt=%s", link.other.name, link.other.nats, link.other.mqtt)
        self._know(link.other)
        if self._sessions is not None:
            is_first = self._runtime.names.server_id < link.other.server_id
            self._linked = self._sessions.linked(link.send, link.deliver, is_first)
        self._runtime.spawn(partial(self._serve, link, self._linked))

    async def _serve(self, link: PairLink, linked: LinkedSessions | None) -> None:
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._serve_streams, link)
                    if linked is not None:
                        nursery.start_soon(linked.run)
        except Exception:
            log.exception("event=pair-failed")
            link.link.end("pair: a fault at this end, which the log tells")

    async def _serve_streams(self, link: PairLink) -> None:
        """Tell of streams that are to be mirrored, and mirror the other gateway's."""
        assert link.other is not None
        told: list[bytes] = []
        self._theirs = []
        while self._config.streams:
            mirrors = self._mirrors_of()
            if mirrors is not None:
                offered = mirrors.offered()
                if offered != told:
                    told = offered
                    link.send(wire.Streams(offered))
                await mirrors.take(self._theirs, link.other.domain)
            await trio.sleep(LOOK_SECONDS)

    def _mirrors_of(self) -> StreamMirrors | None:
        streams = self._streams()
        if self._mirrors is None and streams is not None:
            self._mirrors = StreamMirrors(self._config, streams)
        return self._mirrors

    def heard(self, link: PairLink, packet: wire.Packet) -> None:
        linked, sessions = self._linked, self._sessions
        if link is not self._link:
            return
        if isinstance(packet, wire.Moved):
            self._know(packet.facts)
        elif isinstance(packet, wire.Streams):
            self._theirs = packet.configs
        elif sessions is None or linked is None:
            return  # They are not mirrored here.
        elif isinstance(packet, wire.Batch):
            number = packet.number
            sessions.take(packet.items, link.send)
            sessions.when_durable(lambda: link.send(wire.Ack(number)))
        elif isinstance(packet, wire.Sessions):
            linked.take_sessions(packet)
        elif isinstance(packet, wire.Settled):
            linked.take_settled()
        elif isinstance(packet, wire.Take | wire.Mine):
            linked.take_asked(packet)

    def _know(self, facts: wire.Facts | None) -> None:
        """Tell clients where else they may go."""
        neighbour = self._neighbour
        before = neighbour.servers(False), neighbour.servers(True)
        neighbour.nats = tuple(facts.nats) if facts is not None else ()
        neighbour.websocket = tuple(facts.websocket) if facts is not None else ()
        neighbour.mqtt = facts.mqtt.encode() if facts is not None else b""
        if before != (neighbour.servers(False), neighbour.servers(True)):
            self._runtime.spawn(self._tell_clients)

    async def _tell_clients(self) -> None:
        turn = OwnTurn(self._runtime.turns)
        for hearer in list(self._neighbour.hearers):
            hearer.servers_changed()
            if turn.is_over():
                self._runtime.switch.flush()
                await turn.next()
        self._runtime.switch.flush()


def places(addresses: list[tuple[str, str]], protocol: str, here: str) -> list[str]:
    """Where clients find the listeners of a protocol; one on all addresses at the one that this gateway has here."""
    found = []
    for spoken, address in addresses:
        host, port = split_address(address)
        if spoken == protocol and port:
            found.append(join_address(here if host in ANY_ADDRESS else host, port))
    return found
