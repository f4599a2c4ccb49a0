"""Overlaps with streams of hubs: a message on subjects that both have is stored twice, and acknowledged twice. Nobody
can forbid that from here; it is said when a stream is made.
"""

import logging

import msgspec
import trio

from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.streams.roles import Home
from gateway.streams.stream_config import StreamConfig
from protocols import foreign_json
from protocols.message import Message, make_message

log = logging.getLogger("leafgate.streams")

LEAD = b"$JS."
# What links tell of where streams of another domain are asked for: nats-server the first, other gateways the second.
ENDS = (b".API.STREAM.>", b".API.>")
# Buckets and object stores stay on their side of a link.
OWN_SUBJECTS = (b"$KV.", b"$O.")
MOST_SUBJECTS = 16
MOST_DOMAINS = 16
ANSWER_SECONDS = 2.0


class Names(msgspec.Struct):
    """What is answered to who asks for streams by their subjects."""

    streams: list[str] | None = None


class Answer(Receiver):
    """Takes one answer."""

    __slots__ = ("came", "payload")

    def __init__(self, subject: bytes) -> None:
        super().__init__(Port(None), subject, b"")
        self.came = trio.Event()
        self.payload = b""

    def deliver(self, message: Message, source: Port) -> bool:
        self.payload = message.payload()
        self.came.set()
        return True


class Domains:
    """The domains that can be reached over links, by how many subscriptions tell of each."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def heed(self, subject: bytes, is_there: bool) -> None:
        """Somebody behind a link has subscribed to a subject, or does not any more."""
        end = next((one for one in ENDS if subject.endswith(one)), b"")
        name = subject[len(LEAD) : -len(end)] if end and subject.startswith(LEAD) else b""
        if not name or b"." in name:
            return
        domain = name.decode("utf-8", "replace")
        count = self._told.get(domain, 0) + (1 if is_there else -1)
        if count > 0 and (domain in self._told or len(self._told) < MOST_DOMAINS):
            self._told[domain] = count
        else:
            self._told.pop(domain, None)

    @property
    def names(self) -> list[str]:
        return [*self._told]


async def say_overlaps(home: Home, config: StreamConfig, domains: list[str]) -> None:
    """Ask other domains for streams with subjects of this one, and say which there are."""
    for domain in domains:
        found: set[str] = set()
        for subject in config.filters[:MOST_SUBJECTS]:
            if domain != home.domain and not subject.startswith(OWN_SUBJECTS):
                found.update(await _names(home, domain, subject))
        if found:
            names = sorted(found)
            log.warning("event=subjects-overlap stream=%s domain=%s streams=%r", config.name, domain, names)
            fields = {"stream": config.name, "other_domain": domain, "other_streams": names}
            home.tell("stream_subjects_overlap", f"STREAM.SUBJECTS_OVERLAP.{config.name}", **fields)


async def _names(home: Home, domain: str, subject: bytes) -> list[str]:
    answer = Answer(b"_INBOX." + new_token().encode())
    home.subscribe(answer)
    try:
        asked = msgspec.json.encode({"subject": subject.decode("utf-8", "replace")})
        if not home.publish(make_message(f"$JS.{domain}.API.STREAM.NAMES".encode(), asked, answer.subject)):
            return []
        home.flush()
        with trio.move_on_after(ANSWER_SECONDS):
            await answer.came.wait()
        return foreign_json.decode(answer.payload, Names).streams or []
    except msgspec.DecodeError:
        return []
    finally:
        home.unsubscribe(answer)
