"""What the gateway tells when it is up: the ports file for programs, and on standard output what to try first."""

import logging
import os
import sys
from pathlib import Path

import msgspec

from gateway.doors.listeners import OpenListener
from gateway.errors import ListenError, OutputError
from gateway.runtime.command_name import command_name
from gateway.settings.schema import Config
from gateway.version import VERSION, form_name

log = logging.getLogger("leafgate")


def write_ports_file(path: Path, listeners: list[OpenListener], monitoring: str | None) -> None:
    """Tell which ports were taken; the file appears whole or not at all. Raises ListenError."""
    content = {
        "listeners": [{"protocol": one.config.protocol, "address": one.address} for one in listeners],
        "monitoring": monitoring,
    }
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_bytes(msgspec.json.encode(content) + b"\n")
        os.replace(draft, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ListenError(f"ports-file: cannot write {path}: {reason}") from None


def announce(config: Config, path: Path | None, listeners: list[OpenListener], monitoring: str | None) -> None:
    """Say in the log what runs, and on standard output where the gateway listens, and what to try first."""
    addresses = ", ".join(f"{one.config.protocol} {one.address}" for one in listeners)
    log.info(
        "event=started version=%s form=%s configuration=%r listeners=%r monitoring=%r data-directory=%r",
        VERSION,
        form_name(),
        str(path.absolute()) if path is not None else "built-in",
        addresses,
        monitoring or "",
        config.data_directory,
    )
    try:
        _greet(config, listeners, monitoring)
    except (OSError, OutputError):
        pass  # Nobody reads it, and the log has said it.


def _greet(config: Config, listeners: list[OpenListener], monitoring: str | None) -> None:
    print(f"leafgate {VERSION} ({form_name()}) listens on")
    for listener in listeners:
        print(f"  {listener.config.protocol:<10} {listener.address}")
    if monitoring:
        scheme = "http" if config.monitoring.tls is None else "https"
        print(f"  {'monitoring':<10} {scheme}://{monitoring}/")
    if config.data_directory:
        print(f"and keeps sessions and retained messages in {config.data_directory}")
    else:
        print("and keeps sessions and retained messages in memory only: see `data-directory`")
    nats = next((one.address for one in listeners if one.config.protocol == "nats" and one.config.tls is None), None)
    if nats:
        command = command_name()
        server = "" if nats == "127.0.0.1:4222" else f" --server nats://{nats}"
        print("Try, in two other terminals:")
        print(f"  {command} sub{server} 'sensors.>'")
        print(f"  {command} pub{server} sensors.kitchen.temp 21.5")
    sys.stdout.flush()
