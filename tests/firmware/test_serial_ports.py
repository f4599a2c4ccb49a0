"""Ports that cannot be used, each told in a sentence that says what to do."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from firmware.errors import DeviceError
from firmware.serial_ports import check_port, find_port, only_port, refusal
from tests.firmware.fake_esp32 import FakeEsp32
from tests.integration.peers import python_path
from tests.patience import PATIENCE_SECONDS

NOBODY = 65534


def complaint(port: str) -> str:
    with pytest.raises(DeviceError) as caught:
        check_port(port)
    return str(caught.value)


def test_free_port_is_taken_and_left_free():
    with FakeEsp32() as board:
        assert find_port(board.port) == board.port
        check_port(board.port)


def test_only_board_is_taken_and_none_or_several_are_told():
    assert only_port([("/dev/ttyACM0", "ESP32-S3")]) == "/dev/ttyACM0"
    with pytest.raises(DeviceError, match="no board found on any USB port; plug it in with a cable that carries data"):
        only_port([])
    with pytest.raises(DeviceError, match=r"ACM0 \(ESP32-S3\), /dev/ttyUSB0 \(CP2102\); choose one with --port"):
        only_port([("/dev/ttyACM0", "ESP32-S3"), ("/dev/ttyUSB0", "CP2102")])


def test_absent_port_is_told():
    assert "/dev/ttyUSB99 is not there; plug the board in" in complaint("/dev/ttyUSB99")


@pytest.mark.parametrize("port", ["/dev/null", "/etc/hostname"])
def test_what_is_no_serial_port_is_told(port):
    assert f"{port} is not a serial port" in complaint(port)


def test_busy_port_is_told_with_its_holder():
    with FakeEsp32() as board:
        code = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f,2); print('held',flush=True); sys.stdin.read()"
        holder = subprocess.Popen(
            [sys.executable, "-c", code, board.port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with holder:
            assert holder.stdout.readline() == "held\n"
            text = complaint(board.port)
            holder.stdin.close()
    assert f"{board.port} is in use by python" in text
    assert f"(process {holder.pid}); close that program" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
def test_port_without_permission_is_told_with_its_group():
    code = (
        "import os,sys; from firmware.serial_ports import check_port; from firmware.errors import DeviceError\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "try: check_port(sys.argv[1])\nexcept DeviceError as error: print(error)"
    )
    with FakeEsp32() as board:
        environment = os.environ | {"PYTHONPATH": python_path()}
        line = [sys.executable, "-c", code, board.port]
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=environment, check=False
        )
    assert f"no permission for {board.port}; join the group that owns it (sudo usermod -a -G " in done.stdout


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "no permission"),
        (errno.EBUSY, "in use"),
        (errno.ENXIO, "is not there"),
        (errno.EIO, "input/output error"),
    ],
)
def test_every_error_of_opening_becomes_a_sentence(number, text):
    assert text in refusal("/dev/ttyUSB9", OSError(number, os.strerror(number)))


def test_port_that_was_checked_is_not_locked_any_more():
    with FakeEsp32() as board:
        check_port(board.port)
        with open(board.port, "rb", buffering=0) as port:
            fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("port", ["socket://192.0.2.1:4000", "rfc2217://192.0.2.1:4000"])
def test_port_on_the_network_is_left_to_who_opens_it(port):
    assert find_port(port) == port
