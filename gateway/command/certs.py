"""`leafgate certs`: what is typed, and what is said. The certificates themselves are gateway.command.certificates'."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gateway.command.argument_types import count
from gateway.command.quick_parser import QuickParser

DEFAULT_DIRECTORY = Path("tls")


def add_certs_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    certs = commands.add_parser("certs", help="a small certificate authority for TLS at one site")
    actions = certs.add_subparsers(prog=certs.prog, title="certs", required=True, metavar="ACTION")
    where = QuickParser(add_help=False)
    where.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="default: ./tls")
    days = QuickParser(add_help=False)
    days.add_argument("--days", type=count, default=0, help="how long it is valid; default: 825, the authority 3650")

    init = actions.add_parser("init", parents=[where, days], help="make the authority: ca.pem and ca.key")
    init.add_argument("--name", default="leafgate site authority", help="how it calls itself")
    init.set_defaults(act=_init)

    server = actions.add_parser("server", parents=[where, days], help="make a certificate for listeners")
    server.add_argument("hosts", metavar="HOST", nargs="*", help="names and addresses; default: this host's, localhost")
    server.add_argument("--name", default="server", help="of the files; default: server")
    server.set_defaults(act=_server)

    client = actions.add_parser("client", parents=[where, days], help="make a certificate for a device or a program")
    client.add_argument("name", metavar="NAME", help='whose it is: the user\'s name with verify = "map"')
    client.set_defaults(act=_client)

    renew = actions.add_parser("renew", parents=[where, days], help="renew what ends soon; the keys stay")
    renew.add_argument("--within-days", type=count, default=30, help="what soon is; default: 30")
    renew.set_defaults(act=_renew)

    listing = actions.add_parser("list", parents=[where], help="what there is, and when it ends")
    listing.set_defaults(act=_list)


def run_certs_command(options: argparse.Namespace) -> int:
    """Raises CertificateError."""
    act: Callable[[argparse.Namespace], None] = options.act
    act(options)
    return 0


def _init(options: argparse.Namespace) -> None:
    from gateway.command.certificates import AUTHORITY_DAYS, make_authority

    path = make_authority(options.directory, options.name, options.days or AUTHORITY_DAYS)
    print(f"{path} is what clients and devices get, to know this gateway by; {path.with_suffix('.key')} is for nobody.")
    print("Next: leafgate certs server HOST ...")


def _server(options: argparse.Namespace) -> None:
    # Not for every command that is typed.
    import json
    import socket

    from gateway.command.certificates import DAYS, make_server

    hosts = options.hosts or list(dict.fromkeys([socket.gethostname(), "localhost", "127.0.0.1", "::1"]))
    path = make_server(options.directory, hosts, options.name, options.days or DAYS)
    print(f"{path} is for {', '.join(hosts)}. In the configuration, behind a [[listeners]]:")
    certificate, key = json.dumps(str(path.absolute())), json.dumps(str(path.with_suffix(".key").absolute()))
    print(f"tls = {{ certificate = {certificate}, key = {key} }}")
    authority = json.dumps(str((options.directory / "ca.pem").absolute()))
    print("With certificates of clients, too:")
    print(f'tls = {{ certificate = {certificate}, key = {key}, client-ca = {authority}, verify = "require" }}')


def _client(options: argparse.Namespace) -> None:
    from gateway.command.certificates import DAYS, make_client

    path = make_client(options.directory, options.name, options.days or DAYS)
    print(f"{path} and {path.with_suffix('.key')} are for {options.name}, with {options.directory / 'ca.pem'}. Try:")
    print(
        f"mosquitto_pub -p 8883 --cafile {options.directory / 'ca.pem'} --cert {path} "
        f"--key {path.with_suffix('.key')} -t hello -m world"
    )


def _renew(options: argparse.Namespace) -> None:
    from datetime import timedelta

    from gateway.command.certificates import DAYS, renew

    renewed = renew(options.directory, timedelta(days=options.within_days), options.days or DAYS)
    for path in renewed:
        print(f"{path} is renewed")
    if not renewed:
        print(f"nothing ends within {options.within_days} days")
    else:
        print("A running gateway takes them up for the next connections.")


def _list(options: argparse.Namespace) -> None:
    from gateway.command.certificates import listed

    for one in listed(options.directory):
        print(f"{one.ends:%Y-%m-%d}  {one.role:<9}  {one.name:<20}  {' '.join(one.names)}".rstrip())
