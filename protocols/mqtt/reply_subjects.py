"""Reply subjects that carry the correlation data of an MQTT 5.0 request (4.10): who answers a NATS request gives back
nothing but its reply subject.

`_MQTT5.<gateway id>.<correlation data>.<response subject>`; a request without correlation data has the response subject
itself.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

REPLY_PREFIX = b"_MQTT5."
# A response topic can itself be a reply subject, and so on; each is a turn of its own through the router.
MOST_NESTED = 4
# No base64 text has one character.
_EMPTY = b"-"
_ABSENT = b"_"


def reply_filter(gateway_id: bytes) -> bytes:
    """The subject filter of all that `make_reply` makes with correlation data."""
    return _prefix(gateway_id) + b">"


def make_reply(gateway_id: bytes, response_subject: bytes, correlation: bytes | None, longest: int) -> bytes | None:
    """The reply subject of a request; None when it would be longer than `longest` bytes.

    `gateway_id` is one token of a subject, `response_subject` a valid literal. No two requests make the same.
    """
    prefix = _prefix(gateway_id)
    if correlation is None and not response_subject.startswith(prefix):
        reply = response_subject
    else:
        reply = prefix + _encode(correlation) + b"." + response_subject
    return reply if len(reply) <= longest else None


def parse_reply(reply: bytes, gateway_id: bytes) -> tuple[bytes, bytes | None]:
    """Response subject and correlation data, for every reply subject that `make_reply` of the same gateway made.

    Any other reply subject is itself the response subject.
    """
    prefix = _prefix(gateway_id)
    if reply.startswith(prefix):
        token, _, response_subject = reply[len(prefix) :].partition(b".")
        if token == _ABSENT and response_subject:
            return response_subject, None
        correlation = _decode(token)
        if correlation is not None and response_subject:
            return response_subject, correlation
    return reply, None


def inner_subject(reply: bytes) -> bytes | None:
    """The response subject in a reply subject that any gateway may have made; None for another subject."""
    if not reply.startswith(REPLY_PREFIX):
        return None
    tokens = reply.split(b".", 3)
    return tokens[3] if len(tokens) > 3 else None


def _prefix(gateway_id: bytes) -> bytes:
    return REPLY_PREFIX + gateway_id + b"."


def _encode(correlation: bytes | None) -> bytes:
    if correlation is None:
        return _ABSENT
    return urlsafe_b64encode(correlation).rstrip(b"=") or _EMPTY


def _decode(token: bytes) -> bytes | None:
    """The correlation data, or None for what `_encode` does not make."""
    if token == _EMPTY:
        return b""
    try:
        correlation = urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    except binascii.Error:
        return None
    return correlation if _encode(correlation) == token else None
