"""Strangers: what a server speaks that does not speak what we do, said in words, with the URL that may be meant.

NATS servers speak first, others must be asked: `ask_around` does so on connections of its own.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import closing

from gateway.settings.addresses import ServerUrl, join_address

# Each question; together they are asked within the patience of whoever waits.
QUESTION_SECONDS = 1.0
LONGEST_LOOK = 512
LEAST_WAIT = 0.001

# A CONNECT of MQTT 3.1.1 without a client id, clean session: every broker answers it with a CONNACK.
MQTT_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"
HTTP_REQUEST = b"GET / HTTP/1.0\r\n\r\n"
# A record of a ClientHello that is none: who speaks TLS answers with an alert (RFC 8446 6).
TLS_HELLO = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
QUESTIONS = (MQTT_CONNECT, HTTP_REQUEST, TLS_HELLO)


def name_stranger(said: bytes, url: ServerUrl) -> str:
    """What a server speaks that began so; "" where that cannot be told."""
    address = join_address(url.host, url.port)
    if said.startswith(b"INFO "):
        return f"that is a NATS server; use nats://{address}"
    if said.startswith(b"HTTP/"):
        return f"that is an HTTP server; for WebSocket use ws://{address}, for monitoring http://{address}"
    if len(said) > 3 and said[0] == 0x20 and said[1] in range(2, 0x80):  # CONNACK
        return f"that is an MQTT broker; use mqtt://{address}"
    if len(said) > 2 and said[0] in (0x15, 0x16) and said[1] == 3:
        return "that server speaks TLS; use tls://, mqtts:// or wss://"
    if said.startswith(b"SSH-"):
        return "that is an SSH server"
    return ""


def ask_around(url: ServerUrl) -> str:
    """What a server speaks that has not answered us, found by asking it in other protocols; "" where none fits."""
    return next(filter(None, (name_stranger(answer, url) for answer in _answers(url))), "")


def _answers(url: ServerUrl) -> Iterator[bytes]:
    """What it says to each question, as far as it came in time."""
    for question in QUESTIONS:
        said = b""
        try:
            with closing(socket.create_connection((url.host, url.port), QUESTION_SECONDS)) as sock:
                sock.sendall(question)
                deadline = time.monotonic() + QUESTION_SECONDS
                while len(said) < LONGEST_LOOK and not name_stranger(said, url):
                    sock.settimeout(max(deadline - time.monotonic(), LEAST_WAIT))
                    data = sock.recv(LONGEST_LOOK)
                    if not data:
                        break
                    said += data
        except OSError:
            pass  # It has nothing more to say.
        yield said
