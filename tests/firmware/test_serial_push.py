"""Files over the cable: the real mpremote, a real MicroPython at its prompt, LittleFS in a file."""

import pytest

from firmware.console import Console
from firmware.device_files import DeviceSettings, first_files, release_files
from firmware.errors import DeviceError
from firmware.filesystem_image import build_image
from firmware.release import Release, ReleaseKey
from firmware.serial_push import push_files
from tests.firmware.fake_esp32 import FakeEsp32
from tests.firmware.micropython_board import require_esptool
from tests.firmware.prompt_board import board_at_prompt
from tests.patience import PATIENCE_SECONDS

KIBIBYTE = 1024


def read_image(path, name: str) -> bytes:
    from littlefs import LittleFS

    content = bytearray(path.read_bytes())
    filesystem = LittleFS(block_size=4096, block_count=len(content) // 4096, mount=False)
    filesystem.context.buffer = content
    filesystem.mount()
    with filesystem.open(name, "rb") as file:
        return file.read()


def test_files_land_in_the_slot_that_runs_and_the_board_restarts(tmp_path):
    require_esptool()
    settings = DeviceSettings("pump", ("nats://192.0.2.1:4222",))
    files = first_files(settings, Release("pump", 1, release_files(), ReleaseKey(bytes(32)))) | {"/slot": b"b a 1\n"}
    image = tmp_path / "image"
    image.write_bytes(build_image(files | {"/b/x": b"", "/b/lib/deep/module.mpy": b"M"}, 512 * KIBIBYTE))
    pushed = {"application.py": b"print('new')\n" * 200, "lib/deep/module.py": b"x = 1\n"}
    with board_at_prompt(image) as (port, process):
        assert push_files(port, pushed) == "b"
        assert process.wait(PATIENCE_SECONDS) == 42
    assert {name: read_image(image, f"/b/{name}") for name in pushed} == pushed
    # MicroPython would take one of two forms of a module, and not the one that was pushed last.
    with pytest.raises(FileNotFoundError):
        read_image(image, "/b/lib/deep/module.mpy")


@pytest.mark.parametrize("bytes_lost", [b"\x05A\x01", b"f=open("], ids=["asking", "telling"])
def test_what_the_cable_loses_once_is_done_again(tmp_path, monkeypatch, bytes_lost):
    """Of two losses mpremote hears nothing more, or that something is wrong."""
    require_esptool()
    monkeypatch.setattr("firmware.serial_push.COPY_SECONDS", 15)
    settings = DeviceSettings("pump", ("nats://192.0.2.1:4222",))
    files = first_files(settings, Release("pump", 1, release_files(), ReleaseKey(bytes(32)))) | {"/slot": b"b a 1\n"}
    image = tmp_path / "image"
    image.write_bytes(build_image(files | {"/b/x": b""}, 512 * KIBIBYTE))
    lost: list[bytes] = []
    asked: list[bytes] = []

    def loses(data: bytes) -> bool:
        """Once, and not of the first command, which finds out what board this is."""
        asked.extend([data] if b"\x05A\x01" in data else [])
        if lost or len(asked) < 2 or bytes_lost not in data:
            return False
        lost.append(data)
        return True

    with board_at_prompt(image, lost=loses) as (port, process):
        assert push_files(port, {"application.py": b"print('new')\n"}) == "b"
        assert process.wait(PATIENCE_SECONDS) == 42
    assert lost
    assert read_image(image, "/b/application.py") == b"print('new')\n"


def test_board_that_runs_is_interrupted(tmp_path):
    require_esptool()
    settings = DeviceSettings("pump", ("nats://127.0.0.1:1",))
    files = first_files(settings, Release("pump", 1, release_files(), ReleaseKey(bytes(32))))
    image = tmp_path / "image"
    image.write_bytes(build_image(files, 512 * KIBIBYTE))
    with board_at_prompt(image, running=True) as (port, process):
        console = Console(port)
        told: list[str] = []
        while not any("cannot connect to nats://127.0.0.1:1" in line for line in told):
            told += console.read_lines()
        console.close()
        assert push_files(port, {"application.py": b"new"}) == "a"
        assert process.wait(PATIENCE_SECONDS) == 42
    assert read_image(image, "/a/application.py") == b"new"


def test_board_that_does_not_answer_is_told():
    require_esptool()
    with FakeEsp32() as silent, pytest.raises(DeviceError, match="no MicroPython answers; press the board's RESET"):
        push_files(silent.port, {"application.py": b""}, answer_seconds=1)


def test_board_without_our_files_is_told(tmp_path):
    require_esptool()
    image = tmp_path / "image"
    image.write_bytes(build_image({}, 512 * KIBIBYTE))
    with board_at_prompt(image) as (port, _), pytest.raises(DeviceError, match="leafgate device flash"):
        push_files(port, {"application.py": b""})
