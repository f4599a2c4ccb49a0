"""The parser of options that all commands are made of: argparse's, without what it does to no avail for each option."""

import argparse
import os
import sys

COLUMNS_ELSEWHERE = 80
MARGIN = 2


class QuickParser(argparse.ArgumentParser):
    """argparse asks anew how wide the terminal is whenever an option is added, by a module of compressed archives."""

    def _get_formatter(self) -> argparse.HelpFormatter:
        return self.formatter_class(prog=self.prog, width=_WIDTH)  # type: ignore[call-arg]


def _columns() -> int:
    """What $COLUMNS says, else what the terminal has."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or COLUMNS_ELSEWHERE  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return COLUMNS_ELSEWHERE


_WIDTH = _columns() - MARGIN
