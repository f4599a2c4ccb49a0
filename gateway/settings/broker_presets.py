"""Presets of bridges: what brokers in the cloud take, as they publish it, and what a configuration asks beyond that.

aws-iot            https://docs.aws.amazon.com/general/latest/gr/iot-core.html (message broker and protocol limits),
                   https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html (ports, ALPN)
azure-event-grid   https://learn.microsoft.com/azure/event-grid/mqtt-support, …/quotas-limits, …/mqtt-retain
azure-iot-hub      https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
hivemq-cloud       https://docs.hivemq.com/hivemq-cloud/
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote, quote_plus

import msgspec

from gateway.settings.addresses import ServerUrl
from gateway.settings.file import KeyedValueError
from gateway.settings.secret import Secret
from gateway.settings.security import LinkTls

KIB = 1024
AWS, EVENT_GRID, IOT_HUB, HIVEMQ = "aws-iot", "azure-event-grid", "azure-iot-hub", "hivemq-cloud"
# Of AWS, at the port that firewalls let pass: with a certificate, and with a user's name.
HTTPS = 443
ALPN_BY_CERTIFICATE, ALPN_BY_USER = "x-amzn-mqtt-ca", "mqtt"
# What a rule of AWS takes directly is named in front of the topic, and does not count.
AWS_RULE_LEVELS = 3
API_VERSION = "2021-04-12"
# How long a token of Azure's is good that we make; the hub ends the connection then.
TOKEN_SECONDS = 86_400
# What a device of an IoT Hub may publish to and subscribe to, behind its own topics.
HUB_OUT = ("$iothub/twin/", "$iothub/methods/res/")
HUB_IN = ("$iothub/twin/", "$iothub/methods/POST/")


class BrokerRules(msgspec.Struct, frozen=True):
    """`ports` are those of each scheme that it takes. 0 is no limit. `takes_retained`: None where it says so itself,
    in MQTT 5.0. `takes_introduction`: user properties of a CONNECT.
    """

    title: str
    ports: dict[str, tuple[int, ...]]
    versions: tuple[str, ...] = ("auto", "5", "3.1.1")
    most_qos: int = 2
    takes_retained: bool | None = None
    takes_introduction: bool = True
    most_packet_bytes: int = 0
    most_slashes: int = 0
    longest_topic: int = 0
    longest_client_id: int = 0
    filters_at_once: int = 0
    most_filters: int = 0
    longest_keep_alive: int = 0
    # What one needs to be let in, in words, of the keys that are named: any of these groups.
    logins: tuple[tuple[str, ...], ...] = ()
    logins_in_words: str = ""


class Topic(Protocol):
    """What is asked of gateway.settings.bridge.BridgeTopic."""

    @property
    def filter(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def qos(self) -> int: ...
    @property
    def remote_prefix(self) -> str: ...


class Bridge(Protocol):
    """What is asked of gateway.settings.bridge.Bridge."""

    @property
    def preset(self) -> str: ...
    @property
    def urls(self) -> Sequence[ServerUrl]: ...
    @property
    def topics(self) -> Sequence[Topic]: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> Secret | None: ...
    @property
    def shared_access_key(self) -> Secret | None: ...
    @property
    def client_id(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def tls(self) -> LinkTls | None: ...
    @property
    def keep_alive_seconds(self) -> int: ...
    @property
    def state_topic(self) -> str: ...


# The payload alone is limited; a packet has its topic and properties beside.
AROUND_PAYLOAD = 512
PRESETS = {
    AWS: BrokerRules(
        title="AWS IoT Core",
        ports={"mqtts": (8883, HTTPS), "wss": (HTTPS,)},
        most_qos=1,
        most_packet_bytes=128 * KIB + AROUND_PAYLOAD,
        most_slashes=7,
        longest_topic=256,
        longest_client_id=128,
        filters_at_once=8,
        most_filters=50,
        longest_keep_alive=1200,
        logins=(("certificate",), ("user", "password")),
        logins_in_words="a certificate in tls, or the user and password of a custom authorizer",
    ),
    EVENT_GRID: BrokerRules(
        title="Azure Event Grid",
        ports={"mqtts": (8883,), "wss": (HTTPS,)},
        most_qos=1,
        # A CONNECT with user properties fails.
        takes_introduction=False,
        most_packet_bytes=512 * KIB,
        longest_keep_alive=1160,
        logins=(("certificate",), ("user", "password")),
        logins_in_words="a certificate in tls, or a user and password",
    ),
    IOT_HUB: BrokerRules(
        title="Azure IoT Hub",
        ports={"mqtts": (8883,), "wss": (HTTPS,)},
        versions=("auto", "3.1.1"),
        most_qos=1,
        takes_retained=False,
        most_packet_bytes=256 * KIB,
        longest_client_id=128,
        longest_keep_alive=1767,
        logins=(("certificate",), ("shared-access-key",), ("password",)),
        logins_in_words="shared-access-key, a token as the password, or a certificate in tls",
    ),
    HIVEMQ: BrokerRules(
        title="HiveMQ Cloud",
        ports={"mqtts": (8883,), "wss": (8884,)},
        logins=(("user", "password"), ("certificate",)),
        logins_in_words="user and password, or a certificate in tls",
    ),
}


def check(bridge: Bridge) -> None:
    """Raises KeyedValueError for what the broker of the preset would refuse, in a sentence."""
    rules = PRESETS.get(bridge.preset)
    if rules is None:
        if bridge.shared_access_key is not None:
            raise KeyedValueError("shared-access-key", f'it is for preset = "{IOT_HUB}"')
        return
    title = rules.title
    for index, url in enumerate(bridge.urls):
        if url.scheme not in rules.ports:
            raise KeyedValueError(f"urls[{index}]", f"{title} takes nothing but TLS: write mqtts:// or wss://")
        if url.port not in rules.ports[url.scheme]:
            ports = " or ".join(map(str, rules.ports[url.scheme]))
            raise KeyedValueError(f"urls[{index}]", f"{title} takes {url.scheme} at port {ports}, not {url.port}")
    if bridge.version not in rules.versions:
        raise KeyedValueError("version", f"{title} speaks {' or '.join(rules.versions[1:])}, not {bridge.version}")
    _check_login(bridge, rules)
    if rules.longest_client_id and len(bridge.client_id.encode()) > rules.longest_client_id:
        raise KeyedValueError("client-id", f"{title} takes at most {rules.longest_client_id} bytes")
    if rules.longest_keep_alive and bridge.keep_alive_seconds > rules.longest_keep_alive:
        raise KeyedValueError("keep-alive-seconds", f"{title} takes at most {rules.longest_keep_alive}")
    _check_topics(bridge, rules)


def _check_login(bridge: Bridge, rules: BrokerRules) -> None:
    there = {
        "certificate": bridge.tls is not None and bool(bridge.tls.certificate),
        "user": bool(bridge.user) or all(url.user for url in bridge.urls),
        "password": bridge.password is not None or all(url.password for url in bridge.urls),
        "shared-access-key": bridge.shared_access_key is not None,
    }
    if bridge.shared_access_key is not None and bridge.preset != IOT_HUB:
        raise KeyedValueError("shared-access-key", f'it is for preset = "{IOT_HUB}"')
    if not any(all(there[key] for key in group) for group in rules.logins):
        raise KeyedValueError(rules.logins[0][0], f"{rules.title} wants to know who comes: {rules.logins_in_words}")
    if bridge.preset != IOT_HUB:
        return
    if not bridge.client_id:
        raise KeyedValueError("client-id", "of Azure IoT Hub it is the id of the device")
    if there["user"]:
        raise KeyedValueError("user", "of Azure IoT Hub it is made of the host and the client-id: leave it out")
    if bridge.shared_access_key is not None:
        if there["password"]:
            raise KeyedValueError("password", "either it, which is a token, or shared-access-key, of which one is made")
        try:
            base64.b64decode(bridge.shared_access_key.value, validate=True)
        except binascii.Error:
            raise KeyedValueError("shared-access-key", "a key of Azure IoT Hub is base64") from None


def _check_topics(bridge: Bridge, rules: BrokerRules) -> None:
    title = rules.title
    if bridge.state_topic and rules.takes_retained is False:
        raise KeyedValueError("state-topic", f"it is retained, and {title} retains nothing")
    for index, topic in enumerate(bridge.topics):
        place = f"topics[{index}]"
        remote = topic.remote_prefix + topic.filter
        if topic.qos > rules.most_qos:
            raise KeyedValueError(f"{place}.qos", f"{title} takes QoS {rules.most_qos} at most")
        fault = topic_fault(bridge.preset, remote)
        if fault:
            raise KeyedValueError(f"{place}.remote-prefix", f"{remote}: {fault}")
        if bridge.preset == IOT_HUB:
            _check_hub_topic(place, bridge.client_id, topic.direction, topic.filter, remote)
    inwards = [one for one in bridge.topics if one.direction != "out"]
    if rules.most_filters and len(inwards) > rules.most_filters:
        raise KeyedValueError("topics", f"{title} takes {rules.most_filters} subscriptions of one connection at most")


def _check_hub_topic(place: str, device: str, direction: str, topic_filter: str, remote: str) -> None:
    """A hub is no broker: a device has a few topics, and behind the one that it sends to stand properties."""
    events, bound = f"devices/{device}/messages/events/", f"devices/{device}/messages/devicebound/"
    if direction == "both":
        raise KeyedValueError(
            f"{place}.direction", "Azure IoT Hub has other topics for each direction: write out or in"
        )
    if direction == "in" and not remote.startswith((bound, *HUB_IN)):
        sentence = f"{remote}: of Azure IoT Hub a device gets {bound}#, $iothub/twin/… and $iothub/methods/POST/#"
        raise KeyedValueError(f"{place}.remote-prefix", sentence)
    if direction == "out":
        if not remote.startswith((events, *HUB_OUT)):
            sentence = f"{remote}: to Azure IoT Hub a device sends {events}, $iothub/twin/… and $iothub/methods/res/…"
            raise KeyedValueError(f"{place}.remote-prefix", sentence)
        if remote.startswith(events) and topic_filter:
            sentence = f'behind {events} stand properties: write filter = "" and a whole topic as local-prefix'
            raise KeyedValueError(f"{place}.filter", sentence)


def topic_fault(preset: str, topic: str) -> str:
    """Why a broker does not take a topic, or a filter, in a few words; "" where it does."""
    rules = PRESETS.get(preset)
    if rules is None:
        return ""
    if rules.most_slashes:
        levels = topic.split("/")
        if preset == AWS and topic.startswith("$aws/rules/"):
            levels = levels[AWS_RULE_LEVELS:]
        if len(levels) > rules.most_slashes + 1:
            return f"{rules.title} takes {rules.most_slashes} slashes in a topic at most"
    if rules.longest_topic and len(topic.encode()) > rules.longest_topic:
        return f"{rules.title} takes topics of {rules.longest_topic} bytes at most"
    return ""


class Login(msgspec.Struct, frozen=True):
    """Who we are at a broker: the user's name and the password, None for none."""

    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


