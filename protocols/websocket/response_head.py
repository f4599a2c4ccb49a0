"""The head of an HTTP response, as far as a client has to read it that asks for a WebSocket: status and fields.

A library for HTTP would be most of what one call of the command line costs.
"""

import string

from protocols.request_head import MOST_FIELDS, holds_controls

VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
# RFC 9110 5.6.2
TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()


class ResponseError(ValueError):
    """It is none; the text says why, and quotes nothing."""


def read_response_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """The status, and fields by their names in lower case, of several with a name the last. `head` ends with the blank
    line. Raises ResponseError.
    """
    if holds_controls(head):
        raise ResponseError("a line holds a control character")
    first, *lines = head.replace(b"\r\n", b"\n").removesuffix(b"\n\n").split(b"\n")
    version, _, rest = first.partition(b" ")
    status, _, _ = rest.partition(b" ")
    if version not in VERSIONS or len(status) != 3 or not status.isdigit():
        raise ResponseError("the first line is no status")
    if len(lines) > MOST_FIELDS:
        raise ResponseError("there are too many fields")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # A line that goes on from the one before begins with a blank [RFC 9112 5.2].
        if not colon or not name or name.translate(None, TOKEN):
            raise ResponseError("a line is no field")
        fields[name.lower()] = value.strip(b" \t")
    return int(status), fields
