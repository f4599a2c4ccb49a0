"""NATS and MQTT 5 through a gateway that an emulated Python runs: `python3 exchange.py PYTHON`.

This end is plain sockets and the standard library, so that nothing has to be installed for it.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 300
CONFIGURATION = """
ports-file = "ports.json"
data-directory = "data"
[[listeners]]
protocol = "nats"
address = "127.0.0.1:0"
[[listeners]]
protocol = "mqtt"
address = "127.0.0.1:0"
[monitoring]
address = ""
"""
# MQTT 5.0: client id "arm", clean start; SUBSCRIBE to `in/#` with QoS 1; PUBLISH of `out/x` with QoS 1, retained.
CONNECT = bytes.fromhex("10 10 0004 4d515454 05 02 003c 00 0003 61726d")
SUBSCRIBE = bytes.fromhex("82 0a 0001 00 0004 696e2f23 01")
PUBLISH = bytes.fromhex("33 0e 0005 6f75742f78 0002 00") + b"mqtt"
DISCONNECT = bytes.fromhex("e0 00")


def read_until(peer: socket.socket, ending: bytes) -> bytes:
    """What comes, through an ending. Raises EOFError."""
    received = b""
    while ending not in received:
        data = peer.recv(4096)
        if not data:
            raise EOFError(f"the gateway ended the connection after {received!r}")
        received += data
    return received


def exchange(nats: socket.socket, mqtt: socket.socket) -> None:
    """A message each way, each acknowledged. Raises AssertionError, EOFError or TimeoutError."""
    read_until(nats, b"\r\n")
    nats.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB out.* 1\r\nPING\r\n')
    read_until(nats, b"PONG\r\n")
    mqtt.sendall(CONNECT)
    assert read_until(mqtt, b"\x20")[:1] == b"\x20"
    mqtt.sendall(SUBSCRIBE)
    read_until(mqtt, b"\x00\x01\x00\x01")
    mqtt.sendall(PUBLISH)
    read_until(mqtt, bytes.fromhex("40"))
    assert b"MSG out.x 1" in (told := read_until(nats, b"mqtt\r\n")) or b"HMSG out.x 1" in told
    nats.sendall(b"PUB in.y 4\r\nnats\r\n")
    assert b"in/y" in read_until(mqtt, b"nats")
    nats.sendall(b"SUB answers 2\r\nPUB $LEAFGATE.publish.in.z answers 4\r\ndisk\r\n")
    assert b'"seq"' in read_until(nats, b"}\r\n")
    mqtt.sendall(DISCONNECT)


def main(python: str) -> None:
    """Raises what `exchange` raises, and AssertionError where the gateway does not end with 0."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "leafgate.toml").write_text(CONFIGURATION)
        process = subprocess.Popen([python, "-m", "gateway", "run", "-c", "leafgate.toml"], cwd=place)
        try:
            give_up = time.monotonic() + SECONDS
            while not (place / "ports.json").exists():
                if process.poll() is not None or time.monotonic() > give_up:
                    sys.exit("the gateway did not start")
                time.sleep(0.1)
            listeners = json.loads((place / "ports.json").read_text())["listeners"]
            ports = {one["protocol"]: int(one["address"].rpartition(":")[2]) for one in listeners}
            with (
                socket.create_connection(("127.0.0.1", ports["nats"]), SECONDS) as nats,
                socket.create_connection(("127.0.0.1", ports["mqtt"]), SECONDS) as mqtt,
            ):
                exchange(nats, mqtt)
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


if __name__ == "__main__":
    main(sys.argv[1])
