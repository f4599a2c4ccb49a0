"""Control: the local socket on which `leafgate reload`, `check` and `drain` speak with the running gateway.

One request a connection, a JSON object on one line, and one answer of that form. The socket is its owner's alone, and
root's.
"""

import errno
import logging
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from gateway.reloading.asking import Answer, Request, local_address
from gateway.reloading.reloader import Outcome, Reloader
from protocols import foreign_json

log = logging.getLogger("leafgate")

LONGEST_REQUEST = 1024
REQUEST_SECONDS = 5.0
MAX_CONNECTIONS = 8
BACKLOG = 8
CREDENTIALS = struct.Struct("3i")


class ControlSocket:
    """Listens at a path, and has a reloader do what is asked there; `drain` begins to send clients away."""

    def __init__(self, path: Path, reloader: Reloader, drain: Callable[[], None]) -> None:
        self._path = path
        self._reloader = reloader
        self._drain = drain
        self._places = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once it listens. Where there can be no such socket that is told, and the
        gateway goes on without it.
        """
        try:
            sock = await trio.to_thread.run_sync(open_local_socket, self._path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            log.warning("event=no-control-socket path=%r reason=%r", str(self._path), reason)
            task_status.started()
            return
        task_status.started()
        try:
            with trio.socket.from_stdlib_socket(sock) as listener:
                async with trio.open_nursery() as nursery:
                    while True:
                        await self._places.acquire_on_behalf_of(place := object())
                        try:
                            peer, _ = await listener.accept()
                        except OSError:
                            self._places.release_on_behalf_of(place)
                            await trio.sleep(1)
                            continue
                        nursery.start_soon(self._serve, trio.SocketStream(peer), place)
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, stream: trio.SocketStream, place: object) -> None:
        try:
            async with stream:
                if peer_user(stream.socket) not in (0, os.geteuid()):
                    return
                request = None
                with trio.move_on_after(REQUEST_SECONDS):
                    request = await read_request(stream)
                if request is not None:
                    answer = await self._answer(request)
                    with trio.move_on_after(REQUEST_SECONDS):
                        await stream.send_all(msgspec.json.encode(answer) + b"\n")
                    if request.command == "drain":  # Which ends this task as well.
                        self._drain()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # Whoever asked has gone.
        finally:
            self._places.release_on_behalf_of(place)

    async def _answer(self, request: Request) -> Answer:
        reloader = self._reloader
        if request.command == "reload":
            outcome = await reloader.reload()
        elif request.command == "check":
            outcome = await reloader.foretell()
        elif request.command == "drain":
            outcome = Outcome()
        else:
            outcome = Outcome(reason=f"unknown command {request.command!r}")
        file = str(reloader.path) if reloader.path is not None else ""
        return Answer(file, os.getpid(), tuple(map(str, outcome.changes)), outcome.reason, outcome.is_fault)


async def read_request(stream: trio.SocketStream) -> Request | None:
    """What is asked; None where it is no request."""
    received = b""
    while not received.endswith(b"\n") and len(received) < LONGEST_REQUEST:
        data = await stream.receive_some(LONGEST_REQUEST)
        if not data:
            break
        received += data
    try:
        return foreign_json.decode(received, Request)
    except msgspec.MsgspecError:
        return None


def open_local_socket(path: Path) -> socket.socket:
    """A listening local socket for this user alone. One that a gateway left behind makes way. Raises OSError."""
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "something else is there")
        if _is_answered(path):
            raise OSError(errno.EADDRINUSE, "another gateway listens there")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    try:
        with local_address(path) as address:
            sock.bind(address)
        # Nobody can connect before it listens.
        path.chmod(0o600)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        try:
            with local_address(path) as address:
                sock.connect(address)
        except OSError:
            return False
        return True


def peer_user(sock: trio.socket.SocketType) -> int:
    """The user id of the process at the other end."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    user: int = CREDENTIALS.unpack(found)[1]
    return user
