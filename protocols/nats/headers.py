"""One field of the header block of a NATS message, found in linear time whatever is in the block."""

_LINE_END = b"\r\n"
_BLOCK_END = b"\r\n\r\n"


def find_field(header: bytes, name: bytes) -> bytes | None:
    """The value of the first field of that name, in upper or lower case, without the blanks around it; None for none.

    A line that holds a lone CR or LF is no field.
    """
    end = header.find(_BLOCK_END)
    if end < 0:
        return None
    lines = header[: end + len(_LINE_END)]
    lowered = lines.lower()
    mark = b"%b%b:" % (_LINE_END, name.lower())
    at = lowered.find(mark)
    while at >= 0:
        start = at + len(mark)
        stop = lines.find(_LINE_END, start)
        value = lines[start:stop].strip(b" \t")
        if b"\r" not in value and b"\n" not in value:
            return value
        at = lowered.find(mark, stop)
    return None
