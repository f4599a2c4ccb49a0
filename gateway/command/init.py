"""`leafgate init`: writes a first configuration, with one user, and says what to do next. It overwrites nothing."""

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.runtime.command_name import command_name

NAME = "leafgate.toml"
ADMIN = "admin"
DEFAULT_PORTS = {"nats": 4222, "mqtt": 1883, "websocket": 8080, "monitoring": 8222}
# 128 bits: nobody guesses it, however fast the hash is.
PASSWORD_BYTES = 16
HASH_COST = 10
FILE = """\
# A first configuration. configs/leafgate.toml in the sources has every key; after a change:
#   {command} check -c {file}
# The running gateway takes a change by itself a moment after the file was written.
data-directory = {data}

[[listeners]]
protocol = "nats"
address = "{host}:{nats}"

[[listeners]]
protocol = "mqtt"
address = "{host}:{mqtt}"

[[listeners]]
protocol = "websocket"
address = "{host}:{websocket}"

[monitoring]
address = "127.0.0.1:{monitoring}"

# {command} passwd makes a hash for a password. Without permissions a user may do everything.
[[users]]
name = "{user}"
{credential}
"""


class FirstConfiguration(NamedTuple):
    """The text of a file, and the password of its one user, which is hashed in it; "" where the user has an NKey."""

    text: str
    password: str


def first_configuration(
    directory: Path,
    data: Path,
    *,
    network: bool,
    ports: Mapping[str, int],
    public_key: str = "",
    command: str = "leafgate",
) -> FirstConfiguration:
    """A configuration for DIRECTORY/leafgate.toml; see `write_configuration`. `command` is what to type."""
    password = "" if public_key else secrets.token_urlsafe(PASSWORD_BYTES)
    text = FILE.format(
        command=command,
        file=directory / NAME,
        data=json.dumps(str(data)),
        host="0.0.0.0" if network else "127.0.0.1",  # noqa: S104 - asked for, and with a user
        user=ADMIN,
        credential=f'nkey = "{public_key}"' if public_key else f'password = "{_hash(password)}"',
        **(DEFAULT_PORTS | dict(ports)),
    )
    return FirstConfiguration(text, password)


def write_configuration(
    directory: Path, *, data: Path | None = None, network: bool, ports: Mapping[str, int], nkey: bool
) -> None:
    """Write DIRECTORY/leafgate.toml for loopback or, with `network`, for all interfaces; `ports` are those that are not
    the usual ones. With `nkey` the user has a key pair, whose seed goes into a file beside it, instead of a password.

    Raises GatewayError where one of the files is there already or cannot be written.
    """
    directory = directory.expanduser()
    file, seed_file = directory / NAME, directory / f"{ADMIN}.nk"
    taken = [path for path in (file, seed_file) if path.exists() and (nkey or path is file)]
    if taken:
        raise GatewayError(f"{taken[0]} is there already; nothing was written")
    numbers = DEFAULT_PORTS | dict(ports)
    command = command_name()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        public_key = _write_seed(seed_file) if nkey else ""
        place = (data or directory / "data").absolute()
        text, password = first_configuration(
            directory, place, network=network, ports=ports, public_key=public_key, command=command
        )
        _write_new(file, text)
    except OSError as error:
        raise GatewayError(f"{error.filename or directory}: {(error.strerror or str(error)).lower()}") from None
    print(f"wrote {file}: the user {ADMIN} and nobody else comes in")
    if nkey:
        print(f"wrote {seed_file}: the seed of its NKey; keep it secret")
        server = f"nats://127.0.0.1:{numbers['nats']}"
    else:
        print(f"the password of {ADMIN}, which is shown this once: {password}")
        server = f"nats://{ADMIN}:{password}@127.0.0.1:{numbers['nats']}"
    print("Start it:")
    print(f"  {command} run -c {shlex.quote(str(file))}")
    print("In another terminal:")
    print(f"  export LEAFGATE_SERVER={server}")
    if nkey:
        print(f"  export LEAFGATE_NKEY={shlex.quote(str(seed_file))}")
    print(f"  {command} request '$LEAFGATE.time'")
    if network:
        print(f"From other machines: nats://{_host_name()}:{numbers['nats']}, MQTT {numbers['mqtt']}.")
        print("Passwords travel in the clear until the listeners have tls.")


def _write_seed(path: Path) -> str:
    """Make a key pair, write the seed, and return the public key."""
    from gateway.accounts.nkeys import USER, KeyPair

    pair = KeyPair.new(USER)
    _write_new(path, pair.seed.value + "\n")
    return pair.public


def _hash(password: str) -> str:
    from gateway.accounts.passwords import hash_password

    return hash_password(password.encode(), HASH_COST)


def _write_new(path: Path, text: str) -> None:
    """Its owner alone may read it. Raises OSError where there is such a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _host_name() -> str:
    return os.uname().nodename
