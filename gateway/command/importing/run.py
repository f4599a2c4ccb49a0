"""`leafgate import`: reads another server's configuration, writes ours, and says what has no counterpart."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.command.importing.imported import Imported
from gateway.command.importing.mosquitto import import_mosquitto
from gateway.command.importing.nats_server import import_nats_server
from gateway.command.importing.toml_text import toml_text
from gateway.errors import ConfigError
from gateway.settings.schema import load_config

READERS: dict[str, Callable[[Path], Imported]] = {"nats": import_nats_server, "mosquitto": import_mosquitto}


def run_import(options: argparse.Namespace) -> int:
    """Exit status 0 where all that was read can be used; 1 where the result needs a hand before that."""
    path: Path = options.file
    kind = options.kind or ("mosquitto" if "mosquitto" in path.name else "nats")
    imported = READERS[kind](path)
    text = f"# Made from {path.name} by leafgate import.\n" + toml_text(imported.document)
    if options.output is not None:
        write_new(options.output, text)
    else:
        print(text, end="")
    for note in imported.notes:
        print(f"leafgate: {note}", file=sys.stderr)
    fault = fault_of(text)
    if fault:
        print(f"leafgate: to be mended by hand: {fault}", file=sys.stderr)
    return 1 if fault else 0


def fault_of(text: str) -> str:
    """What `leafgate check` would say about it; empty where it is right."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "leafgate.toml"
        write_new(path, text)
        try:
            load_config(path)
        except ConfigError as error:
            return str(error).removeprefix(f"{path}: ")
    return ""


def write_new(path: Path, text: str) -> None:
    """Write a file that only its owner may read: there may be passwords in it. Raises ConfigError where it is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
