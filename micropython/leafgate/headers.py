"""Header blocks, of messages that have one."""


def announce(subject, reply, headers, size):
    """What goes before a payload of `size` bytes, and the size of block and payload together."""
    block = "NATS/1.0\r\n" + "".join(["%s: %s\r\n" % pair for pair in headers.items()]) + "\r\n"
    head = len(block.encode())
    size += head
    return "HPUB %s %s %d %d\r\n%s" % (subject, reply, head, size, block), size


def decode(block):
    """A dict of str; of several values the last."""
    found = {}
    for line in block.split(b"\r\n")[1:]:
        if line:
            name, value = line.split(b":", 1)
            found[name.decode()] = value.strip().decode()
    return found
