"""A program that copies bytes from its first connection to its second: the physical limit a gateway is held against.

Run as `python relay.py PORTS_FILE`; it ends when its first connection does.
"""

import json
import socket
import sys
from pathlib import Path

# The size of the gateway's own reads, so that both pay the same number of system calls per byte.
BUFFER_BYTES = 256 * 1024


def relay(listener: socket.socket) -> int:
    """Copy until the source ends; returns the number of bytes."""
    source, _ = listener.accept()
    sink, _ = listener.accept()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    total = 0
    with source, sink:
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
            total += count
    return total


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        ports_file = Path(sys.argv[1])
        partial = ports_file.with_suffix(".partial")
        partial.write_text(json.dumps({"listeners": [{"protocol": "relay", "address": f"{host}:{port}"}]}))
        partial.rename(ports_file)
        relay(listener)


if __name__ == "__main__":
    main()
