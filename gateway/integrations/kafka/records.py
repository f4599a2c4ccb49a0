"""Records: what a message is in Kafka, and what a record is here. No I/O."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from urllib.parse import quote_from_bytes

from gateway.integrations.remembered import Remembered
from gateway.settings.kafka import IN_NAMES, OUT_NAMES, In, Out
from gateway.storage.streams.stored_message import StoredMessage
from protocols.foreign_text import make_subject, make_token
from protocols.message import Message, make_message
from protocols.nats.headers import find_field
from protocols.subjects import matches
from protocols.transform_template import TransformTemplate

# Names of topics have at most so many characters, out of these.
LONGEST_TOPIC = 249
TOPIC_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
UNFIT = {byte: "_" for byte in range(256) if byte not in TOPIC_BYTES}
# Subjects make topics, and librdkafka remembers each for ever.
MOST_TOPICS = 1000
# Routes that are remembered.
MOST_ROUTES = 4096
ANY_PARTITION = -1
# What a record's key and its place are here, and headers that only mean something between NATS and its streams.
KEY, POSITION = b"Kafka-Key", b"Kafka-Position"
OURS_LEADS = (b"nats-", b"mqtt-retain", b"kafka-key", b"kafka-position")
MESSAGE_ID = b"nats-msg-id"
MOST_HEADERS = 500
NO_KEY = b"_"

NO_ENTRY = "no entry of out takes its subject"
TOO_MANY_TOPICS = f"its subject would make more than {MOST_TOPICS} topics"
NO_PARTITION = "what partition makes of it is no number"


class Route(NamedTuple):
    topic: str
    key: bytes | None
    partition: int


class UnroutableError(Exception):
    """A message is no record; the text says why."""


class Router:
    """Finds the topic, the key and the partition of messages. `known` are routes by subject."""

    def __init__(self, entries: Sequence[Out]) -> None:
        self._entries = [
            (
                one.subject.encode(),
                TransformTemplate(one.topic.encode(), one.subject.encode(), OUT_NAMES),
                TransformTemplate(one.key.encode(), one.subject.encode(), OUT_NAMES),
                TransformTemplate(one.partition.encode(), one.subject.encode(), OUT_NAMES),
            )
            for one in entries
        ]
        # Whether a route is that of all messages on its subject.
        self._is_steady = all("header" not in one.names for entry in self._entries for one in entry[1:])
        self.known: Remembered[bytes, Route] = Remembered(MOST_ROUTES)
        self._topics: set[str] = set()

    def route(self, message: StoredMessage) -> Route:
        """Raises UnroutableError."""
        known = self.known.get(message.subject)
        return self._find(message) if known is None else known

    def _find(self, message: StoredMessage) -> Route:
        subject, header = message.subject, message.header

        def find(name: str, argument: bytes) -> bytes:
            return subject if name == "subject" else find_field(header, argument) or b""

        for pattern, topic, key, partition in self._entries:
            if matches(pattern, subject):
                route = Route(
                    self._topic(topic.fill(subject, find)),
                    key.fill(subject, find) or None,
                    partition_of(partition.fill(subject, find)),
                )
                break
        else:
            raise UnroutableError(NO_ENTRY)
        return self.known.keep(subject, len(subject), route) if self._is_steady else route

    def _topic(self, text: bytes) -> str:
        name = text.decode("latin-1").translate(UNFIT)[:LONGEST_TOPIC]
        if name.strip(".") == "":
            name = "_"
        if name not in self._topics:
            if len(self._topics) >= MOST_TOPICS:
                raise UnroutableError(TOO_MANY_TOPICS)
            self._topics.add(name)
        return name


def partition_of(text: bytes) -> int:
    if not text:
        return ANY_PARTITION
    if not text.isdigit() or len(text) > 9:
        raise UnroutableError(NO_PARTITION)
    return int(text)


def record_headers(header: bytes) -> list[tuple[str, bytes]]:
    """The fields of a NATS header block."""
    found: list[tuple[str, bytes]] = []
    for line in header.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if name and colon:
            found.append((name.decode("utf-8", "replace"), value.strip()))
    return found


class Record(Protocol):
    """As confluent_kafka has it; its stubs say more."""

    def topic(self) -> str | None: ...
    def key(self) -> str | bytes | None: ...
    def value(self) -> str | bytes | None: ...
    def headers(self) -> object: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...


class Place(NamedTuple):
    """What messages of one key in a partition have in common: their subject, and the header block up to the offset."""

    subject: bytes
    lead: bytes


class Reader:
    """Makes messages out of records."""

    def __init__(self, entries: Sequence[In]) -> None:
        self._entries = [
            (one.topic.encode(), TransformTemplate(one.subject.encode(), one.topic.encode(), IN_NAMES))
            for one in entries
        ]
        self._templates: Remembered[str, TransformTemplate | None] = Remembered(MOST_ROUTES)
        self._places: Remembered[tuple[str, int, bytes | None], Place] = Remembered(MOST_ROUTES)

    def read(self, record: Record) -> Message | None:
        """None where no entry takes its topic."""
        topic, partition, key = record.topic() or "", record.partition() or 0, as_bytes(record.key())
        pairs = record.headers()
        given = pairs if isinstance(pairs, list) else []
        place = self._places.get((topic, partition, key))
        if place is None:
            place = self._find_place(topic, partition, key, given)
            if place is None:
                return None
        header = b"%b%d\r\n\r\n" % (place.lead, record.offset() or 0)
        if given:
            lines = [header[:-4]]
            lines += [
                line for name, value in given[:MOST_HEADERS] if (line := header_line(name, as_bytes(value) or b""))
            ]
            lines.append(b"\r\n")
            header = b"\r\n".join(lines)
        return make_message(place.subject, as_bytes(record.value()) or b"", b"", header)

    def _find_place(
        self, topic: str, partition: int, key: bytes | None, given: list[tuple[str, object]]
    ) -> Place | None:
        template = self._templates.get(topic) if topic in self._templates else self._find(topic)
        if template is None:
            return None

        def find(name: str, argument: bytes) -> bytes:
            if name == "topic":
                return make_subject(topic.encode())
            if name == "key":
                return make_token(key or b"") or NO_KEY
            if name == "partition":
                return b"%d" % partition
            wanted = argument.decode("utf-8", "replace").lower()
            value = next((as_bytes(value) for name, value in given if name.lower() == wanted), None)
            return make_token(value or b"") or NO_KEY

        named = b"%b: %b\r\n" % (KEY, header_value(key)) if key is not None else b""
        lead = b"NATS/1.0\r\n%b%b: %b/%d/" % (named, POSITION, topic.encode(), partition)
        place = Place(template.fill(topic.encode(), find), lead)
        if "header" not in template.names:
            self._places.keep((topic, partition, key), len(key or b""), place)
        return place

    def _find(self, topic: str) -> TransformTemplate | None:
        found = next((template for pattern, template in self._entries if matches(pattern, topic.encode())), None)
        return self._templates.keep(topic, len(topic), found)


def as_bytes(value: object) -> bytes | None:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else None


def header_line(name: str, value: bytes) -> bytes:
    """A field of a header block; b"" for what is left out."""
    field = "".join([one if "!" <= one <= "~" and one != ":" else "_" for one in name[:256]]).encode()
    lower = field.lower()
    if not field or (lower.startswith(OURS_LEADS) and lower != MESSAGE_ID):
        return b""
    return b"%b: %b" % (field, header_value(value))


def header_value(value: bytes) -> bytes:
    """As it is, where a header can have it; else percent-encoded, as a URL has it."""
    if value.isascii() and value == value.strip() and value.decode("ascii").isprintable():
        return value
    return quote_from_bytes(value, safe="").encode()


def topic_regex(pattern: str) -> str:
    """A pattern of topics as librdkafka subscribes to it: a name, or a regular expression behind ^."""
    tokens = pattern.split(".")
    if "*" not in tokens and tokens[-1] != ">":
        return pattern
    made = [{"*": "[^.]+"}.get(token, token) for token in tokens]
    if made[-1] == ">":
        made[-1] = ".+"
    return "^" + r"\.".join(made) + "$"
