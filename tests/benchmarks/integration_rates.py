"""How much the gateway sends to other systems and takes from there: python tests/benchmarks/integration_rates.py [ROW]

Each row is measured alone, with the gateway on one core and the other side on the other. What is sent waits in a stream
before, on the disk, and the clock runs from the moment that the other side is there until it has acknowledged all.
Messages have 128 B, on 1,000 subjects. The other side is the real one where that is named, else one that only
acknowledges: `python tests/benchmarks/integration_rates.py sink fluent PORT`.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from server_process import free_port

MESSAGES, SUBJECTS, SIZE = 60_000, 1000, 128
# What is published in one go, and acknowledged.
WINDOW = 2000
PATIENCE_SECONDS = 60.0
GATEWAY_CORE, OTHER_CORE = 0, 1
LEAFGATE = Path(sys.executable).parent / "leafgate"
ANSWER = b"\x81\xa3ack\xa1x"
# A second has so many; and for each how many seconds of the gateway's CPU time.
Outcome = tuple[float, float]
STREAM = '{"name":"BENCH","subjects":["plant.>"],"storage":"file","retention":"limits","num_replicas":1}'


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["sink"]:
        sink(arguments[1], int(arguments[2]))
        return
    rows = ROWS if not arguments else {name: row for name, row in ROWS.items() if name in arguments}
    for name, row in rows.items():
        with tempfile.TemporaryDirectory(prefix="leafgate-bench-") as directory:
            rate, cpu = row(Path(directory))
            print(f"{name:<28} {rate / 1000:8.1f} k/s {cpu * 1e6:8.2f} µs of CPU for each", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")


# What is measured.


def fluent_out(directory: Path, more: str = "") -> Outcome:
    """Events of which each has a tag of its own subject's, or one tag for all."""
    port = free_port()
    keys = (
        f'[[fluent]]\nname = "b"\nurls = ["tcp://127.0.0.1:{port}"]\nstream = "BENCH"\nretry-max-seconds = 0.2\n{more}'
    )
    return drained(directory, keys, json_payload, lambda: own_sink("fluent", port))


def fluent_in(directory: Path) -> Outcome:
    """Events in chunks of 1,000, PackedForward, eight of them on their way, into a subject that somebody listens to."""
    with (
        gateway(directory, "", listener="fluent") as ports,
        socket.create_connection(("127.0.0.1", ports["nats"])) as ear,
    ):
        ear.sendall(b"CONNECT {}\r\nSUB > 1\r\nPING\r\n")
        threading.Thread(target=swallow, args=(ear,), daemon=True).start()
        events = b"".join(msgspec.msgpack.encode([1_700_000_000, {"n": n, "text": "x" * 90}]) for n in range(1000))
        with socket.create_connection(("127.0.0.1", ports["fluent"])) as sock:
            begin, cpu = time.perf_counter(), cpu_seconds(ports["pid"])
            acknowledged = sent = 0  # Bytes, and chunks.
            while acknowledged < MESSAGES // 1000 * len(ANSWER):
                while sent < acknowledged // len(ANSWER) + 8 and sent < MESSAGES // 1000:
                    sock.sendall(msgspec.msgpack.encode([f"app.{sent % SUBJECTS}", events, {"chunk": "x"}]))
                    sent += 1
                acknowledged += len(sock.recv(1 << 16))
            elapsed, cpu = time.perf_counter() - begin, cpu_seconds(ports["pid"]) - cpu
            return MESSAGES / elapsed, cpu / MESSAGES


def remote_write(directory: Path, peer: Callable[[Path, int], "contextlib.AbstractContextManager[int]"]) -> Outcome:
    port = free_port()
    keys = f'[[remote-write]]\nname = "b"\nurl = "http://127.0.0.1:{port}"\nstream = "BENCH"\nretry-max-seconds = 0.2\n'
    keys += "batch-max-seconds = 0.1\n"
    return drained(directory, keys, number_payload, lambda: peer(directory, port))


def influx(directory: Path) -> Outcome:
    port = free_port()
    keys = f'[[influx]]\nname = "b"\nurl = "http://127.0.0.1:{port}"\nstream = "BENCH"\nretry-max-seconds = 0.2\n'
    return drained(directory, keys, number_payload, lambda: own_sink("http", port))


ROWS: dict[str, Callable[[Path], Outcome]] = {
    "fluent-out-one-tag": lambda directory: fluent_out(directory, 'tag = "edge"'),
    "fluent-out-1000-tags": fluent_out,
    "fluent-in": fluent_in,
    "remote-write": lambda directory: remote_write(directory, lambda _, port: own_sink("http", port)),
    "remote-write-prometheus": lambda directory: remote_write(directory, prometheus),
    "influx": influx,
}


def json_payload(number: int) -> bytes:
    text = b'{"n":%d,"text":"' % number
    return text + b"x" * (SIZE - len(text) - 2) + b'"}'


def number_payload(number: int) -> bytes:
    return b"%d.%d" % (number % 1000, number % 10)


