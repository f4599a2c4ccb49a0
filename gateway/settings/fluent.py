"""The keys of the forward protocol of Fluentd and Fluent Bit: of listeners that take events, and of `[[fluent]]`."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gateway.settings.addresses import ServerUrl, parse_server_url
from gateway.settings.checks import check_template
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls
from gateway.settings.units import KIB, MIB, Seconds
from gateway.settings.uplink import ProxyUrl
from protocols.foreign_text import is_legal_literal
from protocols.subject_template import SubjectTemplate

LONGEST_KEY = 1024
FLUENT_PORTS = {"tcp": 24224, "tls": 24224}


class FluentEntrance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """How a listener for events takes them. `shared_key` is asked of those who come. An event goes to the subject that
    `subject` makes of its tag; its record is the payload, as JSON, with its time in `time_field` where that is named,
    or else the text of `payload_field` alone. `max_chunk_bytes` is for what comes, and for what is in it uncompressed.
    """

    shared_key: Secret | None = None
    hostname: Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=255)] = ""
    subject: str = "{{tag}}"
    time_field: str = ""
    payload_field: str = ""
    max_chunk_bytes: Annotated[int, Meta(ge=4 * KIB, le=256 * MIB)] = 16 * MIB

    def __post_init__(self) -> None:
        check_template("subject", self.subject, "tag")
        if not is_legal_literal(SubjectTemplate(self.subject, "tag").make("a.a.a.a.a.a.a.a").encode()):
            raise KeyedValueError("subject", f"{self.subject!r} makes no subjects; write it as logs.{{{{tag}}}}")
        if self.shared_key is not None:
            check_shared_key(self.shared_key)
        if self.time_field and self.payload_field:
            raise KeyedValueError("time-field", "there is no record to put it in: payload-field is all that is taken")


def check_shared_key(key: Secret) -> None:
    if not key.value or len(key.value) > LONGEST_KEY:
        raise KeyedValueError("shared-key", "it is empty, or too long")


class FluentUrl(ServerUrl):
    """Where a Fluentd or Fluent Bit is."""

    __slots__ = ()


def parse_fluent_url(text: str) -> FluentUrl:
    """Read `tcp://host[:port]`, or one with tls. Raises ValueError."""
    url = parse_server_url(text, FLUENT_PORTS)
    if url.user is not None:
        raise ValueError("user and password have keys of their own")
    return FluentUrl(url.scheme, url.host, url.port)


class Fluent(Integration, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Events for Fluentd or Fluent Bit, at the first of `urls` that is there. `tag` is a template of the subject; the
    record is the payload, where that is a JSON object, else it has the text as `message`. `subject_field` is where the
    subject stands in the record, if that is named.

    On `log_subject` the gateway's own log is published, from `log_level` on: for this and whoever else listens.
    """

    kind: ClassVar[str] = "fluent"

    urls: tuple[FluentUrl, ...]
    tag: Annotated[str, Meta(min_length=1, max_length=255)] = "{{subject}}"
    subject_field: str = ""
    log_subject: str = ""
    log_level: Literal["info", "warning", "error"] = "info"
    shared_key: Secret | None = None
    hostname: Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=255)] = ""
    user: str = ""
    password: Secret | None = None
    tls: LinkTls | None = None
    proxy: ProxyUrl | None = None
    gzip: bool = False
    batch_max_messages: Annotated[int, Meta(ge=1, le=100_000)] = 2000
    batch_max_seconds: Seconds = 0.5
    answer_timeout_seconds: Seconds = 30.0
    # How often it is looked whether an earlier one of the URLs is there again.
    fail_back_seconds: Seconds = 30.0

    def __post_init__(self) -> None:
        Integration.__post_init__(self)
        if not self.urls:
            raise KeyedValueError("urls", "at least one URL is needed")
        check_template("tag", self.tag)
        if self.shared_key is not None:
            check_shared_key(self.shared_key)
        if bool(self.user) != (self.password is not None):
            raise KeyedValueError("password", "user and password go together")
        if self.user and self.shared_key is None:
            raise KeyedValueError("shared-key", "a login needs it: user and password are said in its handshake")
        if self.tls is not None and all(url.scheme != "tls" for url in self.urls):
            raise KeyedValueError("tls", "no URL is tls://")
        if self.log_subject and not is_legal_literal(self.log_subject.encode()):
            raise KeyedValueError("log-subject", f"{self.log_subject!r} is no subject; write it as log.gateway")
        if not (self.subjects or self.stream):
            raise KeyedValueError("subjects", "say which messages go there: subjects, or a stream")
