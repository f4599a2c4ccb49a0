"""What `leafgate reload`, `check` and `drain` ask of the running gateway, and say of its answer."""

import json
import os
import select
from pathlib import Path

from gateway.errors import ConfigError, ControlError, GatewayError
from gateway.reloading.asking import Answer, ask
from gateway.settings.file import read_document
from gateway.settings.paths import path_of
from gateway.settings.schema import CONTROL_SOCKET, Config


def reload(file: Path, *, as_json: bool = False) -> None:
    """Have the gateway that runs with a file read it again, and say what came of it.

    Raises ConfigError when it refuses the file, GatewayError when it cannot take it now or is not there.
    """
    answer = ask(_place(file, "SIGHUP"), "reload")
    if answer.reason:
        raise (ConfigError if answer.is_fault else GatewayError)(f"not reloaded: {answer.reason}")
    if as_json:
        print(json.dumps({"file": answer.file, "changes": answer.changes}))
        return
    print(f"{file}: reloaded" if answer.changes else f"{file}: reloaded; nothing has changed")
    for change in answer.changes:
        print(f"  {change}")


def drain(file: Path, *, wait: bool) -> None:
    """Have the gateway that runs with a file send its clients away and end, and see it do so.

    Raises GatewayError when it is not there.
    """
    answer = ask(_place(file, "SIGUSR2"), "drain")
    if answer.reason:
        raise GatewayError(answer.reason)
    if not wait:
        print("the gateway sends its clients away")
        return
    try:
        process = os.pidfd_open(answer.process)
    except ProcessLookupError:
        process = -1
    if process >= 0:
        select.select([process], [], [])
        os.close(process)
    print("the gateway has ended")


def _place(file: Path, otherwise: str) -> Path:
    """Where the gateway is asked. Raises GatewayError, with what may be sent instead."""
    path = control_path(file)
    if path is None:
        raise GatewayError(
            f"{file}: names no place where the gateway could be asked: set control-socket or data-directory, "
            f"or send {otherwise} to the gateway"
        )
    return path


def check(file: Path, config: Config) -> None:
    """Say what a reload would change in the gateway that runs with a file; nothing where none runs with it."""
    path = config.control_path
    if path is None:
        return
    try:
        answer = ask(path, "check")
    except ControlError as error:
        if not error.is_missing:
            print(error)
        return
    if not is_same_file(answer, file):
        return
    if answer.reason:
        print(f"the running gateway would not take it: {answer.reason}")
        return
    print("a reload would change" if answer.changes else "a reload would change nothing")
    for change in answer.changes:
        print(f"  {change}")


def control_path(file: Path) -> Path | None:
    """Where the gateway is asked that runs with a file, which may be wrong by now. Raises ConfigError."""
    document = read_document(file)
    socket, directory = document.get("control-socket"), document.get("data-directory")
    if isinstance(socket, str) and socket:
        return path_of(socket)
    if isinstance(directory, str) and directory:
        return path_of(directory) / CONTROL_SOCKET
    return None


def is_same_file(answer: Answer, file: Path) -> bool:
    try:
        return bool(answer.file) and Path(answer.file).samefile(file)
    except OSError:
        return False
