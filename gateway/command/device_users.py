"""`leafgate device add`, `users` and `revoke`: the devices that may come in, a file each in the directory of users."""

import argparse
from pathlib import Path

from firmware.device_files import check_name
from firmware.device_identity import DeviceIdentity, make_identity
from gateway.errors import ConfigError
from gateway.settings import paths
from gateway.settings.credential_forms import is_user_key
from gateway.settings.schema import load_config
from gateway.settings.user_files import Value, path_of, read_user_files, remove_user_file, write_user_file

# What the client on a board asks the gateway and others, and where it hears the answers.
ANSWERS = "_INBOX.>"
CLOCK = "$LEAFGATE.time"


def users_directory(options: argparse.Namespace) -> Path | None:
    """Where the users are: `--users`, or what the configuration says; None where neither is given."""
    given: Path | None = options.users
    if given is not None:
        return given
    if options.config is None:
        return None
    directory = load_config(options.config).authentication.users_directory
    if not directory:
        raise ConfigError(f'{options.config}: authentication.users-directory: missing; write users-directory = "users"')
    return paths.path_of(directory)


def needed_directory(options: argparse.Namespace) -> Path:
    directory = users_directory(options)
    if directory is None:
        raise ConfigError("where are the users? Give --users DIRECTORY, or -c FILE that has users-directory")
    return directory


def check_is_new(directory: Path, name: str) -> None:
    """Raises ConfigError where there is such a user already."""
    path = path_of(directory, name)
    if path.exists():
        raise ConfigError(f"{path}: there is such a user; `leafgate device revoke {name}` removes it")


def add_user(directory: Path, name: str, identity: DeviceIdentity, options: argparse.Namespace) -> Path:
    """Let a device with this identity in; returns its file."""
    fields: list[tuple[str, Value]] = []
    if "nkey" in identity.settings:
        fields.append(("nkey", identity.settings["nkey"]))
    if "password" in identity.settings:
        fields.append(("password", hash_of(identity.settings["password"])))
    if options.account:
        fields.append(("account", options.account))
    own = f"{options.prefix}.{name}"
    publish = options.publish or [own, f"{own}.>", f"$LEAFGATE.publish.{own}.>", CLOCK]
    subscribe = options.subscribe or [own, f"{own}.>", f"{options.prefix}.query", ANSWERS]
    fields += [
        ("client-id-prefix", name),
        ("permissions.publish.allow", publish),
        ("permissions.subscribe.allow", subscribe),
    ]
    return write_user_file(directory, name, [*fields, ("permissions.allow-responses", True)])


def hash_of(password: str) -> str:
    from gateway.accounts.passwords import hash_password

    # The lowest cost: nobody finds 18 random bytes by trying, and a gateway on a small computer checks many of these.
    return hash_password(password.encode(), 4)


def run_add(options: argparse.Namespace) -> None:
    """Print the secret, once: it is kept nowhere here."""
    name, directory = check_name(options.name), needed_directory(options)
    if options.key is not None:
        if not is_user_key(options.key):
            raise ConfigError("--key: the public key of a user is needed, as `leafgate nkey` prints it: U…")
        identity = DeviceIdentity({"nkey": options.key}, "")
    else:
        identity = make_identity(options.identity, name)
    add_user(directory, name, identity, options)
    print(f"user: {name}")
    for label, key in (("password", "password"), ("seed", "nkey_seed")):
        if key in identity.settings:
            print(f"{label}: {identity.settings[key]}")


def run_users(options: argparse.Namespace) -> None:
    for user in read_user_files(needed_directory(options)):
        ways = [way for way in ("nkey", "password", "scram") if way in user]
        print(f"{user['name']}  account {user.get('account', '$G')}  by {', '.join(ways) or 'certificate'}")


def run_revoke(options: argparse.Namespace) -> None:
    remove_user_file(needed_directory(options), options.name)
    print(f"{options.name} may not come in any more")