def login(bridge: Bridge, host: str, user: str | None, password: str | None, now: float) -> Login:
    """`now` in seconds since 1970: a token that is made is good from then on for a day."""
    if bridge.preset != IOT_HUB:
        return Login(user, password)
    if bridge.shared_access_key is not None:
        password = shared_access_token(host, bridge.client_id, bridge.shared_access_key.value, int(now) + TOKEN_SECONDS)
    return Login(f"{host}/{bridge.client_id}/?api-version={API_VERSION}", password)


def shared_access_token(host: str, device: str, key: str, expiry: int) -> str:
    """A token of Azure's, good until then."""
    # Not for every command that reads a file.
    import hashlib
    import hmac

    resource = quote_plus(f"{host}/devices/{quote(device, safe='')}")
    digest = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    return f"SharedAccessSignature sr={resource}&sig={quote_plus(base64.b64encode(digest).decode())}&se={expiry}"


def alpn(bridge: Bridge, port: int) -> tuple[str, ...]:
    """What TLS is told of the protocol inside, where a port has several."""
    if bridge.preset != AWS or port != HTTPS:
        return ()
    by_certificate = bridge.tls is not None and bool(bridge.tls.certificate)
    return (ALPN_BY_CERTIFICATE if by_certificate else ALPN_BY_USER,)
