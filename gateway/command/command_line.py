"""The command `leafgate`: what it understands, and what it says when something is wrong. One line each, no tracebacks.

Every command imports what it needs when it runs, so that `pub` does not wait for the daemon's modules.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from gateway.command.argument_types import named_port
from gateway.command.client_login import hide_secrets
from gateway.command.output import EXIT_FAILURE, with_output
from gateway.command.quick_parser import QuickParser
from gateway.errors import ConfigError, DirectoryError, GatewayError, ListenError, StorageError
from protocols.errors import MisuseError

if TYPE_CHECKING:
    from gateway.settings.schema import Config

EXIT_OK = 0
EXIT_CONFIGURATION = 2
# As the gateway has it while it runs (gateway.runtime.memory).
OBJECTS_BETWEEN_LOOKS = 10_000
# What a shell reports for a program that SIGINT ended.
EXIT_INTERRUPTED = 130

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

CLIENT_COMMANDS = ("pub", "sub", "request", "reply", "bench")
STREAM_COMMANDS = ("stream", "kv", "object")
SYSTEM_CONFIGURATION = "/etc/leafgate/leafgate.toml"
EXIT_STATUSES = """\
exit status:
  0    done
  1    it failed: no server, refused, no answer in time; another try may succeed
  2    the command or a configuration is wrong
  130  interrupted
"""


def program() -> NoReturn:
    """What the command `leafgate` starts: `main` with the words that were typed, and the process ends."""
    # Modules are most of what a command makes: it is soon over, and looking through them for garbage is in vain.
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    hide_secrets()
    status = with_output(lambda: main(sys.argv[1:]))
    # Python would take everything apart first, piece by piece, which takes a fifth of the time of such a command.
    os._exit(status)


def main(words: Sequence[str]) -> int:
    """Run one command and return the exit status: 0, 1 for a failure, 2 for a fault in configuration or usage."""
    options = build_parser(words[0] if words else "").parse_args(words)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        return _complain(error, EXIT_CONFIGURATION)
    except (ListenError, StorageError) as error:
        # What may be there at the next try is no fault of the file: a service manager shall try again.
        transient = isinstance(error, ListenError | DirectoryError)
        status = EXIT_FAILURE if transient else EXIT_CONFIGURATION
        return _complain(f"{options.config or 'built-in configuration'}: {error}", status)
    except (GatewayError, MisuseError) as error:
        return _complain(error, EXIT_FAILURE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _complain(message: object, status: int) -> int:
    print(f"leafgate: {message}", file=sys.stderr)
    return status


def build_parser(word: str = "") -> argparse.ArgumentParser:
    """The parser of everything, or of a group of commands alone where `word` is one of them."""
    parser: argparse.ArgumentParser = QuickParser(
        prog="leafgate",
        description="A gateway that joins NATS, MQTT and WebSocket clients in one subject space.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="what this is, and whether it is compiled")
    commands = parser.add_subparsers(prog=parser.prog, title="commands", required=True, metavar="COMMAND")
    chosen = [add for names, add in GROUPS if word in names] or [add for _, add in GROUPS]
    for add in chosen:
        add(commands)
    return parser


class ShowVersion(argparse.Action):
    """Finds out when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from gateway.version import VERSION, form_name

        print(f"{parser.prog} {VERSION} ({form_name()})")
        parser.exit()


def _add_gateway_commands(commands: Commands) -> None:
    run = commands.add_parser("run", help="start the gateway")
    run.add_argument("-c", "--config", metavar="FILE", type=Path, help="without it: loopback, the usual ports")
    run.set_defaults(command=_run)

    again = commands.add_parser("reload", help="have the running gateway read its configuration file again")
    _add_configuration(again)
    again.add_argument("--json", action="store_true", help="print a JSON object")
    again.set_defaults(command=_reload)

    drain = commands.add_parser("drain", help="have the running gateway send its clients away, and end")
    _add_configuration(drain)
    drain.add_argument("--no-wait", action="store_true", help="do not wait until it has ended")
    drain.set_defaults(command=_drain)

    check = commands.add_parser("check", help="tell whether a file is right, and what a reload would change")
    check.add_argument("-c", "--config", metavar="FILE", type=Path, required=True)
    check.set_defaults(command=_check)

    bring = commands.add_parser("import", help="make a configuration from that of nats-server or mosquitto")
    bring.add_argument("file", metavar="FILE", type=Path)
    bring.add_argument(
        "--from", dest="kind", choices=("nats", "mosquitto"), help="whose it is; default: what the name says, else nats"
    )
    bring.add_argument("-o", "--output", metavar="FILE", type=Path, help="a new file; default: standard output")
    bring.set_defaults(command=_import)

    init = commands.add_parser("init", help="write a first configuration, with a user")
    init.add_argument("--directory", metavar="DIR", type=Path, default=Path(), help="where to; default: here")
    init.add_argument("--data", metavar="DIR", type=Path, help="its data-directory; default: data below DIR")
    init.add_argument("--network", action="store_true", help="for other machines too, not for this one alone")
    init.add_argument("--nkey", action="store_true", help="the user has an NKey instead of a password")
    init.add_argument(
        "--port",
        metavar="NAME=PORT",
        type=named_port,
        action="append",
        default=[],
        help="another port for nats, mqtt, websocket or monitoring",
    )
    init.set_defaults(command=_init)


