"""Standard output that is full, closed or of another alphabet: a sentence, or none where nothing is missed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gateway
from tests.integration.peers import wait_until

# `-m` looks into the current directory first: this one holds the gateway that the tests import.
HOME = Path(gateway.__file__).parents[1]
FULL = "leafgate: standard output: no space left on device\n"
CLOSED = "leafgate: standard output: is closed\n"
SECONDS = 60


def leafgate(*words: str, shell: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command, with what a shell would do to its streams."""
    command = ["sh", "-c", f'exec "$0" -m gateway "$@" {shell}', sys.executable, *words]
    return subprocess.run(
        command,
        cwd=HOME,
        env={"PATH": "/usr/bin:/bin"} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    file = tmp_path / "edge.toml"
    file.write_text("name = 'edge-1'\n")
    return str(file)


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    file = tmp_path / "nats.conf"
    file.write_text('listen: "127.0.0.1:4222"\n')
    return str(file)


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("--help",),
        ("pub", "--help"),
        # More than buffers hold, so that it fails in the middle.
        ("completion", "zsh"),
        ("nkey",),
        ("check", "-c", "{configuration}"),
        ("import", "{foreign}"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("shell", "complaint"), [(">/dev/full", FULL), (">&-", CLOSED)])
def test_what_cannot_be_printed_is_told_in_a_sentence(
    words: tuple[str, ...], shell: str, complaint: str, configuration: str, foreign: str
) -> None:
    done = leafgate(*(word.format(configuration=configuration, foreign=foreign) for word in words), shell=shell)
    assert (done.returncode, done.stderr) == (1, complaint)


def test_nothing_is_missed_where_nothing_is_printed(configuration: str) -> None:
    done = leafgate("check", "-c", f"{configuration}.not", shell=">&-")
    assert done.returncode == 2
    assert CLOSED not in done.stderr


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full"])
def test_complaint_that_nobody_can_read_changes_nothing(configuration: str, shell: str) -> None:
    done = leafgate("check", "-c", f"{configuration}.not", shell=shell)
    assert (done.returncode, done.stdout) == (2, "")
    done = leafgate("check", "-c", configuration, shell=shell)
    assert (done.returncode, done.stdout) == (0, f"{configuration}: is right\n")


def test_closed_input_is_an_empty_one() -> None:
    done = leafgate("passwd", "--stdin", shell="<&-")
    assert (done.returncode, done.stderr) == (1, "leafgate: an empty password would let everybody in\n")


def test_what_the_terminal_has_no_letters_for_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "größe.toml"
    file.write_text("")
    done = leafgate("check", "-c", str(file), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe.toml: is right" in done.stdout


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def broken_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("output", [full, broken_pipe])
def test_gateway_runs_although_nobody_hears_where_it_listens(tmp_path: Path, output: Callable[[], int]) -> None:
    file, ports = tmp_path / "edge.toml", tmp_path / "ports.json"
    listener = "[[listeners]]\nprotocol = 'nats'\naddress = '127.0.0.1:0'\n[monitoring]\naddress = ''\n"
    file.write_text(f"ports-file = '{ports}'\n{listener}")
    stdout = output()
    command = [sys.executable, "-m", "gateway", "run", "-c", str(file)]
    with subprocess.Popen(command, cwd=HOME, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        os.close(stdout)
        try:
            wait_until(lambda: ports.exists() or process.poll() is not None, "the ports")
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "event=started" in log
    assert "Traceback" not in log


INTERRUPTED = """
import sys

from gateway.command.output import take_standard_streams

take_standard_streams()
countdown = int(sys.argv[1])


def interrupt(frame, event, argument):
    global countdown
    if event == "c_return" and frame.f_code.co_filename.endswith("output.py"):
        countdown -= 1
        if not countdown:
            raise KeyboardInterrupt


stream = getattr(sys, sys.argv[2])
sys.setprofile(interrupt)
try:
    print("once", file=stream, flush=True)
except KeyboardInterrupt:
    pass
sys.setprofile(None)
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_is_interrupted_is_printed_once(stream: str, place: int) -> None:
    """Behind each call into C, where Python hears signals."""
    command = [sys.executable, "-c", INTERRUPTED, str(place), stream]
    done = subprocess.run(command, cwd=HOME, capture_output=True, timeout=SECONDS, check=True)
    assert done.stdout + done.stderr == b"once\n"
