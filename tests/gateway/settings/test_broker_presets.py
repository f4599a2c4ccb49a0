"""Presets of bridges: what brokers in the cloud would refuse is said before they do."""

import base64
import hashlib
import hmac
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from gateway.errors import ConfigError
from gateway.settings import broker_presets
from gateway.settings.bridge import Bridge
from gateway.settings.schema import load_config

CERTIFICATE = 'tls = { certificate = "a.pem", key = "a.key" }\n'
KEY = base64.b64encode(b"k" * 32).decode()
EVENTS = "devices/edge-7/messages/events/"


def text_of(preset: str, url: str, *more: str, topics: str = '{ filter = "a/#" }') -> str:
    return f'[[bridges]]\nname = "c"\npreset = "{preset}"\nurls = ["{url}"]\ntopics = [{topics}]\n' + "".join(more)


def load(tmp_path: Path, text: str) -> Bridge:
    file = tmp_path / "leafgate.toml"
    file.write_text(text)
    (bridge,) = load_config(file).bridges
    return bridge


AWS, GRID, HUB, HIVE = "aws-iot", "azure-event-grid", "azure-iot-hub", "hivemq-cloud"
DEVICE = ('client-id = "edge-7"\n', f'shared-access-key = "{KEY}"\n')
OUT = f'{{ filter = "", local-prefix = "up/temp", remote-prefix = "{EVENTS}" }}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (text_of(AWS, "mqtt://h", CERTIFICATE.replace("tls", "tls")), "tls: no URL is mqtts://"),
        (text_of(AWS, "mqtt://u:p@h"), "urls[0]: AWS IoT Core takes nothing but TLS"),
        (
            text_of(AWS, "mqtts://h:1884", CERTIFICATE),
            "urls[0]: AWS IoT Core takes mqtts at port 8883 or 443, not 1884",
        ),
        (text_of(AWS, "mqtts://h"), "certificate: AWS IoT Core wants to know who comes: a certificate in tls"),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, topics='{ filter = "a", qos = 2 }'),
            "topics[0].qos: AWS IoT Core takes QoS 1 at most",
        ),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, topics='{ filter = "1/2/3/4/5/6/7/8/#" }'),
            "topics[0].remote-prefix: 1/2/3/4/5/6/7/8/#: AWS IoT Core takes 7 slashes in a topic at most",
        ),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, topics=f'{{ filter = "a", remote-prefix = "{"x" * 256}" }}'),
            "AWS IoT Core takes topics of 256 bytes at most",
        ),
        (
            text_of(
                AWS,
                "mqtts://h",
                CERTIFICATE,
                topics=", ".join(f'{{ filter = "in/{one}", direction = "in" }}' for one in range(51)),
            ),
            "topics: AWS IoT Core takes 50 subscriptions of one connection at most",
        ),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, f'client-id = "{"x" * 129}"\n'),
            "client-id: AWS IoT Core takes at most 128",
        ),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, "keep-alive-seconds = 1201\n"),
            "keep-alive-seconds: AWS IoT Core takes",
        ),
        (text_of(GRID, "wss://h:8884", CERTIFICATE), "urls[0]: Azure Event Grid takes wss at port 443, not 8884"),
        (text_of(GRID, "mqtts://h", CERTIFICATE, "keep-alive-seconds = 1161\n"), "Azure Event Grid takes at most 1160"),
        (text_of(HUB, "mqtts://h", DEVICE[1], topics=OUT), "client-id: of Azure IoT Hub it is the id of the device"),
        (
            text_of(HUB, "mqtts://h", *DEVICE, 'version = "5"\n', topics=OUT),
            "version: Azure IoT Hub speaks 3.1.1, not 5",
        ),
        (
            text_of(HUB, "mqtts://h", *DEVICE, 'user = "x"\n', topics=OUT),
            "user: of Azure IoT Hub it is made of the host",
        ),
        (text_of(HUB, "mqtts://h", DEVICE[0], topics=OUT), "wants to know who comes: shared-access-key"),
        (
            text_of(HUB, "mqtts://h", *DEVICE, 'password = "SharedAccessSignature …"\n', topics=OUT),
            "password: either it, which is a token, or shared-access-key",
        ),
        (
            text_of(HUB, "mqtts://h", DEVICE[0], 'shared-access-key = "!"\n', topics=OUT),
            "shared-access-key: a key of Azure IoT Hub is base64",
        ),
        (text_of(HUB, "mqtts://h", *DEVICE), f"a/#: to Azure IoT Hub a device sends {EVENTS}"),
        (
            text_of(HUB, "mqtts://h", *DEVICE, topics=f'{{ filter = "#", remote-prefix = "{EVENTS}" }}'),
            f'topics[0].filter: behind {EVENTS} stand properties: write filter = ""',
        ),
        (
            text_of(HUB, "mqtts://h", *DEVICE, topics='{ filter = "a/#", direction = "in" }'),
            "of Azure IoT Hub a device gets devices/edge-7/messages/devicebound/#",
        ),
        (text_of(HUB, "mqtts://h", *DEVICE, topics='{ filter = "a/#", direction = "both" }'), "write out or in"),
        (text_of(HUB, "mqtts://h", *DEVICE, 'state-topic = "s"\n', topics=OUT), "state-topic: it is retained"),
        (text_of(HIVE, "mqtts://h"), "user: HiveMQ Cloud wants to know who comes: user and password"),
        (text_of(HIVE, "wss://u:p@h"), "urls[0]: HiveMQ Cloud takes wss at port 8884, not 443"),
        (text_of("", "mqtts://h", f'shared-access-key = "{KEY}"\n'), 'it is for preset = "azure-iot-hub"'),
        (
            text_of(AWS, "mqtts://h", CERTIFICATE, f'shared-access-key = "{KEY}"\n'),
            'it is for preset = "azure-iot-hub"',
        ),
    ],
)
def test_what_the_broker_would_refuse_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        text_of(AWS, "mqtts://h", CERTIFICATE, topics='{ filter = "1/2/3/4/5/6/7/#", qos = 1 }'),
        text_of(AWS, "mqtts://u:p@h:443"),
        text_of(
            AWS, "mqtts://h", CERTIFICATE, topics='{ filter = "1/2/3/4/5/6/7/8", remote-prefix = "$aws/rules/r/" }'
        ),
        text_of(GRID, "mqtts://h", CERTIFICATE, 'user = "client"\n'),
        text_of(HUB, "mqtts://h", *DEVICE, topics=OUT),
        text_of(HUB, "mqtts://h", 'client-id = "edge-7"\n', CERTIFICATE, topics=OUT),
        text_of(HUB, "mqtts://h", 'client-id = "edge-7"\n', 'password = "SharedAccessSignature …"\n', topics=OUT),
        text_of(HIVE, "wss://u:p@h:8884", 'state-topic = "s"\n', topics='{ filter = "a", qos = 2 }'),
    ],
)
def test_what_the_broker_takes_is_taken(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).preset in text