def _add_backup_commands(commands: Commands) -> None:
    backup = commands.add_parser("backup", help="copy what the gateway keeps on its disk, while it runs")
    backup.add_argument("target", metavar="DIR", type=Path, help="a new directory")
    _add_configuration(backup)
    backup.set_defaults(command=_backup)

    restore = commands.add_parser("restore", help="bring a backup back, while no gateway runs")
    restore.add_argument("source", metavar="DIR", type=Path, help="that backup wrote")
    _add_configuration(restore)
    restore.add_argument("--force", action="store_true", help="put aside what is in the data directory")
    restore.set_defaults(command=_restore)


def _add_credential_commands(commands: Commands) -> None:
    passwd = commands.add_parser("passwd", help="print the bcrypt hash of a password, for a user of the configuration")
    passwd.add_argument("--cost", metavar="N", type=_cost, default=11, help="of bcrypt, 4 to 14; default: 11")
    passwd.add_argument("--stdin", action="store_true", help="read the password from standard input, one line")
    passwd.add_argument("--scram", action="store_true", help="print a verifier for SCRAM-SHA-256 instead")
    passwd.set_defaults(command=_passwd)

    nkey = commands.add_parser("nkey", help="print a new NKey: the seed, for the client, and the public key")
    nkey.set_defaults(command=_nkey)


def _add_client_commands(commands: Commands) -> None:
    from gateway.command.client_parser import add_client_commands

    add_client_commands(commands)
    for name in CLIENT_COMMANDS:
        commands.choices[name].set_defaults(command=_client)


def _add_stream_commands(commands: Commands) -> None:
    from gateway.command.streams.parser import add_stream_commands

    add_stream_commands(commands)
    for name, command in (("stream", _stream), ("kv", _kv), ("object", _object)):
        commands.choices[name].set_defaults(command=command)


def _add_watch_commands(commands: Commands) -> None:
    from gateway.command.watch_parser import add_watch_commands

    add_watch_commands(commands)
    commands.choices["status"].set_defaults(command=_status)
    commands.choices["health"].set_defaults(command=_health)
    commands.choices["top"].set_defaults(command=_top)


def _add_service_commands(commands: Commands) -> None:
    from gateway.command.service_parser import add_service_commands

    add_service_commands(commands)
    commands.choices["install-service"].set_defaults(command=_install_service)
    commands.choices["uninstall-service"].set_defaults(command=_uninstall_service)


def _add_operator_command(commands: Commands) -> None:
    from gateway.command.operator_parser import add_operator_command

    add_operator_command(commands)
    commands.choices["operator"].set_defaults(command=_operator)


def _add_shell_commands(commands: Commands) -> None:
    from gateway.command.shell_parser import add_shell_commands

    add_shell_commands(commands, build_parser)


def _add_device_commands(commands: Commands) -> None:
    from gateway.command.device_parser import add_device_commands

    add_device_commands(commands)
    commands.choices["device"].set_defaults(command=_device)


def _add_rules_commands(commands: Commands) -> None:
    rules = commands.add_parser("rules", help="try rules of a configuration")
    words = rules.add_subparsers(title="commands", required=True, metavar="COMMAND")
    test = words.add_parser("test", help="print what rules make of recorded messages")
    test.add_argument("file", metavar="FILE", type=Path, help="messages as `leafgate sub --json` prints them")
    _add_configuration(test)
    test.add_argument("--rule", metavar="NAME", action="append", default=[], help="this one alone; may be repeated")
    rules.set_defaults(command=_rules)


def _add_certs_commands(commands: Commands) -> None:
    from gateway.command.certs import add_certs_commands, run_certs_command

    add_certs_commands(commands)
    commands.choices["certs"].set_defaults(command=run_certs_command)


# Only the group of the command that is typed is built: the others would cost it more than it costs itself.
GROUPS: tuple[tuple[tuple[str, ...], Callable[[Commands], None]], ...] = (
    (("run", "check", "reload", "drain", "import", "init"), _add_gateway_commands),
    (("backup", "restore"), _add_backup_commands),
    (("passwd", "nkey"), _add_credential_commands),
    (CLIENT_COMMANDS, _add_client_commands),
    (STREAM_COMMANDS, _add_stream_commands),
    (("status", "health", "top"), _add_watch_commands),
    (("install-service", "uninstall-service"), _add_service_commands),
    (("operator",), _add_operator_command),
    (("completion",), _add_shell_commands),
    (("device",), _add_device_commands),
    (("rules",), _add_rules_commands),
    (("certs",), _add_certs_commands),
)


