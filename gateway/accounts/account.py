"""Account: one isolated subject space, and what belongs to it."""

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from itertools import islice
from typing import Protocol

from gateway.accounts.permissions import Permissions
from gateway.accounts.publication import Done, Publication, nobody_asks
from gateway.dataplane.answers import Answers
from gateway.dataplane.nats_receivers import LeafPort
from gateway.dataplane.port import Port, Receiver
from gateway.dataplane.router import Router
from gateway.settings.security import AccountRules
from gateway.storage.durability import Durability
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from protocols.message import RETAIN_HEADER, Message, make_message
from protocols.mqtt.header_mapping import expiry_seconds

UNLIMITED = 1 << 62
# What the gateway answers itself.
SERVICES = b"$LEAFGATE."
DISK_LIMIT = "max-disk-bytes"
# So much is remembered of what a full disk has not taken; of more the oldest is forgotten.
MOST_UNTOLD = 10_000
OVER_LIMIT = "the account's max-disk-bytes is reached"


class Presence(Protocol):
    """Somebody who is there, as the subject says that tells it (gateway.services.presence)."""

    @property
    def subject(self) -> bytes: ...


class Account:
    """A router with a subject tree of its own: what is published in one account never reaches another.

    `port` is where the gateway's own messages come from. `durability` is the journal where there is a disk. `rules` are
    its limits and what it shares with others (gateway.accounts.sharing). `connections` counts those of its clients,
    `links` its leafnodes.
    """

    def __init__(
        self,
        name: str,
        retained: RetainedMessages,
        published_ids: PublishedIds,
        durability: Durability | None = None,
    ) -> None:
        self.name = name
        self.router = Router(self)
        self.port = Port(None)
        self.retained = retained
        self.published_ids = published_ids
        self.durability = durability or Durability()
        # The seconds by which all here expires.
        self.clock = retained.clock
        # Reads retained messages to NATS clients; subscribed from the first one on.
        self.retained_requests: Receiver | None = None
        # Hears what is retained, and from whom; and who retains what comes from a key-value bucket.
        self.retained_changed: Callable[[Message, Port], None] | None = None
        self.bucket_port: Port | None = None
        # Who is there, by the subject that says so, and the subjects that say of somebody that he is not.
        self.presences: dict[bytes, Presence] = {}
        self.absent: dict[bytes, None] = {}
        # What the gateway says, retained, and a full disk has not taken, by subject.
        self.untold: dict[bytes, Message] = {}
        # What one publisher may have retained; and who is told of a limit, by its key, that kept a message out.
        self.max_retained_per_client = self.max_retained_bytes_per_client = UNLIMITED
        self.report_refusal: Callable[[str], None] = nobody_hears
        # Takes what an owner does, of so many bytes, step by step until none is left (gateway.runtime.ordered_work).
        self.in_order: Callable[[Hashable, int, Callable[[], bool]], None] = at_once
        # What a message to a reply subject of MQTT's is for whoever asked.
        self.unwrap: Callable[[Message], Message] = as_it_is
        # What a user of the account may do who is not here, by name and what was kept of how he was recognised
        # (gateway.accounts.token_proof); None where nobody is asked who he is. And who is to look at that again once it
        # may be something else.
        self.rights_of: Callable[[str, bytes], Permissions | None] = nobody_is_asked
        self.rights_changed: Callable[[], None] = nobody_is_away
        # What the gateway tells of itself on subjects that a filter matches, for who comes to listen.
        self.told: Callable[[bytes], Iterable[Message]] = nothing_told
        self.rules = AccountRules(name=name)
        self.connections = self.links = 0
        self.is_system = False
        # JetStream's subjects without a domain are answered here, and not by a hub.
        self.has_streams = False
        # Whether one of the streams here answers who publishes on a subject.
        self.acknowledges: Callable[[bytes], bool] = nobody_answers
        # What takes the answers to requests from other accounts, and how many of those are being handed on here.
        self.answers: Receiver | None = None
        self.serving = 0
        # How many bytes of messages wait on the disk for its sessions; and whether there was no room for the last one.
        self.queued_bytes: Callable[[], int] = nothing_queued
        self._is_short = False

    def enter(self, instead: bool = False) -> bool:
        """Count one more connection; False when there may not be more, beside one that leaves where this one comes
        `instead` of it. Each that has entered has to `leave`.
        """
        if self.rules.max_connections and self.connections - instead >= self.rules.max_connections:
            return False
        self.connections += 1
        return True

    def leave(self) -> None:
        self.connections -= 1

    def enter_link(self, instead: bool = False) -> bool:
        """Count one more leafnode, as `enter` does for clients. Each that has entered has to `leave_link`."""
        if self.rules.max_leafnodes and self.links - instead >= self.rules.max_leafnodes:
            return False
        self.links += 1
        return True

    def leave_link(self) -> None:
        self.links -= 1

    def publish(
        self,
        message: Message,
        source: Port | None = None,
        whole: bool = False,
        owner: Hashable = None,
        done: Done = nobody_asks,
    ) -> None:
        """Hand a message to everybody who is interested, in turns where those are very many: behind what the `owner`
        (without one, the source) has published before. Then it is `done`.

        Where its publisher is told, `whole`, nobody gets it when it is `refused`.
        """
        publisher = self.port if source is None else source
        publication = Publication(self.router, message, publisher, whole, done)
        self.in_order(owner or publisher, message.size, publication.go_on)

    def insist(self, message: Message, owner: Hashable = None) -> None:
        """Publish what is to be retained. Where a full disk does not take it, whoever comes later would not know: it is
        published again with each `sweep` until it is taken, or another one is on its subject.
        """
        self.untold.pop(message.subject, None)
        self.publish(message, owner=owner, done=self._note_untold)

    def _note_untold(self, message: Message) -> None:
        if message.refused and message.size > message.header_size:
            self.untold[message.subject] = message
            if len(self.untold) > MOST_UNTOLD:
                del self.untold[next(iter(self.untold))]

    def _tell_again(self, most: int) -> None:
        if self.durability.obstacle() is None:
            for message in [*islice(self.untold.values(), most)]:
                self.insist(make_message(message.subject, message.payload(), header=message.header()))

    def answer(self, message: Message, asker: Port, source: Port) -> None:
        """Answer a request that the gateway serves itself. Where the asker may not publish on the reply subject, it
        alone is told: nobody may have the gateway say what it may not say itself.
        """
        if asker.allows(message.subject):
            self.publish(message, source, owner=asker)
        else:
            told = self.router.begin_telling(self.unwrap(message), asker)
            self.in_order(asker, message.size, partial(told.go_on, source))

    def begin_answers(self, asker: Port, source: Port) -> Answers:
        """What `give` takes: answers to requests that the gateway serves itself."""
        return Answers(self.router, asker, source, self.unwrap)

    def give(self, answers: Answers, asker: Port) -> None:
        """Have them leave, behind what the asker has begun to publish."""
        self.in_order(asker, answers.size, answers.go_on)

    def reserve(self, message: Message, places: int, retained: bool, before: int = 0) -> bool:
        """Whether there is room for a message (gateway.dataplane.router.Retainer), in the account and on the disk."""
        most = self.rules.max_disk_bytes
        if most:
            size = (places + retained) * (len(message.subject) + message.size)
            held = self.retained.bytes + self.queued_bytes()
            self._is_short = held + size * (1 + before) > most and message.size > message.header_size
            if self._is_short:
                message.refused = True
                self.report_refusal(DISK_LIMIT)
                return False
        if retained and message.size == message.header_size:  # What takes a retained message back makes room.
            return self.durability.reserve(message, places, False, before, message.subject in self.retained)
        return self.durability.reserve(message, places, retained, before)

    def obstacle(self) -> str | None:
        """Why no more may be stored, if so."""
        return self.durability.obstacle() or (OVER_LIMIT if self._is_short else None)

    def keep(self, message: Message, source: Port) -> bool:
        """Retain a message (gateway.dataplane.router.Retainer); False when there is no room."""
        retained = self.retained
        if message.subject.startswith(SERVICES):  # A request with the header of what it asks for.
            return True
        limit = self._limit_for(message, source)
        if limit is not None:
            self._note_refusal(message, limit)
            return False
        expires_at = 0.0
        if message.header_size != len(RETAIN_HEADER):  # Which says nothing else.
            seconds = expiry_seconds(message.header())
            expires_at = 0.0 if seconds is None else self.clock() + seconds
        if message.refused and message.size > message.header_size:
            retained.refused += 1
            return False
        count, size = len(retained), retained.bytes
        retained.put(message, expires_at)
        # What others retained may be deleted or replaced: that makes nobody's account negative.
        source.retained = max(source.retained + len(retained) - count, 0)
        source.retained_bytes = max(source.retained_bytes + retained.bytes - size, 0)
        self.offer_retained()
        if self.retained_changed is not None:
            self.retained_changed(message, source)
        return True

    def has_retained_room(self, messages: int, size: int, source: Port) -> bool:
        """Whether so many messages of a client, of `size` bytes with their subjects, can be retained for certain."""
        retained = self.retained
        return (
            source.retained + messages <= self.max_retained_per_client
            and source.retained_bytes + size <= self.max_retained_bytes_per_client
            and len(retained) + messages <= retained.max_messages
            and retained.bytes + size <= retained.max_bytes
        )

    def refuses(self, message: Message, source: Port) -> str | None:
        """The key of the limit that keeps a message from being retained, which is counted and told then; None where
        nothing does.
        """
        limit = self._limit_for(message, source) if message.is_retained() else None
        if limit is not None:
            self._note_refusal(message, limit)
        return limit

    def _note_refusal(self, message: Message, limit: str) -> None:
        """For monitoring, health and the log: a message was not retained because of a limit."""
        retained = self.retained
        retained.refused += 1
        retained.short_of = retained.limit_for(message) or retained.short_of
        self.report_refusal(limit)

    def _limit_for(self, message: Message, source: Port) -> str | None:
        """The gateway itself and hubs are no clients with a share; spokes are as good as clients."""
        if message.size == message.header_size:
            return None
        # As if its subject were a new one: nobody who has room for that need be asked more.
        size = len(message.subject) + message.size
        if self.has_retained_room(1, size, source):
            return None
        has_share = not source.leaf or (isinstance(source, LeafPort) and not source.uplink)
        if source is not self.port and source is not self.bucket_port and has_share:
            new = message.subject not in self.retained
            if new and source.retained >= self.max_retained_per_client:
                return "max-retained-messages-per-client"
            if source.retained_bytes + self.retained.growth(message) > self.max_retained_bytes_per_client:
                return "max-retained-bytes-per-client"
        return self.retained.limit_for(message)

    def offer_retained(self) -> None:
        """Answer requests for retained messages once there is one."""
        service = self.retained_requests
        if service is not None and service.slot < 0 and len(self.retained):
            self.router.subscribe(service)

    def obstacle_to(self, message: Message) -> str | None:
        """Why nothing can be promised about a message at the moment, if so. A full disk is no obstacle to one that only
        deletes what is retained.
        """
        durability = self.durability
        deletes = message.is_retained() and message.size == message.header_size
        return durability.fault if deletes else durability.obstacle()

    def must_store(self, message: Message) -> bool:
        """Whether somebody's stored state would change with this message."""
        return message.is_retained() or self.router.reaches_durable(message.subject)

    def sweep(self, most: int) -> None:
        """Forget what has expired, looking at about `most` retained messages; and say again what was not retained. The
        caller flushes the switch.
        """
        self.retained.sweep(most)
        if self.untold:
            self._tell_again(most)
        self.published_ids.sweep()


def nobody_answers(subject: bytes) -> bool:
    """There are no streams."""
    return False


def nothing_told(subject_filter: bytes) -> Iterable[Message]:
    """The gateway says nothing of itself."""
    return ()


def at_once(owner: Hashable, size: int, step: Callable[[], bool]) -> None:
    """Nobody else needs a turn."""
    while step():
        pass


def nothing_queued() -> int:
    """Nothing waits on the disk."""
    return 0


def nobody_is_asked(user: str, proof: bytes) -> Permissions | None:
    """Everybody may do everything."""
    return None


def nobody_is_away() -> None:
    """Nothing waits for anybody."""


def nobody_hears(limit: str) -> None:
    """A limit kept a message out."""


def as_it_is(message: Message) -> Message:
    """Nobody makes reply subjects of MQTT's."""
    return message
