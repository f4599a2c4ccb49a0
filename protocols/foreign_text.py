"""Subjects out of foreign text: what devices print, files say and clients name. All of it on bytes.

A legal subject is one that the strictest reader takes: nats-py splits a line at any white space of ASCII and reads
UTF-8, MQTT's strings are UTF-8 without control characters.
"""

import re

from protocols.subjects import is_valid_literal

# What a token made of foreign text has at most, and a subject.
LONGEST_TOKEN = 256
LONGEST_SUBJECT = 1024

_WHITE_SPACE = b" \t\n\v\f\r"
# Colours and movements of the cursor, as logs for terminals have them.
_TERMINAL_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_]")
_UNFIT = str.maketrans({"*": " ", ">": " ", "+": " ", "#": " ", "/": " ", "\ufffd": " "})
_PLACE_HOLDER = "_"


def is_legal(subject: bytes) -> bool:
    """Whether every NATS client can read it in a control line: no white space, and UTF-8."""
    if subject.translate(None, _WHITE_SPACE) != subject:
        return False
    if subject.isascii():
        return True
    try:
        subject.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_legal_literal(subject: bytes) -> bool:
    """Whether one may publish to it, and every client can read it."""
    return is_valid_literal(subject) and is_legal(subject) and subject.decode().isprintable()


def make_token(text: bytes) -> bytes:
    """One token: as it is where it is legal in NATS and in MQTT, else with `_` for each run of what is not.

    b"" when nothing is left. Its dots separate no tokens, so they go, too.
    """
    return _token(text.replace(b".", b" "))


def make_subject(text: bytes) -> bytes:
    """A legal literal of the tokens in the text, b"" when there are none."""
    plain = _TERMINAL_SEQUENCE.sub(b"", text)[:LONGEST_SUBJECT]
    return b".".join([token for token in map(_token, plain.split(b".")) if token])


def _token(text: bytes) -> bytes:
    text = _TERMINAL_SEQUENCE.sub(b"", text)[:LONGEST_TOKEN]
    characters = text.decode("utf-8", "replace").translate(_UNFIT)
    spaced = "".join([one if one.isprintable() else " " for one in characters])
    return _PLACE_HOLDER.join(spaced.split()).encode()
