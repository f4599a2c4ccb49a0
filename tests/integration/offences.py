"""What no healthy peer sends, port by port, and what the gateway answers.

A door is a listener, and how far a peer has come there: `mqtt-connected`, `nats-websocket`, `mqtt-websocket`.
"""

from dataclasses import dataclass

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect

# What the cases count on.
SETTINGS = """
[limits]
max-payload-bytes = 1000
max-control-line-bytes = 256
[timeouts]
connect-seconds = 0.7
[mqtt]
max-packet-bytes = 2000
"""
NATS_CONNECT = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
MQTT_CONNECT = encoder.encode_connect(Connect(4, b""))
CONNACK = b"\x20\x02\x00\x00"
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
MASK = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes) -> bytes:
    """A WebSocket frame as a client sends it."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


def bare_frame(first: int, payload: bytes) -> bytes:
    """A WebSocket frame as a server sends it; a client may not."""
    return bytes((first, len(payload))) + payload


def close_frame(code: int, reason: str) -> bytes:
    return bare_frame(0x88, code.to_bytes(2, "big") + reason.encode())


def error(text: str) -> bytes:
    return f"-ERR '{text}'\r\n".encode()


@dataclass(frozen=True)
class Case:
    """`sent` comes behind the greeting of `door`; `answer`, or with `starts_with` its begin, comes back.

    Then the stream ends, and the log names `reason` and `detail`, or the begin of that.
    """

    name: str
    door: str
    sent: bytes
    answer: bytes
    reason: str
    detail: str = ""
    starts_with: bool = False


TIMEOUT = "Authentication Timeout"
UNKNOWN = error("Unknown Protocol Operation")
NATS_CASES = [
    Case("garbage", "nats", b"\x16\x03\x01\x02\x00\xff\xfe", UNKNOWN, "Parse Error", "unknown protocol operation"),
    Case("http", "nats", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", UNKNOWN, "Parse Error", "unknown protocol operation"),
    Case("bad connect", "nats", b"CONNECT {oops\r\n", b"", "Protocol Violation", "CONNECT is no valid JSON"),
    Case(
        "large payload",
        "nats",
        NATS_CONNECT + b"PUB a 1001\r\n",
        error("Maximum Payload Violation"),
        "Maximum Message Payload Exceeded",
        "payload of 1001 bytes is longer than 1000",
    ),
    Case(
        "endless line",
        "nats",
        NATS_CONNECT + b"PUB " + b"a" * 5000,
        error("maximum control line exceeded"),
        "Maximum Control Line Exceeded",
        "control line is longer than 256 bytes",
    ),
]
PUBLISH_WITH = "PUBLISH: the topic name"
MQTT_CASES = [
    Case("garbage", "mqtt", b"\xde\xad\xbe\xef" * 8, b"", "Protocol Violation", "PINGRESP: a connection begins"),
    Case(
        "http", "mqtt", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", "Protocol Violation", "PUBACK: a connection begins"
    ),
    Case("silence", "mqtt", b"", b"", TIMEOUT, "no CONNECT in time"),
    Case("half a connect", "mqtt", MQTT_CONNECT[:9], b"", TIMEOUT, "no CONNECT in time"),
    Case(
        "unknown version",
        "mqtt",
        b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x00\x00\x00",
        b"\x20\x03\x00\x84\x00",
        "Bad Client Protocol Version",
        "CONNECT: there is no protocol level 9",
    ),
    Case(
        "reserved connect flag",
        "mqtt",
        b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00",
        b"",
        "Parse Error",
        "CONNECT: the reserved connect flag is set",
    ),
    Case("short remaining length", "mqtt-connected", b"\x30\x03\x00\x08t", CONNACK, "Parse Error", PUBLISH_WITH),
    Case("long remaining length", "mqtt-connected", b"\xc0\x01\x00", CONNACK, "Parse Error", "PINGREQ"),
    Case(
        "endless remaining length",
        "mqtt-connected",
        b"\x30\xff\xff\xff\xff\x01",
        CONNACK,
        "Parse Error",
        "PUBLISH: the remaining length is malformed",
    ),
    Case(
        "large packet",
        "mqtt-connected",
        b"\x30\xd1\x0f",
        CONNACK,
        "Maximum Message Payload Exceeded",
        "PUBLISH: 2004 bytes are more than 2000",
    ),
    Case(
        "large payload",
        "mqtt-connected",
        encoder.encode_publish(4, b"t", bytes(1001), 0, 0, False, False),
        CONNACK,
        "Maximum Message Payload Exceeded",
        "payload of 1001 bytes is longer than 1000",
    ),
    Case(
        "reserved flags",
        "mqtt-connected",
        b"\x80\x06\x00\x01\x00\x01t\x00",
        CONNACK,
        "Parse Error",
        "SUBSCRIBE: its flags may not be 0000",
    ),
    Case("reserved type", "mqtt-connected", b"\x00\x00", CONNACK, "Parse Error", "there is no such packet"),
    Case(
        "quality of service 3",
        "mqtt-connected",
        b"\x36\x05\x00\x01t\x00\x01",
        CONNACK,
        "Parse Error",
        "PUBLISH: the QoS is 3",
    ),
    Case("bad utf-8", "mqtt-connected", b"\x30\x04\x00\x02\xc3\x28", CONNACK, "Parse Error", PUBLISH_WITH),
    Case("nul", "mqtt-connected", b"\x30\x05\x00\x03a\0b", CONNACK, "Parse Error", PUBLISH_WITH),
    Case("second connect", "mqtt-connected", MQTT_CONNECT, CONNACK, "Protocol Violation", "it may come only once"),
]
WEBSOCKET_CASES = [
    Case(
        "garbage",
        "websocket",
        b"\x16\x03\x01\x02\x00\xff\xfe\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        "Protocol Violation",
        "HTTP 400",
        starts_with=True,
    ),
    Case(
        "no upgrade",
        "websocket",
        b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        "Protocol Violation",
        "HTTP 400: this is a WebSocket port",
        starts_with=True,
    ),
    Case(
        "post",
        "websocket",
        b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 405 Method Not Allowed\r\n",
        "Protocol Violation",
        "HTTP 405",
        starts_with=True,
    ),
    Case(
        "endless request",
        "websocket",
        b"GET /" + b"a" * 33_000,
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        "Protocol Violation",
        "HTTP 431",
        starts_with=True,
    ),
    Case(
        "silence",
        "websocket",
        b"",
        b"HTTP/1.1 408 Request Timeout\r\n",
        TIMEOUT,
        "no upgrade in time",
        starts_with=True,
    ),
    Case(
        "half a request",
        "websocket",
        UPGRADE[:60],
        b"HTTP/1.1 408 Request Timeout\r\n",
        TIMEOUT,
        "no upgrade in time",
        starts_with=True,
    ),
    Case(
        "no mask",
        "nats-websocket",
        bare_frame(0x82, b"PING\r\n"),
        close_frame(1002, "mask bit missing"),
        "Protocol Violation",
        "mask bit missing",
    ),
    Case("reserved bits", "nats-websocket", frame(0xB2, b"PING\r\n"), b"\x88", "Protocol Violation", starts_with=True),
    Case("unknown opcode", "nats-websocket", frame(0x83, b""), b"\x88", "Protocol Violation", starts_with=True),
    Case("long ping", "nats-websocket", frame(0x89, bytes(126)), b"\x88", "Protocol Violation", starts_with=True),
    Case(
        "garbage in a frame",
        "nats-websocket",
        frame(0x82, b"\xde\xad\r\n"),
        bare_frame(0x82, UNKNOWN) + close_frame(1002, "Parse Error"),
        "Parse Error",
        "unknown protocol operation",
    ),
    Case(
        "large payload in a frame",
        "nats-websocket",
        frame(0x82, NATS_CONNECT + b"PUB a 1001\r\n"),
        bare_frame(0x82, error("Maximum Payload Violation")) + close_frame(1009, "Maximum Message Payload Exceeded"),
        "Maximum Message Payload Exceeded",
    ),
    Case(
        "mqtt in text",
        "mqtt-websocket",
        frame(0x81, b"hello"),
        close_frame(1003, "MQTT takes binary frames"),
        "Protocol Violation",
        "MQTT takes binary frames",
    ),
    Case(
        "garbage in an mqtt frame",
        "mqtt-websocket",
        frame(0x82, b"\xde\xad"),
        close_frame(1002, "Protocol Violation"),
        "Protocol Violation",
        "PINGRESP: a connection begins",
    ),
    Case(
        "bad utf-8 in text", "nats-websocket", frame(0x81, b"\xc3\x28"), b"\x88", "Protocol Violation", starts_with=True
    ),
]
CASES = [*NATS_CASES, *MQTT_CASES, *WEBSOCKET_CASES]
