"""A bar that tells how far long work has come, beside the output."""

import sys

from gateway.command.message_text import tell

BAR_WIDTH = 30


class ProgressBar:
    """A bar on a terminal, one line at each tenth elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stderr.isatty()
        self._shown = -1

    def __call__(self, fraction: float) -> None:
        percent = min(100, int(fraction * 100))
        step = percent if self._terminal else percent // 10 * 10
        if step == self._shown:
            return
        self._shown = step
        if self._terminal:
            filled = BAR_WIDTH * percent // 100
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            end = "\n" if percent == 100 else ""
            print(f"\r{self._what} [{bar}] {percent:3d} %", end=end, file=sys.stderr, flush=True)
        else:
            tell(f"{self._what} {step} %")
