"""Asking: what a command says to the running gateway on its control socket, and what it hears. It needs no event loop,
so that commands are quick.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.errors import ControlError
from protocols import foreign_json

LONGEST_ANSWER = 1 << 24
# A reload opens sockets and loads certificates.
ANSWER_SECONDS = 60.0
# What fits into the address of a local socket on every system.
LONGEST_PATH = 100


class Request(msgspec.Struct, frozen=True):
    """`command` is reload, check or drain."""

    command: str


class Answer(msgspec.Struct, frozen=True):
    """`file` is the configuration of the gateway that answers, `process` its process; `reason` says why it would not
    have it, or did not.
    """

    file: str = ""
    process: int = 0
    changes: tuple[str, ...] = ()
    reason: str = ""
    is_fault: bool = False


def ask(path: Path, command: str) -> Answer:
    """What the gateway at a path answers. Raises ControlError, with `is_missing` where nobody is there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_SECONDS)
        try:
            with local_address(path) as address:
                sock.connect(address)
            sock.sendall(msgspec.json.encode(Request(command)) + b"\n")
            received = b""
            while not received.endswith(b"\n") and len(received) < LONGEST_ANSWER:
                data = sock.recv(1 << 16)
                if not data:
                    break
                received += data
            return foreign_json.decode(received, Answer)
        except (FileNotFoundError, ConnectionRefusedError):
            raise ControlError(f"no gateway answers at {path}", is_missing=True) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ControlError(f"the gateway at {path} cannot be asked: {reason}") from None
        except msgspec.MsgspecError:
            raise ControlError(f"the gateway at {path} gave no answer; see its log") from None


@contextmanager
def local_address(path: Path) -> Iterator[str]:
    """The address of a path: one that is too long goes by way of its directory's descriptor. Raises OSError."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