def drained(
    directory: Path,
    keys: str,
    payload: Callable[[int], bytes],
    peer: Callable[[], "contextlib.AbstractContextManager[int]"],
) -> Outcome:
    """Messages a second that leave the stream once the other side is there."""
    with gateway(directory, f"[streams]\n{keys}") as ports:
        fill(ports["nats"], payload)
        give_up = time.perf_counter() + PATIENCE_SECONDS
        with peer():
            while not (begun := sent(ports)):
                assert time.perf_counter() < give_up, "nothing leaves"
                time.sleep(0.005)
            begin, cpu = time.perf_counter(), cpu_seconds(ports["pid"])
            while sent(ports) < MESSAGES:
                assert time.perf_counter() < give_up, "it takes too long"
                time.sleep(0.1)
            count, elapsed = MESSAGES - begun, time.perf_counter() - begin
            return count / elapsed, (cpu_seconds(ports["pid"]) - cpu) / count


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sent(ports: dict[str, int]) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['monitoring']}/varz") as answer:
        (status,) = json.load(answer)["integrations"]
    return int(status["sent_msgs"]) + sum(status["dropped_msgs"].values())


def fill(port: int, payload: Callable[[int], bytes]) -> None:
    """Publish it all into a stream, acknowledged."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as sock:
        file = sock.makefile("rb")
        sock.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB a 1\r\n')
        sock.sendall(b"PUB $JS.API.STREAM.CREATE.BENCH a %d\r\n%b\r\n" % (len(STREAM), STREAM.encode()))
        while not file.readline().startswith(b"MSG a "):
            pass
        file.readline()
        for begin in range(0, MESSAGES, WINDOW):
            pieces = []
            for number in range(begin, begin + WINDOW):
                body = payload(number)
                pieces.append(b"PUB plant.line.%d a %d\r\n%b\r\n" % (number % SUBJECTS, len(body), body))
            sock.sendall(b"".join(pieces))
            answers = 0
            while answers < WINDOW:
                line = file.readline()
                if line.startswith(b"MSG a "):
                    file.readline()
                    answers += 1
                elif line.startswith(b"PING"):
                    sock.sendall(b"PONG\r\n")


# Both sides.


@contextlib.contextmanager
def gateway(directory: Path, config: str, listener: str = "") -> Iterator[dict[str, int]]:
    ports_file = directory / "ports.json"
    lines = [f'ports-file = "{ports_file}"', f'data-directory = "{directory / "data"}"']
    for protocol in filter(None, ("nats", listener)):
        lines += ["[[listeners]]", f'protocol = "{protocol}"', 'address = "127.0.0.1:0"']
    lines += ["[monitoring]", 'address = "127.0.0.1:0"', config]
    file = directory / "leafgate.toml"
    file.write_text("\n".join(lines))
    with running([str(LEAFGATE), "run", "-c", str(file)], GATEWAY_CORE) as pid:
        while not ports_file.exists():
            time.sleep(0.01)
        told = json.loads(ports_file.read_text())
        ports = {one["protocol"]: int(one["address"].rpartition(":")[2]) for one in told["listeners"]}
        yield ports | {"monitoring": int(told["monitoring"].rpartition(":")[2]), "pid": pid}


@contextlib.contextmanager
def running(command: list[str], core: int) -> Iterator[int]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def own_sink(kind: str, port: int) -> "contextlib.AbstractContextManager[int]":
    return running([sys.executable, __file__, "sink", kind, str(port)], OTHER_CORE)


def prometheus(directory: Path, port: int) -> "contextlib.AbstractContextManager[int]":
    program = shutil.which("prometheus")
    assert program is not None, "prometheus is not installed (Debian: prometheus)"
    file = directory / "prometheus.yml"
    file.write_text("")
    arguments = [f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    arguments += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    return running([program, *arguments], OTHER_CORE)


def sink(kind: str, port: int) -> None:
    """Acknowledge whatever comes, without a look at it."""
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        peer, _ = listening.accept()
        with peer, contextlib.suppress(OSError):
            (fluent_answers if kind == "fluent" else http_answers)(peer)


def fluent_answers(peer: socket.socket) -> None:
    from protocols.fluent.frames import FrameReader

    reader = FrameReader(1 << 28)
    while data := peer.recv(1 << 20):
        reader.feed(data)
        while (frame := reader.next()) is not None:
            assert isinstance(frame, bytes)
            chunk = frame[frame.rfind(b"\xa5chunk\xd9\x20") + 8 :][:32]
            peer.sendall(b"\x81\xa3ack\xd9\x20" + chunk)


def http_answers(peer: socket.socket) -> None:
    held = b""
    while data := peer.recv(1 << 20):
        held += data
        head, end, rest = held.partition(b"\r\n\r\n")
        if end:
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(rest) >= size:
                held = rest[size:]
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1 << 20):
            pass


if __name__ == "__main__":
    main(sys.argv[1:])
