"""A board at its prompt: a real MicroPython on a pseudo terminal, its file system in a file."""

import contextlib
import os
import select
import subprocess
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.firmware.micropython_board import micropython
from tests.patience import PATIENCE_SECONDS

START = Path(__file__).parent / "micropython" / "repl_start.py"
POLL_SECONDS = 0.05


@contextlib.contextmanager
def board_at_prompt(
    image: Path, *, running: bool = False, lost: Callable[[bytes], bool] = lambda data: False
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The port to open, and the process; what is written to the file system is in `image`. With `running` it runs
    main.py, until that is interrupted. `lost` says of what is on its way to the board whether the cable swallows it.
    """
    # Two terminals and a pump between them: MicroPython holds one end of the first, the test opens that of the second.
    board, inside = os.openpty()
    cable, outside = os.openpty()
    tty.setraw(inside)
    tty.setraw(outside)
    _let_interrupt(inside)
    port = os.ttyname(outside)
    line = [micropython(), "-X", "heapsize=512k", "-i", str(START), str(image)]
    ending = threading.Event()
    if running:
        line.append("main.py")
    process = subprocess.Popen(line, stdin=inside, stdout=inside, stderr=inside, start_new_session=True)
    os.close(inside)
    pump = threading.Thread(target=_pump, args=(board, cable, ending, lost), daemon=True)
    pump.start()
    try:
        yield port, process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        ending.set()
        pump.join(10)
        for descriptor in (board, cable, outside):
            os.close(descriptor)


def _let_interrupt(terminal: int) -> None:
    """Ctrl-C is a signal for what runs, as MicroPython has it on a board."""
    settings = termios.tcgetattr(terminal)
    settings[3] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, settings)


def _pump(board: int, cable: int, ending: threading.Event, lost: Callable[[bytes], bool]) -> None:
    opposite = {board: cable, cable: board}
    while not ending.is_set():
        for readable in select.select([board, cable], [], [], POLL_SECONDS)[0]:
            try:
                data = os.read(readable, 4096)
            except OSError:  # the process has ended
                return
            if readable == cable and lost(data):
                continue
            while data:
                data = data[os.write(opposite[readable], data) :]
