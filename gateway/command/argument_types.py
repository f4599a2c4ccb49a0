"""Types of command-line arguments: each takes the text, and gives the value or the sentence that argparse prints."""

import argparse

MOST_SECONDS = 86_400


def seconds(text: str) -> float:
    """A length of time that is none of no length."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, up to {MOST_SECONDS}")
    return value


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of messages")
    return int(text)


def size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 8):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes")
    return int(text)


def named_port(text: str) -> tuple[str, int]:
    """`nats=4222`: what listens there, and the port."""
    name, _, port = text.partition("=")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if name not in ("nats", "mqtt", "websocket", "monitoring") or not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not nats, mqtt, websocket or monitoring, = and a port")
    return name, number
