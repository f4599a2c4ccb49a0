"""The configuration of MQTT bridges: links to brokers upstream, on which the gateway is a client."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.settings import broker_presets
from gateway.settings.addresses import ServerUrl, parse_server_url
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls
from gateway.settings.units import DAY, MIB, Seconds
from gateway.settings.uplink import ProxyUrl
from protocols.mqtt.primitives import is_string
from protocols.mqtt.topics import SHARE_PREFIX, is_topic_filter, is_topic_name
from protocols.topic_mapping import filter_to_subjects

BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
WITH_TLS = ("mqtts", "wss")
WITH_WEBSOCKET = ("ws", "wss")
LONGEST_CREDENTIAL = 65_535


class BrokerUrl(ServerUrl):
    """Where an MQTT broker is."""

    __slots__ = ()


def parse_broker_url(text: str) -> BrokerUrl:
    """Read `mqtt://[user[:password]@]host[:port]`, or one with mqtts, ws or wss. Raises ValueError."""
    url = parse_server_url(text, BROKER_PORTS)
    return BrokerUrl(url.scheme, url.host, url.port, url.user, url.password)


class BridgeTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What passes a bridge, as mosquitto's `topic` lines say it: the filter stands behind the prefix of each side."""

    filter: str
    direction: Literal["in", "out", "both"] = "out"
    qos: Annotated[int, Meta(ge=0, le=2)] = 1
    local_prefix: str = ""
    remote_prefix: str = ""

    def __post_init__(self) -> None:
        for key, prefix in (("local-prefix", self.local_prefix), ("remote-prefix", self.remote_prefix)):
            if prefix and not (is_topic_name(prefix.encode()) and is_string(prefix.encode())):
                raise KeyedValueError(key, "a prefix is the begin of a topic, without + and #")
            whole = (prefix + self.filter).encode()
            if not is_string(whole) or not is_topic_filter(whole) or whole.startswith(SHARE_PREFIX.rstrip(b"/")):
                raise KeyedValueError("filter", f"{prefix + self.filter!r} is no topic filter, as in sensors/#")
        if filter_to_subjects((self.local_prefix + self.filter).encode()) is None:
            raise KeyedValueError("filter", f"{self.local_prefix + self.filter!r} is not for clients")


class Bridge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One broker; with several URLs the bridge fails over from one to the next. `name` is that of its queue, too."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
    urls: tuple[BrokerUrl, ...]
    topics: tuple[BridgeTopic, ...]
    preset: Literal["", "aws-iot", "azure-event-grid", "azure-iot-hub", "hivemq-cloud"] = ""
    account: str = ""
    user: str = ""
    password: Secret | None = None
    # Of Azure IoT Hub: what a token is made of at every attempt.
    shared_access_key: Secret | None = None
    client_id: str = ""
    version: Literal["auto", "5", "3.1.1"] = "auto"
    try_private: bool = True
    tls: LinkTls | None = None
    proxy: ProxyUrl | None = None
    websocket_path: Annotated[str, Meta(pattern=r"^/[!-~]*$", max_length=1024)] = "/mqtt"
    keep_alive_seconds: Annotated[int, Meta(ge=5, le=65_535)] = 20
    session_expiry_seconds: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 30 * DAY
    dial_timeout_seconds: Seconds = 5.0
    answer_timeout_seconds: Seconds = 10.0
    reconnect_min_seconds: Seconds = 0.25
    reconnect_max_seconds: Seconds = 30.0
    state_topic: str = ""
    max_queued_messages: Annotated[int, Meta(ge=0, le=10_000_000)] = 100_000
    max_queued_bytes: Annotated[int, Meta(ge=0, le=4096 * MIB)] = 64 * MIB

    def __post_init__(self) -> None:
        if not self.urls:
            raise KeyedValueError("urls", "at least one URL is needed")
        if not self.topics:
            raise KeyedValueError("topics", "at least one is needed: nothing else passes a bridge")
        if self.reconnect_min_seconds > self.reconnect_max_seconds:
            raise KeyedValueError(
                "reconnect-min-seconds",
                f"{self.reconnect_min_seconds:g} is above reconnect-max-seconds, {self.reconnect_max_seconds:g}",
            )
        if (
            self.password is not None
            and self.preset != broker_presets.IOT_HUB
            and not (self.user or all(url.user for url in self.urls))
        ):
            raise KeyedValueError("user", "a password needs a user")
        if self.tls is not None and not any(url.scheme in WITH_TLS for url in self.urls):
            raise KeyedValueError("tls", "no URL is mqtts:// or wss://")
        for key, text in (("client-id", self.client_id), ("user", self.user), ("state-topic", self.state_topic)):
            if text and not is_string(text.encode()):
                raise KeyedValueError(key, "it is too long for MQTT, or has characters that MQTT has not")
        if self.state_topic and not is_topic_name(self.state_topic.encode()):
            raise KeyedValueError("state-topic", "a topic has neither + nor #")
        if self.password is not None and len(self.password.value.encode()) > LONGEST_CREDENTIAL:
            raise KeyedValueError("password", "it is too long for MQTT")
        broker_presets.check(self)
