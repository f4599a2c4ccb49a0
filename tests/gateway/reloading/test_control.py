"""What the control socket answers, and to whom."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from gateway.errors import ControlError
from gateway.reloading.asking import Answer, ask
from gateway.reloading.control import LONGEST_REQUEST, ControlSocket, open_local_socket
from gateway.reloading.reloader import Reloader
from gateway.settings.live import Settings
from gateway.settings.schema import Config
from tests.patience import PATIENCE_SECONDS


async def nobody_to_renew() -> None:
    """There is nobody."""


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Path]:
    file = directory / "leafgate.toml"
    file.write_text("[limits]\nmax-connections = 5")
    path = directory / "control.sock"
    reloader = Reloader(file, Settings(Config()), [], nobody_to_renew)
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlSocket(path, reloader, lambda: None).run)
        yield path
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def asked(path: Path, command: str) -> Answer:
    return await trio.to_thread.run_sync(ask, path, command)


async def test_answers_tell_file_and_changes(tmp_path: Path):
    async with serving(tmp_path) as path:
        change = "limits.max-connections: 65536 → 5"
        for command in ("check", "check", "reload"):
            answer = await asked(path, command)
            assert (answer.file, answer.changes) == (str(tmp_path / "leafgate.toml"), (change,))
        assert (await asked(path, "reload")).changes == ()
        assert (await asked(path, "stop")).reason == "unknown command 'stop'"


async def test_draining_begins_once_it_is_answered(tmp_path: Path):
    file = tmp_path / "leafgate.toml"
    file.touch()
    drained = trio.Event()
    reloader = Reloader(file, Settings(Config()), [], nobody_to_renew)
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlSocket(tmp_path / "s", reloader, drained.set).run)
        answer = await asked(tmp_path / "s", "drain")
        assert (answer.process, answer.reason) == (os.getpid(), "")
        with trio.fail_after(PATIENCE_SECONDS):
            await drained.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("words", [b"", b"\n", b"{}\n", b"[" * (LONGEST_REQUEST * 3), b'{"command": 5}\n'])
async def test_what_is_no_request_is_closed_without_an_answer(tmp_path: Path, words: bytes):
    async with serving(tmp_path) as path:
        stream = await trio.open_unix_socket(path)
        async with stream:
            try:
                await stream.send_all(words)
                await stream.send_eof()
                assert await stream.receive_some() == b""
            except trio.BrokenResourceError:
                pass  # It was closed with more unread.
        assert (await asked(path, "check")).changes


async def test_other_users_are_not_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.reloading.control.peer_user", lambda sock: 65534)
    async with serving(tmp_path) as path:
        with pytest.raises(ControlError):
            await asked(path, "reload")


def test_nobody_there_is_told_apart(tmp_path: Path):
    path = tmp_path / "control.sock"
    with pytest.raises(ControlError) as caught:
        ask(path, "check")
    assert caught.value.is_missing
    open_local_socket(path).close()
    with pytest.raises(ControlError) as caught:
        ask(path, "check")
    assert caught.value.is_missing


def test_socket_that_was_left_behind_makes_way_and_one_that_is_used_does_not(tmp_path: Path):
    path = tmp_path / "control.sock"
    open_local_socket(path).close()
    with open_local_socket(path), pytest.raises(OSError, match="another gateway listens there"):
        open_local_socket(path)


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path):
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match="something else is there"):
        open_local_socket(path)
    assert path.read_text() == "mine"


def test_long_paths_do(tmp_path: Path):
    path = tmp_path / ("x" * 120) / "control.sock"
    path.parent.mkdir()
    with open_local_socket(path) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert path.is_socket()
