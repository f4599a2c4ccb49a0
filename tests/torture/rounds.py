"""Rounds: a torture goes on until its time is over, each round at a place of its own and with a seed of its own."""

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

LOG_TAIL = 3000


class Outcome(Protocol):
    """What happened in a round, or in several."""

    complaints: list[str]

    def report(self) -> str:
        """In a line."""


AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)


def parser_of(description: str) -> argparse.ArgumentParser:
    """With what every torture is asked: `minutes`, and the `seed` of the first round."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=10.0, help="default: %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the first round; default: any")
    return parser


def run_rounds(
    asked: argparse.Namespace,
    longest: float,
    prefix: str,
    torture: Callable[[Path, float, int], AnyOutcome],
    total: AnyOutcome,
    add: Callable[[AnyOutcome], None],
) -> int:
    """Have `torture` take rounds of `longest` seconds at most: directory, seconds, seed; `add` adds what came of one to
    the `total`. Prints all of it. Returns the exit status: 1 where there were complaints, whose directories stay.
    """
    end = time.monotonic() + asked.minutes * 60
    status = 0
    for seed in itertools.count(asked.seed):
        left = end - time.monotonic()
        if left <= 0:
            break
        directory = tempfile.mkdtemp(prefix=prefix)
        outcome = torture(Path(directory), min(left, longest), seed)
        print(f"seed {seed}: {outcome.report()}", flush=True)
        if outcome.complaints:
            print(*outcome.complaints, f"logs are kept in {directory}", sep="\n", file=sys.stderr, flush=True)
            status = 1
        else:
            shutil.rmtree(directory)
        add(outcome)
    print(f"all: {total.report()}")
    return status


def failures(log: str) -> list[str]:
    """A complaint where a gateway's log has a traceback."""
    _, found, rest = log.partition("Traceback")
    return [f"the gateway has failed:\n{(found + rest)[:LOG_TAIL]}"] if found else []
