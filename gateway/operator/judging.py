"""Judging: which resources make a configuration that the gateway takes. It is asked itself, by reading what is made of
them from a folder as it would in its pod.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.doors.securing import check_tls
from gateway.errors import ConfigError
from gateway.operator.objects import Resource
from gateway.operator.rendering import FILE, FOLDER, Fragment, configuration_text, joined
from gateway.settings.schema import load_config

# Where a sentence begins with the table that it is about, which is known.
INDEX_END = "]."


class Judgement(NamedTuple):
    """What holds together, and what was left out, each with a sentence."""

    whole: Fragment
    accepted: list[Resource]
    refused: list[tuple[Resource, str]]


class RefusedError(ConfigError):
    """The Gateway's own part is wrong."""


def judge(own: Fragment, parts: Sequence[tuple[Resource, Fragment]]) -> Judgement:
    """Blocks for the disk. Raises RefusedError."""
    everything = joined([own, *(fragment for _, fragment in parts)])
    if not fault_in(everything):
        return Judgement(everything, [part for part, _ in parts], [])
    fault = fault_in(own)
    if fault:
        raise RefusedError(fault)
    return _one_by_one(own, parts)


def _one_by_one(own: Fragment, parts: Sequence[tuple[Resource, Fragment]]) -> Judgement:
    """One that names another may come before it; so those that were refused are tried again behind the others."""
    accepted: list[Resource] = []
    waiting = list(parts)
    refused: list[tuple[Resource, str]] = []
    goes_on = True
    while goes_on:
        goes_on, again, refused = False, [], []
        for part, fragment in waiting:
            larger = joined([own, fragment])
            fault = fault_in(larger)
            if fault:
                again.append((part, fragment))
                refused.append((part, fault.partition(INDEX_END)[2] or fault))
            else:
                own, goes_on = larger, True
                accepted.append(part)
        waiting = again
        goes_on = goes_on and bool(waiting)
    return Judgement(own, accepted, refused)


def fault_in(fragment: Fragment) -> str:
    """What the gateway says of a configuration; "" where it takes it. Blocks for the disk."""
    with tempfile.TemporaryDirectory(prefix="leafgate-") as place:
        folder = Path(place)
        for name, value in fragment.files.items():
            write(folder / name, value)
        file = folder / FILE
        write(file, configuration_text(fragment).replace(FOLDER, place).encode())
        try:
            config = load_config(file)
            if config.speaks_tls:
                check_tls(config)
        except ConfigError as error:
            return str(error).removeprefix(f"{file}: ").replace(f"{place}/", "")
    return ""


def write(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)
