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
