"""Client login: who we are to a server, by files, by the environment, or by the command line.

What stands on the command line everybody on the machine can read; so secrets are in files or in the environment, and
those in a URL are overwritten in what the kernel shows.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.settings.addresses import ServerUrl
from gateway.settings.secret import Secret, read_secret

PASSWORD_VARIABLE = "LEAFGATE_PASSWORD"  # noqa: S105 -- the name of one
# Of /proc/self/stat, behind the name of the program: where the arguments begin in memory.
ARGUMENTS_BEGIN = 45


class ClientLogin(NamedTuple):
    """By one of these: the `seed` of an NKey, alone or with the `jwt` of its user, or name and password in the URL."""

    seed: Secret | None = None
    jwt: str = ""

    def __repr__(self) -> str:
        return f"ClientLogin(seed={self.seed!r})"


ANONYMOUS = ClientLogin()


def add_login_options(parser: argparse._ActionsContainer) -> None:
    def file(name: str, variable: str, text: str) -> None:
        default = os.environ.get(variable) or None
        parser.add_argument(name, metavar="FILE", type=Path, default=default, help=f"{text}; default: ${variable}")

    file("--credentials", "LEAFGATE_CREDENTIALS", "log in by a .creds file, with a user's JWT and the seed of its NKey")
    file("--nkey", "LEAFGATE_NKEY", "log in with the NKey whose seed is in a file")
    parser.add_argument(
        "--user",
        metavar="NAME",
        default=os.environ.get("LEAFGATE_USER") or None,
        help=f"log in by name, with the password in --password-file or ${PASSWORD_VARIABLE}; default: $LEAFGATE_USER",
    )
    parser.add_argument("--password-file", metavar="FILE", type=Path, help="the password of --user, or a token")


def login_of(options: argparse.Namespace) -> ClientLogin:
    """The keys that the options name. Raises ConfigError."""
    if options.credentials is not None:
        from gateway.accounts.credentials_file import CredentialsFileError, read_credentials

        try:
            found = read_credentials(str(options.credentials))
        except CredentialsFileError as error:
            raise ConfigError(f"--credentials: {error}") from None
        return ClientLogin(found.key.seed, found.jwt)
    return ClientLogin(_read("--nkey", options.nkey)) if options.nkey is not None else ANONYMOUS


def with_password(url: ServerUrl, options: argparse.Namespace) -> ServerUrl:
    """The URL with name and password that the options or the environment have, where it has none of its own. A password
    without a name is a token. Raises ConfigError.
    """
    if url.user is not None:
        return url
    secret = None
    if options.password_file is not None:
        secret = _read("--password-file", options.password_file)
    elif os.environ.get(PASSWORD_VARIABLE):
        secret = Secret(os.environ[PASSWORD_VARIABLE])
    if secret is None:
        if options.user is not None:
            raise ConfigError(f"--user: give the password in --password-file or in ${PASSWORD_VARIABLE}")
        return url
    user, password = (secret.value, None) if options.user is None else (options.user, secret.value)
    return ServerUrl(url.scheme, url.host, url.port, user, password, url.path)


def _read(option: str, path: Path) -> Secret:
    try:
        return read_secret({"file": str(path)})
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def hide_secrets() -> None:
    """Overwrite name and password of URLs in the arguments that the kernel shows of this process, as far as it lets us.
    Whoever looked before has seen them.
    """
    secrets = [text.partition("://")[2].rpartition("@")[0] for text in sys.argv if "://" in text and "@" in text]
    if not any(secrets):
        return
    try:
        shown = Path("/proc/self/cmdline").read_bytes()
        begin = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[ARGUMENTS_BEGIN])
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            for secret in filter(None, map(os.fsencode, secrets)):
                place = shown.find(secret)
                if begin and place >= 0:
                    memory.seek(begin + place)
                    memory.write(b"*" * len(secret))
    except (OSError, ValueError, IndexError):
        return  # Another kernel, or one that forbids it.
