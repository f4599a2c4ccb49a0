"""The client protocol byte by byte: the gateway and a real nats-server must both follow each script.

The scripts are in tests/vectors/nats_transcripts.toml, which tells their form.
"""

import itertools
import json
import socket
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import Peer, gateway, nats_server
from tests.patience import PATIENCE_SECONDS

VECTORS = tomllib.loads((Path(__file__).parents[1] / "vectors" / "nats_transcripts.toml").read_text())
SCRIPTS = {script["name"]: script for script in VECTORS["scripts"]}
# How long to look for more once what came is wrong already, to show it in the failure.
LOOK_SECONDS = 0.2
PONG = b"PONG\r\n"


class Servers:
    """Starts each server the first time a script asks for it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._running: dict[tuple[str, str], Peer] = {}

    def get(self, kind: str, variant: str) -> Peer:
        """A `gateway` or `nats-server` with the settings that the vectors list for a variant."""
        peer = self._running.get((kind, variant))
        if peer is None:
            directory = self._directory / f"{kind}-{variant}"
            config = VECTORS["servers"][variant][kind]
            server = gateway(directory, config=config) if kind == "gateway" else nats_server(directory, config)
            peer = self._running[kind, variant] = self._stack.enter_context(server)
        return peer


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("transcripts"), stack)


class Client:
    """One raw connection of a script."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self._received = b""
        self.ended = False
        self.info: dict[str, Any] = {}

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def expect(self, expected: bytes) -> None:
        try:
            while len(self._received) < len(expected):
                self._read()
        except (EOFError, TimeoutError) as error:
            pytest.fail(f"{self._received!r} and then {error!r}, not {expected!r}")
        if not self._received.startswith(expected):
            self._look()
        assert self._received[: len(expected)] == expected, f"all that came: {self._received!r}"
        self._received = self._received[len(expected) :]

    def expect_any(self, choices: Sequence[bytes]) -> None:
        """One of several byte strings of the same length."""
        while len(self._received) < len(choices[0]):
            self._read()
        found = next((choice for choice in choices if self._received.startswith(choice)), None)
        assert found is not None, f"all that came: {self._received!r}"
        self._received = self._received[len(found) :]

    def expect_info(self, **fields: object) -> None:
        """An INFO whose fields have these values; None stands for an absent one."""
        line = self._line()
        assert line.startswith(b"INFO {")
        assert line.endswith(b"} \r\n")
        info = self.info = json.loads(line[5:])
        assert {name: info.get(name) for name in fields} == fields

    def expect_end(self) -> None:
        """Nothing more comes but the end of the stream."""
        try:
            while True:
                self._read()
        except EOFError:
            self.ended = True
        except TimeoutError:
            pytest.fail(f"still open, after {self._received!r}")
        assert self._received == b""

    def expect_quiet(self) -> None:
        """Nothing has come that the script does not tell."""
        self.send(b"PING\r\n")
        self.expect(PONG)

    def close(self) -> None:
        self._socket.close()

    def _line(self) -> bytes:
        while b"\r\n" not in self._received:
            self._read()
        line, _, self._received = self._received.partition(b"\r\n")
        return line + b"\r\n"

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self._received += data

    def _look(self) -> None:
        self._socket.settimeout(LOOK_SECONDS)
        try:
            while True:
                self._read()
        except (EOFError, TimeoutError):
            pass


def play(connect: Callable[[], Client], steps: Sequence[Sequence[Any]], **info: object) -> None:
    """Every step is [client, verb, arguments …]; a client connects with its first step. `info` is said in its INFO."""
    clients: dict[str, Client] = {}
    try:
        for number, (name, verb, *arguments) in enumerate(steps):
            try:
                client = clients.get(name)
                if client is None:
                    client = clients[name] = connect()
                    client.expect_info(proto=1, headers=True, connect_info=None, **info)
                act(client, verb, arguments)
            except BaseException as error:
                error.add_note(f"in step {number + 1}: {name} {verb} {str(arguments)[:300]}")
                raise
        for client in clients.values():
            if not client.ended:
                client.expect_quiet()
    finally:
        for client in clients.values():
            client.close()


def act(client: Client, verb: str, arguments: Sequence[Any]) -> None:
    if verb == "connects":
        client.send(b"CONNECT %b\r\n" % json.dumps(arguments[0]).encode())
    elif verb == "sends":
        client.send(wire(arguments))
    elif verb == "gets":
        client.expect(wire(arguments))
    elif verb == "meets":
        asked, nonce = client.info.get("auth_required", False), client.info.get("nonce", "")
        assert {"auth_required": asked, "nonce": len(nonce) == 15} == arguments[0]
    elif verb == "gets-info":
        client.expect_info(**arguments[0])
    elif verb == "gets-any":
        client.expect_any([text.encode() for text in arguments])
    elif verb == "gets-all":
        client.expect_any([b"".join(order) for order in itertools.permutations(text.encode() for text in arguments)])
    elif verb == "waits":
        time.sleep(arguments[0])
    elif verb == "ends":
        client.expect_end()
    else:
        raise AssertionError(f"{verb!r} is no verb")


def wire(parts: Sequence[Any]) -> bytes:
    return b"".join(map(piece, parts))


def piece(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode()
    return bytes.fromhex(part["hex"]) if "hex" in part else part["repeat"].encode() * part["times"]


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("kind", ["gateway", "nats-server"])
def test_transcript(servers: Servers, kind: str, name: str) -> None:
    script = SCRIPTS[name]
    peer = servers.get(kind, script.get("server", "plain"))
    play(lambda: Client(peer.address("nats")), script["steps"])
