"""Standard output and standard error, as commands have them: nothing that goes wrong there is more than a sentence."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from gateway.errors import OutputError

STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR = range(3)
EXIT_FAILURE = 1


def with_output(command: Callable[[], int]) -> int:
    """The exit status of a program that is a command: its own, or that of a failure where what it printed did not come
    out, which is told.
    """
    take_standard_streams()
    try:
        try:
            status = command()
        except SystemExit as end:  # The parser's own: help, the version, a usage that is wrong.
            status = end.code if isinstance(end.code, int) else 0
        sys.stdout.flush()
    except BrokenPipeError:
        status = EXIT_FAILURE  # Whoever read it has gone, and knows.
    except OutputError as error:
        print(f"leafgate: {error}", file=sys.stderr)
        status = EXIT_FAILURE
    sys.stderr.flush()
    return status


class Output(io.BufferedWriter):
    """Standard output. The first write that fails raises OutputError, or BrokenPipeError where whoever read it has
    gone; what is still in the buffer then is for nobody.

    What stands between the buffer and the file is none of ours: an interrupt in Python code there, behind the system
    call, would leave in the buffer what is out, and it would be written twice.
    """

    def __init__(self) -> None:
        super().__init__(io.FileIO(STANDARD_OUTPUT, "w", closefd=False))
        self._has_failed = False

    def write(self, data: Any, /) -> int:
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            raise self._failure(error) from None

    def flush(self) -> None:
        if not self._has_failed:
            try:
                super().flush()
            except OSError as error:
                raise self._failure(error) from None

    def _failure(self, error: OSError) -> Exception:
        self._has_failed = True
        if isinstance(error, BrokenPipeError):
            return error
        # It is there to be read, see `take_standard_streams`.
        text = "is closed" if error.errno == errno.EBADF else (error.strerror or str(error)).lower()
        return OutputError(f"standard output: {text}")


class Remarks(io.BufferedWriter):
    """Standard error: there is nobody who could be told that it cannot be written."""

    def __init__(self) -> None:
        super().__init__(io.FileIO(STANDARD_ERROR, "w", closefd=False))
        self._has_failed = False

    def write(self, data: Any, /) -> int:
        if not self._has_failed:
            try:
                return super().write(data)
            except OSError:
                self._has_failed = True
        return memoryview(data).nbytes

    def flush(self) -> None:
        if not self._has_failed:
            try:
                super().flush()
            except OSError:
                self._has_failed = True


def take_standard_streams() -> None:
    """Have `sys.stdout` and `sys.stderr` be the above. A stream that the shell has closed (`>&-`) is opened on nothing:
    a connection would take its number, and get what is printed.
    """
    for number in (STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, so this one. What is printed is missed, what is remarked is not.
            os.open(os.devnull, os.O_WRONLY if number == STANDARD_ERROR else os.O_RDONLY)
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    at_once = isinstance(sys.stdout, io.TextIOWrapper) and (sys.stdout.isatty() or sys.stdout.write_through)
    # A subject has every letter, a terminal may not.
    sys.stdout = io.TextIOWrapper(Output(), encoding, errors="backslashreplace", line_buffering=at_once)
    sys.stderr = io.TextIOWrapper(Remarks(), encoding, errors="backslashreplace", line_buffering=True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(STANDARD_INPUT, closefd=False)), encoding)
