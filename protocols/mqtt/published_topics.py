"""Published topics: what becomes of a PUBLISH on a topic, found by one look-up; and the topic of a subject (hot)."""

from protocols.cache import GenerationCache
from protocols.mqtt.errors import PacketError
from protocols.mqtt.primitives import LONGEST_STRING, is_string
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.topics import is_topic_name
from protocols.subjects import RESERVED_SUBJECTS
from protocols.topic_mapping import subject_to_topic, topic_to_subject

# Topics repeat from message to message, so each is judged twice at most. A longer one is judged anew each time: the
# cache is bounded in bytes, not only in entries.
LONGEST_REMEMBERED_TOPIC = 128
REMEMBERED_TOPICS = 4096

SLASH = 0x2F
# Characters that are none of a plain topic: wildcards of MQTT and of subjects, and what stands for something else in a
# subject. All others from `!` to `~` stand for themselves.
HASH = 0x23
STAR = 0x2A
PLUS = 0x2B
DOT = 0x2E
GREATER = 0x3E
# Where a broker tells of itself, and where mosquitto's bridges tell that they are connected.
SYSTEM_PREFIX = b"$SYS."
BRIDGES_PREFIX = b"$SYS.broker.connection."
FIRST_PLAIN = 0x21
LAST_PLAIN = 0x7E


class PublishedTopic:
    """A legal topic name: the `subject` that it maps to, how many `levels` it has, and whether one may publish there.

    A topic that comes often has always the same one, so that the hash of its subject is known.
    """

    __slots__ = ("levels", "permitted", "subject", "topic")

    topic: bytes
    subject: bytes
    levels: int
    permitted: bool


class PublishedTopics:
    """Topics that clients publish on: everybody may on every subject that is not reserved.

    `young` is a dict to look into directly; what is not in it, `judge` finds.
    """

    __slots__ = ("_cache", "young")

    def __init__(self) -> None:
        self._cache: GenerationCache = GenerationCache(REMEMBERED_TOPICS)
        self.young = self._cache.young

    def judge(self, topic: bytes) -> PublishedTopic:
        """What becomes of a topic; PacketError when it is no topic name."""
        known: PublishedTopic | None = self._cache.recall(topic)
        if known is not None:
            return known
        found = PublishedTopic.__new__(PublishedTopic)
        found.topic = topic
        found.levels = count_plain_levels(topic)
        if found.levels:
            found.subject = topic.replace(b"/", b".")
        else:
            found.subject = subject_of(topic)
            found.levels = topic.count(b"/") + 1
        found.permitted = not is_reserved(found.subject)
        if len(topic) <= LONGEST_REMEMBERED_TOPIC and self._cache.is_familiar(topic):
            self._cache.remember(topic, found)
        return found

    def __len__(self) -> int:
        return len(self._cache)


EVERYBODYS = PublishedTopics()


def count_plain_levels(topic: bytes) -> int:
    """How many levels a topic name has that needs no closer look, because its subject is the same but for `/`; else 0.

    Its characters are printable ASCII and none has a meaning in topics or subjects; no level is empty.
    """
    levels = 1
    last = SLASH
    for character in topic:
        if character == SLASH:
            if last == SLASH:
                return 0
            levels += 1
        elif character < FIRST_PLAIN or character > LAST_PLAIN or character in (DOT, PLUS, HASH, STAR, GREATER):
            return 0
        last = character
    return 0 if last == SLASH else levels


def subject_of(topic: bytes) -> bytes:
    """The subject of any topic name; PacketError when it is none."""
    if not is_string(topic):
        raise PacketError(ReasonCode.MALFORMED_PACKET, "PUBLISH: the topic name is no UTF-8 string")
    if not is_topic_name(topic):
        complaint = "PUBLISH: the topic name is empty or holds a wildcard"
        raise PacketError(ReasonCode.TOPIC_NAME_INVALID, complaint)
    subject = topic_to_subject(topic)
    assert subject is not None
    return subject


def is_reserved(subject: bytes) -> bool:
    """Whether no client may publish there: what servers use among themselves, and what a server says of itself."""
    first = subject[0]
    if first not in (0x24, 0x5F):
        return False
    if subject.startswith(SYSTEM_PREFIX):
        return not subject.startswith(BRIDGES_PREFIX)
    return subject.startswith(RESERVED_SUBJECTS)


def topic_of(subject: bytes) -> bytes | None:
    """The MQTT topic of a subject, or None where it makes none."""
    if has_plain_tokens(subject):
        return subject.replace(b".", b"/")
    topic = subject_to_topic(subject)
    fits = is_topic_name(topic) and len(topic) <= LONGEST_STRING and is_string(topic)
    return topic if fits else None


def has_plain_tokens(subject: bytes) -> bool:
    """Whether the topic of a subject is the same but for `.`, and certainly legal: see `count_plain_levels`."""
    for character in subject:
        if character < FIRST_PLAIN or character > LAST_PLAIN or character in (SLASH, PLUS, HASH):
            return False
    return 0 < len(subject) <= LONGEST_STRING
