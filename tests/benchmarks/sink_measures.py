"""The measurements of sinks for events and numbers: what leaves a stream once the other side is there; and events that
come. The other side is on the load's core, so it takes from that what it needs.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from kafka_measures import configure, timed
from load_stored import STREAM, SUBJECTS, make_stream
from machine import UnsupportedError
from measures import Effort, Outcome, Site
from server_process import Address, free_port

_MOST_MESSAGES = 300_000
_WINDOW, _CHUNK, _CHUNKS_AHEAD = 2000, 1000, 8
_SIZE = 128
_PATIENCE_SECONDS = 120.0
_ANSWER = b"\x81\xa3ack\xa1x"
_COMMON = 'name = "bench"\nstream = "{stream}"\nretry-max-seconds = 0.2\nbatch-max-seconds = 0.1\n'
_FLUENT = '\n[[fluent]]\nurls = ["tcp://127.0.0.1:{port}"]\n' + _COMMON
_NUMBERS = '\n[[{kind}]]\nurl = "http://127.0.0.1:{port}"\n' + _COMMON
_LISTENER = '\n[[listeners]]\nprotocol = "fluent"\naddress = "127.0.0.1:{port}"\n'


def fluent_out(site: Site, effort: Effort) -> Outcome:
    """Events a second that are acknowledged, with one tag; CPU for each."""
    return _out(site, effort, _FLUENT + 'tag = "edge"\n', "fluent", _json)


def fluent_out_of_many(site: Site, effort: Effort) -> Outcome:
    """The same with a tag for each subject."""
    return _out(site, effort, _FLUENT, "fluent", _json)


def remote_write(site: Site, effort: Effort) -> Outcome:
    """Samples a second that are taken; CPU for each."""
    return _out(site, effort, _NUMBERS.replace("{kind}", "remote-write"), "http", _number)


def remote_write_to_prometheus(site: Site, effort: Effort) -> Outcome:
    """The same by a real Prometheus."""
    return _out(site, effort, _NUMBERS.replace("{kind}", "remote-write"), "prometheus", _number)


def influx(site: Site, effort: Effort) -> Outcome:
    """Points a second that are taken; CPU for each."""
    return _out(site, effort, _NUMBERS.replace("{kind}", "influx"), "http", _number)


def fluent_in(site: Site, effort: Effort) -> Outcome:
    """Events a second that are acknowledged, eight chunks of them on their way, and heard; CPU for each."""
    server, port = site.server, free_port()
    configure(server, _LISTENER.format(port=port))
    count = min(effort.stored_messages, _MOST_MESSAGES) // _CHUNK
    events = b"".join(msgspec.msgpack.encode([1_700_000_000, {"n": n, "text": "x" * 90}]) for n in range(_CHUNK))
    with socket.create_connection(server.addresses["nats"]) as ear, _connected(port) as sock:
        ear.sendall(b"CONNECT {}\r\nSUB > 1\r\n")
        threading.Thread(target=_swallow, args=(ear,), daemon=True).start()
        begin, cpu = time.perf_counter(), server.cpu_seconds()
        sent = answered = 0
        while answered < count * len(_ANSWER):
            while sent < min(answered // len(_ANSWER) + _CHUNKS_AHEAD, count):
                sock.sendall(msgspec.msgpack.encode([SUBJECTS[sent % len(SUBJECTS)], events, {"chunk": "x"}]))
                sent += 1
            answered += len(sock.recv(1 << 16))
        elapsed, cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    return Outcome({"rate": count * _CHUNK / elapsed, "cpu": cpu / (count * _CHUNK) * 1e6})


def _json(number: int) -> bytes:
    text = b'{"n":%d,"text":"' % number
    return text + b"x" * (_SIZE - len(text) - 2) + b'"}'


def _number(number: int) -> bytes:
    return b"%d.%d" % (number % 1000, number % 10)


def _out(site: Site, effort: Effort, table: str, far: str, payload: Callable[[int], bytes]) -> Outcome:
    server, port = site.server, free_port()
    make_stream(server.addresses["nats"])
    count = min(effort.stored_messages, _MOST_MESSAGES) // _WINDOW * _WINDOW or _WINDOW
    _fill(server.addresses["nats"], count, payload)
    with _far(far, port):
        configure(server, table.format(port=port, stream=STREAM))
        return timed(server, "sent_msgs", count)


def _fill(address: Address, count: int, payload: Callable[[int], bytes]) -> None:
    """Publish so many messages into the stream, acknowledged."""
    with socket.create_connection(address, timeout=_PATIENCE_SECONDS) as sock:
        answers = sock.makefile("rb")
        sock.sendall(b'CONNECT {"verbose":false}\r\nSUB a 1\r\n')
        for begin in range(0, count, _WINDOW):
            pieces = []
            for number in range(begin, begin + _WINDOW):
                body = payload(number)
                pieces.append(b"PUB %b a %d\r\n%b\r\n" % (SUBJECTS[number % len(SUBJECTS)].encode(), len(body), body))
            sock.sendall(b"".join(pieces))
            left = _WINDOW
            while left:
                line = answers.readline()
                if line.startswith(b"MSG a "):
                    answers.readline()
                    left -= 1
                elif line.startswith(b"PING"):
                    sock.sendall(b"PONG\r\n")


@contextlib.contextmanager
def _far(kind: str, port: int) -> Iterator[None]:
    """The other side. Where there is no Prometheus, the row is left out."""
    with tempfile.TemporaryDirectory(prefix="leafgate-bench-sink-") as directory:
        command = [sys.executable, str(Path(__file__).with_name("sink_far.py")), kind, str(port)]
        if kind == "prometheus":
            program = shutil.which("prometheus")
            if program is None:
                raise UnsupportedError("prometheus is not installed (Debian: prometheus)")
            file = Path(directory) / "prometheus.yml"
            file.write_text("")
            command = [program, f"--config.file={file}", f"--storage.tsdb.path={directory}/tsdb"]
            command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _connected(port).close()
                yield
            finally:
                process.terminate()


def _connected(port: int) -> socket.socket:
    """A connection, once somebody listens."""
    give_up = time.perf_counter() + _PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
        except OSError:
            if time.perf_counter() > give_up:
                raise
            time.sleep(0.02)


def _swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1 << 20):
            pass