def _run(options: argparse.Namespace) -> int:
    config = _load(options.config)
    from gateway.runtime.late_modules import load_late

    load_late("ssl", "hmac", "hashlib")
    # Only now: a fault in the file is told at once.
    from gateway.daemon.process import run

    return run(config, options.config)


def _check(options: argparse.Namespace) -> int:
    config = _load(options.config)
    print(f"{options.config}: is right")
    if _may_be_asked(config.control_path):
        from gateway.command.reload import check

        check(options.config, config)
    return EXIT_OK


def _may_be_asked(path: Path | None) -> bool:
    """Whether something is at the path of a gateway's control socket, or cannot be seen there."""
    try:
        return path is not None and bool(path.stat())
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)


def _reload(options: argparse.Namespace) -> int:
    from gateway.command.reload import reload

    reload(_configuration(options), as_json=options.json)
    return EXIT_OK


def _drain(options: argparse.Namespace) -> int:
    from gateway.command.reload import drain

    drain(_configuration(options), wait=not options.no_wait)
    return EXIT_OK


def _add_configuration(command: argparse.ArgumentParser) -> None:
    text = f"of the gateway; default: $LEAFGATE_CONFIG, else {SYSTEM_CONFIGURATION}"
    command.add_argument("-c", "--config", metavar="FILE", type=Path, help=text)


def _configuration(options: argparse.Namespace) -> Path:
    """The file of the gateway that runs here."""
    given: Path | None = options.config
    return given or Path(os.environ.get("LEAFGATE_CONFIG") or SYSTEM_CONFIGURATION)


def _backup(options: argparse.Namespace) -> int:
    from gateway.command.backup import run_backup

    return run_backup(options, _configuration(options))


def _restore(options: argparse.Namespace) -> int:
    from gateway.command.backup import run_restore

    return run_restore(options, _configuration(options))


def _import(options: argparse.Namespace) -> int:
    from gateway.command.importing.run import run_import

    return run_import(options)


def _passwd(options: argparse.Namespace) -> int:
    from gateway.command.passwd import print_hash

    print_hash(options.cost, options.stdin, options.scram)
    return EXIT_OK


def _nkey(options: argparse.Namespace) -> int:
    from gateway.command.passwd import print_key_pair

    print_key_pair()
    return EXIT_OK


def _init(options: argparse.Namespace) -> int:
    from gateway.command.init import write_configuration

    ports = dict(options.port)
    write_configuration(options.directory, data=options.data, network=options.network, ports=ports, nkey=options.nkey)
    return EXIT_OK


def _load(path: Path | None) -> "Config":
    """The configuration, with the files that it names. Raises ConfigError."""
    from gateway.settings.schema import load_config

    config = load_config(path)
    if path is not None and config.speaks_tls:
        from gateway.doors.securing import check_tls

        try:
            check_tls(config)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return config


def _client(options: argparse.Namespace) -> int:
    from gateway.command import client_commands

    run: Callable[[argparse.Namespace], None] = getattr(client_commands, options.action)
    run(options)
    return EXIT_OK


def _stream(options: argparse.Namespace) -> int:
    from gateway.command.streams.commands import run_stream_command

    return run_stream_command(options)


def _kv(options: argparse.Namespace) -> int:
    from gateway.command.streams.buckets import run_kv_command

    return run_kv_command(options)


def _object(options: argparse.Namespace) -> int:
    from gateway.command.streams.objects import run_object_command

    return run_object_command(options)


def _status(options: argparse.Namespace) -> int:
    from gateway.command.status import run

    return run(options)


def _health(options: argparse.Namespace) -> int:
    from gateway.command.status import tell_health

    return tell_health(options)


def _top(options: argparse.Namespace) -> int:
    from gateway.command.top import run

    return run(options)


def _install_service(options: argparse.Namespace) -> int:
    from gateway.command.service import install

    return install(options)


def _uninstall_service(options: argparse.Namespace) -> int:
    from gateway.command.service import uninstall

    return uninstall(options)


def _operator(options: argparse.Namespace) -> int:
    """Become another program: nothing of it is imported here, and nothing of this stays in memory there."""
    from gateway.command.operator_parser import arguments_of

    os.execv(sys.executable, [sys.executable, "-m", "gateway.operator", *arguments_of(options)])


def _device(options: argparse.Namespace) -> int:
    from gateway.command.device import run_device_command

    return run_device_command(options)


def _rules(options: argparse.Namespace) -> int:
    from gateway.command.rules import run_rules_command

    options.config = _configuration(options)
    return run_rules_command(options)


def _cost(text: str) -> int:
    from gateway.settings.credential_forms import HASH_COSTS

    if not text.isdecimal() or int(text) not in HASH_COSTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between {HASH_COSTS.start} and {HASH_COSTS.stop - 1}")
    return int(text)