def test_login_at_azure_iot_hub_is_made_of_host_device_and_key(tmp_path: Path) -> None:
    """As https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas has it."""
    bridge = load(tmp_path, text_of(HUB, "mqtts://hub.azure-devices.net", *DEVICE, topics=OUT))
    made = broker_presets.login(bridge, "hub.azure-devices.net", None, None, 1_700_000_000.0)
    assert made.user == "hub.azure-devices.net/edge-7/?api-version=2021-04-12"
    kind, _, query = (made.password or "").partition(" ")
    said = parse_qs(query, strict_parsing=True)
    assert kind == "SharedAccessSignature"
    assert said["sr"] == ["hub.azure-devices.net/devices/edge-7"]
    assert said["se"] == [str(1_700_000_000 + broker_presets.TOKEN_SECONDS)]
    signed = f"hub.azure-devices.net%2Fdevices%2Fedge-7\n{said['se'][0]}".encode()
    assert base64.b64decode(said["sig"][0]) == hmac.new(b"k" * 32, signed, hashlib.sha256).digest()
    assert KEY not in repr(made)


def test_alpn_is_told_where_a_port_has_several_protocols(tmp_path: Path) -> None:
    with_certificate = load(tmp_path, text_of(AWS, "mqtts://h:443", CERTIFICATE))
    with_user = load(tmp_path, text_of(AWS, "mqtts://u:p@h:443"))
    assert broker_presets.alpn(with_certificate, 443) == ("x-amzn-mqtt-ca",)
    assert broker_presets.alpn(with_user, 443) == ("mqtt",)
    assert broker_presets.alpn(with_certificate, 8883) == ()
