"""Header blocks, of messages that have one."""


def encode(headers):
    lines = ["%s: %s\r\n" % pair for pair in headers.items()]
    return "NATS/1.0\r\n" + "".join(lines) + "\r\n"


def decode(block):
    """A dict of str; of several values the last."""
    found = {}
    for line in block.split(b"\r\n")[1:]:
        if line:
            name, value = line.split(b":", 1)
            found[name.decode()] = value.strip().decode()
    return found
