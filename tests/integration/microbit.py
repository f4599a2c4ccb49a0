"""A BBC micro:bit in QEMU: Debian's MicroPython 1.9.2 with 9 KB of heap, its REPL on the only UART.

Its ring takes 63 bytes, and nothing paces what the emulator feeds it: a burst loses bytes.
"""

import ast
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.peers import STOP_SECONDS, free_port, missing_peer, wait_until
from tests.patience import PATIENCE_SECONDS

QEMU = "qemu-system-arm"
FIRMWARE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
PROMPT = b">>> "
PASTE_PROMPT = b"\r\n=== "
# Half of the ring: the board echoes as much before it gets more.
PIECE = 32


class Shortener(ast.NodeTransformer):
    """What a cross compiler would do: puts the values of `_X = const(...)` in, and spares names that nobody sees."""

    LETTERS = "abcdefghijklmnopqrstuvwxyz"

    def __init__(self) -> None:
        self.constants: dict[str, int] = {}
        self._private: dict[str, str] = {}
        self._local: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.constants:
            return ast.Constant(self.constants[node.id])
        node.id = self._shorten(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        node.attr = self._shorten_private(node.attr)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        names = [
            inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
        ]
        for name in (*(one.arg for one in node.args.args), *names):
            if name != "self":
                self._local.setdefault(name, self.LETTERS[len(self._local)])
        for argument in node.args.args:
            argument.arg = self._shorten(argument.arg)
        self.generic_visit(node)
        self._local.clear()
        node.name = self._shorten_private(node.name)
        if ast.get_docstring(node) is not None:
            del node.body[0]
        return node

    def _shorten(self, name: str) -> str:
        return self._local.get(name) or self._shorten_private(name)

    def _shorten_private(self, name: str) -> str:
        if not name.startswith("_") or name.startswith("__"):
            return name
        count = len(self._private)
        return self._private.setdefault(name, self.LETTERS[count % 26].upper() + "_" * (count // 26))


def pieces(source: str) -> Iterator[str]:
    """A module as statements that a compiler with little memory takes one by one: a class method by method."""
    shortener = Shortener()
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Call(func=ast.Name("const"), args=[value])):
                shortener.constants[name] = ast.literal_eval(value)
            case ast.ClassDef(name, body=methods):
                yield f"class {name}: pass"
                for method in methods:
                    assert isinstance(method, ast.FunctionDef)
                    shortener.visit(method)
                    short, method.name = method.name, "f"
                    yield f"{text(method)}\n{name}.{short} = f"
            case ast.Expr(ast.Constant()):
                pass
            case _:
                yield text(shortener.visit(node))


def text(node: ast.stmt) -> str:
    lines = ast.unparse(ast.fix_missing_locations(node)).splitlines()
    return "\n".join(" " * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in lines)


class Microbit:
    """The board; `port` is the UART's as a TCP port, which one peer at a time may have."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._console = socket.socket()
        self._heard = b""

    def attach(self) -> None:
        """Take the UART; comes back once the board's prompt is there."""
        wait_until(lambda: self._console.connect_ex(("127.0.0.1", self.port)) == 0, f"start of {QEMU}")
        self._console.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._console.settimeout(PATIENCE_SECONDS)
        self._console.sendall(b"\x02")
        self._until(PROMPT)

    def detach(self) -> None:
        self._console.close()

    def load(self, *files: Path) -> None:
        """Run modules at the prompt; line numbers and garbage would cost the room that the compiler needs."""
        self.paste("import gc, micropython\nmicropython.opt_level(3)")
        for file in files:
            for piece in pieces(file.read_text()):
                self.paste(piece)
                self.paste("gc.collect()")

    def paste(self, source: str, output: str = "") -> None:
        """Run a statement, which must print `output` and raise nothing."""
        self.enter(source)
        told = self._until(PROMPT).decode(errors="replace").strip()
        if told != output:
            pytest.fail(f"the micro:bit says to\n{source}\n{told}")

    def enter(self, source: str) -> None:
        """Start a statement without waiting for its end."""
        self._console.sendall(b"\x05")
        self._until(PASTE_PROMPT)
        for line in source.splitlines():
            for at in range(0, len(line), PIECE):
                part = line[at : at + PIECE].encode()
                self._console.sendall(part)
                self._until(part)
            self._console.sendall(b"\r")
            self._until(PASTE_PROMPT)
        self._console.sendall(b"\x04")
        self._until(b"\r\n")

    def _until(self, mark: bytes) -> bytes:
        """What the board says up to the mark."""
        while mark not in self._heard:
            try:
                data = self._console.recv(4096)
            except TimeoutError:
                data = b""
            if not data:
                pytest.fail(f"the micro:bit says {self._heard!r} and not {mark!r}")
            self._heard += data
        before, _, self._heard = self._heard.partition(mark)
        return before


@contextmanager
def microbit() -> Iterator[Microbit]:
    """The board, at its prompt."""
    program = shutil.which(QEMU)
    if program is None or not FIRMWARE.exists():
        missing_peer(f"{QEMU} or the firmware is not installed (Debian: {QEMU}, firmware-microbit-micropython)")
    assert program is not None
    port = free_port()
    board = ["-M", "microbit", "-device", f"loader,file={FIRMWARE}", "-nographic", "-monitor", "none"]
    serial = ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on"]
    process = subprocess.Popen([program, *board, *serial], stdin=subprocess.DEVNULL)
    try:
        machine = Microbit(port)
        machine.attach()
        yield machine
        machine.detach()
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
