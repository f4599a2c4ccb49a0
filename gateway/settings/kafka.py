"""The keys of `[[kafka]]`: subjects that become records of topics, and records that become messages."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gateway.settings.addresses import split_address
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration, check_taken, outermost
from gateway.settings.secret import Secret
from gateway.settings.security import SubjectRule
from protocols.subjects import is_valid_filter, overlaps
from protocols.transform_template import TransformTemplate

# What a template may name beside functions of the subject.
OUT_NAMES = ("subject", "header")
IN_NAMES = ("topic", "key", "partition", "header")
# Properties of librdkafka on which what is promised rests, and those that have keys of their own.
OURS = frozenset(
    (
        "acks",
        "bootstrap.servers",
        "client.id",
        "compression.codec",
        "compression.type",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.timeout.ms",
        "metadata.broker.list",
        "request.required.acks",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "transactional.id",
    )
)


class Out(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Messages on subjects that a filter matches become records of a topic. Of several the first one that fits holds.

    `topic`, `key` and `partition` are templates; without `partition` the key decides, without a key any one is good.
    """

    subject: str
    topic: Annotated[str, Meta(min_length=1, max_length=1024)]
    key: Annotated[str, Meta(max_length=1024)] = "{{subject}}"
    partition: Annotated[str, Meta(max_length=1024)] = ""

    def __post_init__(self) -> None:
        check_taken("subject", self.subject)
        for name, text in (("topic", self.topic), ("key", self.key), ("partition", self.partition)):
            check_template(name, text, self.subject, OUT_NAMES)


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Records of the topics that a pattern matches, in which `*` stands for a part between dots and a last `>` for all
    that follow; `subject` is a template.
    """

    topic: Annotated[str, Meta(min_length=1, max_length=1024)]
    subject: Annotated[str, Meta(min_length=1, max_length=4096)] = "kafka.{{topic}}"

    def __post_init__(self) -> None:
        if not is_valid_filter(self.topic.encode()) or set(self.topic) - TOPIC_CHARACTERS - {"*", ">"}:
            raise KeyedValueError(
                "topic", f"{self.topic!r} is no topic, nor a pattern such as plant.*.orders or site.>"
            )
        check_template("subject", self.subject, self.topic, IN_NAMES)

    @property
    def may_be(self) -> bytes:
        """A filter that matches all subjects that it makes, and more."""
        tokens = [b"*" if b"$" in token or b"{{" in token else token for token in self.subject.encode().split(b".")]
        # A key or a topic may have dots in it.
        dotted = next((at for at, token in enumerate(tokens) if token == b"*"), len(tokens))
        return b".".join([*tokens[:dotted], b">"] if dotted < len(tokens) else tokens)


TOPIC_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def check_template(key: str, text: str, source: str, names: tuple[str, ...]) -> None:
    """Raises KeyedValueError."""
    try:
        TransformTemplate(text.encode(), source.encode(), names)
    except ValueError as error:
        raise KeyedValueError(key, str(error)) from None


class KafkaTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """TLS towards brokers. Without `ca` the machine's authorities are trusted; a certificate shows who we are."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify_name: bool = True

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            missing = "key" if self.certificate else "certificate"
            raise KeyedValueError(missing, "a certificate and its key come together")


class Kafka(Integration, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One cluster, in one direction or both."""

    kind: ClassVar[str] = "kafka"
    library: ClassVar[tuple[str, str]] = ("confluent_kafka", "kafka")

    servers: tuple[str, ...]
    out: tuple[Out, ...] = ()
    in_: tuple[In, ...] = msgspec.field(default=(), name="in")
    # What takes part in the group gets a share of the records, and goes on where the group was.
    group: Annotated[str, Meta(max_length=255)] = ""
    start: Literal["earliest", "latest"] = "earliest"
    # What may be published out of records.
    publish: SubjectRule | None = None
    # What becomes of messages that the cluster will never take: a topic that is not there, a record that is too large.
    when_refused: Literal["drop", "wait"] = "drop"
    client_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]*$", max_length=128)] = ""
    user: str = ""
    password: Secret | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    tls: KafkaTls | None = None
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    properties: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.servers:
            raise KeyedValueError("servers", "at least one is needed, as broker.example:9092")
        for index, server in enumerate(self.servers):
            try:
                split_address(server)
            except ValueError as error:
                raise KeyedValueError(f"servers[{index}]", f"{error}; write it as broker.example:9092") from None
        if not (self.out or self.in_):
            raise KeyedValueError("out", "neither out nor in says what passes")
        if self.subjects:
            raise KeyedValueError("subjects", "the entries of out say which subjects become records")
        if self.stream and not self.out:
            raise KeyedValueError("stream", "nothing goes out of it: there is no out")
        if bool(self.in_) != bool(self.group):
            sentence = "records that come in need the name of a group" if self.in_ else "only what comes in has a group"
            raise KeyedValueError("group", sentence)
        if bool(self.user) != (self.password is not None):
            raise KeyedValueError("password" if self.user else "user", "user and password come together")
        self._check_directions()
        for key in self.properties:
            if key in OURS:
                raise KeyedValueError(
                    f"properties.{key}", "it has a key of its own here, or what is promised rests on it"
                )

    def _check_directions(self) -> None:
        """No message goes out twice, and none round for ever."""
        taken = self.taken
        for index, entry in enumerate(self.in_):
            for subject in taken:
                if overlaps(entry.may_be, subject.encode()):
                    raise KeyedValueError(
                        f"in[{index}].subject",
                        f"it may be one that {subject} of out takes: that would go round for ever",
                    )

    @property
    def taken(self) -> tuple[str, ...]:
        """The filters of `out` that are within no other: what is subscribed to, each message once."""
        return outermost("out", (one.subject for one in self.out))
