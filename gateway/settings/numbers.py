"""The keys of sinks for numbers: `[[remote-write]]` (Prometheus and others that take its samples) and `[[influx]]`."""

import re
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gateway.settings.addresses import ServerUrl, parse_server_url
from gateway.settings.checks import check_template
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls
from gateway.settings.units import Seconds
from gateway.settings.uplink import ProxyUrl

HTTP_PORTS = {"http": 80, "https": 443}
# What may stand behind the host; white space and control characters never do.
TARGET = re.compile(r"/[!-~]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
FIELD = "field"
Path = Annotated[str, Meta(min_length=1, max_length=255)]


class HttpUrl(ServerUrl):
    """Where something is that takes HTTP. `path` may have a query, which is not shown: secrets stand in it."""

    __slots__ = ()

    def __str__(self) -> str:
        shown = ServerUrl(self.scheme, self.host, self.port, path=self.path.partition("?")[0])
        return ServerUrl.__str__(shown)

    @property
    def target(self) -> str:
        return self.path or "/"


def parse_http_url(text: str) -> HttpUrl:
    """Read `http://[user[:password]@]host[:port][/path]`, or one with https. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    url = parse_server_url(f"{scheme}{separator}{authority}", HTTP_PORTS)
    target = f"{slash}{path}"
    if target and not TARGET.fullmatch(target):
        raise ValueError("what stands behind the host has white space or letters that a URL has not")
    return HttpUrl(url.scheme, url.host, url.port, url.user, url.password, target)


class NumberSink(Integration, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What both share: which numbers of a payload are taken, where they go, and how many at once."""

    url: HttpUrl
    user: str = ""
    password: Secret | None = None
    token: Secret | None = None
    tls: LinkTls | None = None
    proxy: ProxyUrl | None = None
    # Of JSON, by path; without any all that are numbers.
    fields: tuple[Path, ...] = ()
    # Where JSON says when it was.
    time_field: str = ""
    batch_max_messages: Annotated[int, Meta(ge=1, le=100_000)] = 5000
    batch_max_seconds: Seconds = 1.0
    answer_timeout_seconds: Seconds = 30.0

    def __post_init__(self) -> None:
        Integration.__post_init__(self)
        if not (self.subjects or self.stream):
            raise KeyedValueError("subjects", "say which messages go there: subjects, or a stream")
        if self.token is not None and (self.user or self.password):
            raise KeyedValueError("token", "either a token or user and password, not both")
        if bool(self.user) != (self.password is not None):
            raise KeyedValueError("password", "user and password go together")
        if self.tls is not None and self.url.scheme != "https":
            raise KeyedValueError("tls", "the URL is not https://")


class RemoteWrite(NumberSink, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Samples for what takes Prometheus remote write. `metric` and the values of `labels` are templates of the subject;
    without {{field}} in it, the name of a field stands behind the metric. `out_of_order`: what is older than the last
    sample of its series is dropped, or sent to a server that takes it.
    """

    kind: ClassVar[str] = "remote-write"

    metric: Annotated[str, Meta(min_length=1, max_length=255)] = "{{token(-1)}}"
    labels: dict[str, str] = msgspec.field(default_factory=lambda: {"subject": "{{subject}}"})
    out_of_order: Literal["drop", "send"] = "drop"

    def __post_init__(self) -> None:
        NumberSink.__post_init__(self)
        check_template("metric", self.metric, others=(FIELD,))
        for name, template in self.labels.items():
            if not LABEL.fullmatch(name) or name.startswith("__"):
                raise KeyedValueError(
                    f"labels.{name}", "a label is of letters, digits and _, and does not begin with __"
                )
            check_template(f"labels.{name}", template, others=(FIELD,))


class Influx(NumberSink, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Points for what takes InfluxDB's line protocol: `database` of version 1, or `bucket` and `organisation` of
    version 2; with neither the URL is used as it is. `measurement` and the values of `tags` are templates of the
    subject.
    """

    kind: ClassVar[str] = "influx"

    database: str = ""
    retention_policy: str = ""
    bucket: str = ""
    organisation: str = ""
    measurement: Annotated[str, Meta(min_length=1, max_length=255)] = "{{token(-1)}}"
    tags: dict[str, str] = msgspec.field(default_factory=lambda: {"subject": "{{subject}}"})
    value_field: Annotated[str, Meta(min_length=1, max_length=255)] = "value"
    precision: Literal["ns", "us", "ms", "s"] = "ns"
    gzip: bool = True

    def __post_init__(self) -> None:
        NumberSink.__post_init__(self)
        check_template("measurement", self.measurement)
        for name, template in self.tags.items():
            if not name or name == "time":
                raise KeyedValueError(f"tags.{name}", "no tag is called so")
            check_template(f"tags.{name}", template)
        if self.database and (self.bucket or self.organisation):
            raise KeyedValueError("database", "either database (version 1) or bucket and organisation (version 2)")
        if self.retention_policy and not self.database:
            raise KeyedValueError("retention-policy", "it is one of a database")
