"""The keys of `[[sparkplug-node]]` and `[[sparkplug-host]]`: both ends of Sparkplug B, at a broker or here."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from gateway.settings.bridge import BrokerUrl
from gateway.settings.checks import check_template
from gateway.settings.file import KeyedValueError
from gateway.settings.integration import Integration, check_taken, outermost
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls, SubjectRule
from gateway.settings.units import Seconds
from gateway.settings.uplink import ProxyUrl
from protocols.foreign_text import is_legal_literal
from protocols.mqtt.primitives import is_string
from protocols.sparkplug.topics import is_id
from protocols.sparkplug.values import PLAIN_NAMES

AUTO = "auto"
MOST_ENTRIES = 1000
# What stands for the path of a number within JSON.
FIELD = "field"
Text = Annotated[str, Meta(max_length=1024)]


class SparkplugEnd(Integration, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What both ends share: the broker that is spoken to. Without a URL that is the gateway itself."""

    url: BrokerUrl | None = None
    user: str = ""
    password: Secret | None = None
    client_id: str = ""
    tls: LinkTls | None = None
    proxy: ProxyUrl | None = None
    keep_alive_seconds: Annotated[int, Meta(ge=5, le=65_535)] = 20
    answer_timeout_seconds: Seconds = 10.0
    # What the gateway may publish because of it; everything that does not begin with $ where nothing is said.
    publish: SubjectRule | None = None

    def __post_init__(self) -> None:
        Integration.__post_init__(self)
        if self.url is not None and self.url.scheme not in ("mqtt", "mqtts"):
            raise KeyedValueError("url", "write it as mqtt://broker.example:1883 or mqtts://broker.example:8883")
        if self.url is None:
            for key, given in (("user", self.user), ("client-id", self.client_id), ("tls", self.tls)):
                if given:
                    raise KeyedValueError(key, "it is for a broker at a url; without one that is the gateway itself")
        if self.password is not None and not (self.user or (self.url is not None and self.url.user)):
            raise KeyedValueError("user", "a password needs a user")
        if self.tls is not None and self.url is not None and self.url.scheme != "mqtts":
            raise KeyedValueError("tls", "the URL is not mqtts://")
        for key, text in (("user", self.user), ("client-id", self.client_id)):
            if text and not is_string(text.encode()):
                raise KeyedValueError(key, "it is too long for MQTT, or has characters that MQTT has not")


class NodeMetric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Messages on subjects that a filter matches are a metric of the node's, or of a device's. Of several entries that
    take a subject the first one holds. `device`, `metric` and `command` are templates of the subject; without
    {{field}} in it the path of a number within JSON stands behind the metric. `field` is the one of JSON that is meant.
    """

    subject: str
    device: Text = ""
    metric: Annotated[str, Meta(min_length=1, max_length=1024)] = "{{token(-1)}}"
    field: Text = ""
    type: str = AUTO
    command: Text = ""

    def __post_init__(self) -> None:
        check_taken("subject", self.subject)
        check_template("device", self.device)
        check_template("metric", self.metric, others=(FIELD,))
        check_template("command", self.command)
        if self.type not in (AUTO, *PLAIN_NAMES):
            raise KeyedValueError("type", f"{self.type!r} is none of {AUTO}, {', '.join(PLAIN_NAMES)}")


class NodeDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Subjects on which the gateway says whether something is there (boards, serial lines, Modbus devices), and the
    device that it is; a template.
    """

    presence: str
    device: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __post_init__(self) -> None:
        check_taken("presence", self.presence)
        check_template("device", self.device)


class SparkplugNode(SparkplugEnd, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """An edge node with its devices, out of subjects. With `primary_host` it is there while that one is."""

    kind: ClassVar[str] = "sparkplug-node"

    group: str
    node: str
    metrics: tuple[NodeMetric, ...]
    devices: tuple[NodeDevice, ...] = ()
    primary_host: str = ""
    # How long messages wait for others that go out with them.
    batch_max_seconds: Annotated[float, Meta(ge=0, le=60)] = 0.1

    def __post_init__(self) -> None:
        SparkplugEnd.__post_init__(self)
        if self.subjects:
            raise KeyedValueError("subjects", "the entries of metrics say which subjects are meant")
        for key, name in (("group", self.group), ("node", self.node), ("primary-host", self.primary_host or "-")):
            if not is_id(name):
                raise KeyedValueError(key, f"{name!r} has a character that no name has here (/, + or #), or is empty")
        if not 0 < len(self.metrics) <= MOST_ENTRIES:
            raise KeyedValueError("metrics", f"an edge node has 1 to {MOST_ENTRIES} entries")
        self.taken  # noqa: B018 -- it says what is wrong

    @property
    def taken(self) -> tuple[str, ...]:
        """The filters of `metrics` that are within no other: what is subscribed to, each message once."""
        return outermost("metrics", (one.subject for one in self.metrics))


class SparkplugHost(SparkplugEnd, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A host application: what edge nodes say becomes JSON behind `prefix`. `host_id` is by what it tells that it is
    there; it tells nothing without. `groups`: those alone, else all.
    """

    kind: ClassVar[str] = "sparkplug-host"

    host_id: str = ""
    groups: tuple[str, ...] = ()
    prefix: Annotated[str, Meta(min_length=1, max_length=512)] = "sparkplug"
    births: Literal["publish", "skip"] = "publish"
    retain: bool = False
    rebirth_seconds: Seconds = 10.0

    def __post_init__(self) -> None:
        SparkplugEnd.__post_init__(self)
        if self.subjects or self.stream:
            raise KeyedValueError(
                "stream" if self.stream else "subjects", "a host takes what edge nodes say: see groups"
            )
        if not is_legal_literal(self.prefix.encode()) or self.prefix.startswith(("$", "_", "spBv1")):
            raise KeyedValueError("prefix", f"{self.prefix!r} is no subject, as sparkplug")
        for key, name in (
            ("host-id", self.host_id or "-"),
            *((f"groups[{i}]", one) for i, one in enumerate(self.groups)),
        ):
            if not is_id(name):
                raise KeyedValueError(key, f"{name!r} has a character that no name has here (/, + or #), or is empty")
