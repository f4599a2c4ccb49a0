"""`leafgate install-service` and `uninstall-service`: the gateway as a service of systemd, on this system or in the
root directory of another one. Every step is said before it is taken.
"""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from gateway.command.init import ADMIN, first_configuration
from gateway.errors import GatewayError

USER = "leafgate"
UNIT = Path("etc/systemd/system/leafgate.service")
SERIAL = Path("etc/systemd/system/leafgate.service.d/serial.conf")
ACCOUNT = Path("etc/sysusers.d/leafgate.conf")
CONFIGURATION = Path("etc/leafgate")
DATA = Path("var/lib/leafgate")
COMMAND = Path("usr/local/bin/leafgate")
MANUAL = Path("usr/local/share/man/man1/leafgate.1")
# As the unit in the sources has it.
UNIT_PROGRAM = "/opt/leafgate/bin/leafgate"
ACCOUNT_LINE = f'u {USER} - "leafgate gateway" /var/lib/leafgate\n'
# What the service does not see: its homes and temporary files are its own.
HIDDEN = ("home", "root", "run/user", "tmp", "var/tmp")
PROGRAM_SECONDS = 60


class Host:
    """The system that is changed: all of its files below `root`. With `explain` everything is said and nothing done."""

    def __init__(self, root: Path, *, explain: bool) -> None:
        self.root = root.absolute()
        self._explain = explain

    @property
    def is_running(self) -> bool:
        """Whether it is this one, so that services can be started."""
        return self.root == Path("/")

    def path(self, path: Path) -> Path:
        return self.root / path

    def step(self, text: str, do: Callable[[], None]) -> None:
        """Say and do. Raises GatewayError."""
        print(text, flush=True)
        if self._explain:
            return
        try:
            do()
        except OSError as error:
            raise GatewayError(f"{error.filename or ''}: {(error.strerror or str(error)).lower()}") from None

    def write(self, path: Path, text: str, why: str) -> None:
        """A file of ours, which is brought up to date."""
        target = self.path(path)
        if target.exists() and target.read_text() == text:
            print(f"{target}: is up to date")
            return

        def do() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            target.chmod(0o644)

        self.step(f"{target}: {why}", do)

    def link(self, path: Path, target: str, why: str) -> None:
        """A symbolic link, where nothing else has that name."""
        place = self.path(path)
        if place.is_symlink() and os.readlink(place) == target:
            return
        if place.exists() and not place.is_symlink():
            print(f"{place}: is something else, and stays")
            return

        def do() -> None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(target)

        self.step(f"{place}: {why}", do)

    def run(self, command: list[str], why: str) -> None:
        """A program of the system. Raises GatewayError with what it says."""

        def do() -> None:
            program = shutil.which(command[0], path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin")
            if program is None:
                raise GatewayError(f"{command[0]} is not installed: is that a system with systemd?")
            done = subprocess.run(  # noqa: S603 - programs of the system with arguments of our own, without a shell
                [program, *command[1:]], capture_output=True, text=True, check=False, timeout=PROGRAM_SECONDS
            )
            if done.returncode:
                said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
                raise GatewayError(f"{' '.join(command)}: {said or f'exit status {done.returncode}'}")

        self.step(f"{' '.join(command)}: {why}", do)

    def remove(self, path: Path) -> None:
        target = self.path(path)
        if not (target.exists() or target.is_symlink()):
            return
        is_folder = target.is_dir() and not target.is_symlink()
        self.step(f"{target}: is removed", lambda: shutil.rmtree(target) if is_folder else target.unlink())

    def user(self) -> tuple[int, int]:
        """User and group of the service. Raises GatewayError."""
        if self.is_running:
            try:
                entry = pwd.getpwnam(USER)
            except KeyError:
                raise GatewayError(f"there is no user {USER}") from None
            return entry.pw_uid, entry.pw_gid
        for line in self.path(Path("etc/passwd")).read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == USER:
                return int(uid), int(gid)
        raise GatewayError(f"{self.path(Path('etc/passwd'))} has no user {USER}")


def install(options: argparse.Namespace) -> int:
    """Raises GatewayError at the first step that fails; what was done stays, and another try goes on from there."""
    host = _host(options)
    program = "" if options.configuration_only else _program(host)
    root_options = [] if host.is_running else [f"--root={host.root}"]
    host.write(ACCOUNT, ACCOUNT_LINE, f"the user {USER}, who may do nothing else here")
    host.run(["systemd-sysusers", *root_options, str(host.path(ACCOUNT))], "makes that user")
    for path, what in ((CONFIGURATION, "configuration"), (DATA, "data")):
        _make_directory(host, path, what)
    _configure(host, options)
    if options.configuration_only:
        return 0
    unit = _shipped("leafgate.service").replace(UNIT_PROGRAM, program)
    host.write(UNIT, unit, f"the unit, which starts {program}")
    if options.serial:
        host.write(SERIAL, _shipped("leafgate-serial.conf"), "the service may open serial ports")
    host.link(COMMAND, program, "the command for everybody")
    manual = Path(program).parents[1] / "share" / "man" / "man1" / "leafgate.1"
    host.link(MANUAL, str(manual), "its manual page")
    if not host.is_running:
        host.run(["systemctl", *root_options, "enable", UNIT.name], "it starts with the system")
        return 0
    host.run(["systemctl", "daemon-reload"], "systemd reads the unit")
    if options.no_start:
        host.run(["systemctl", "enable", UNIT.name], "it starts with the system")
        return 0
    host.run(["systemctl", "enable", UNIT.name], "it starts with the system")
    host.run(["systemctl", "restart", UNIT.name], "starts it now, and waits until it is open for clients")
    print("Look at it: leafgate status; systemctl status leafgate; journalctl -u leafgate")
    return 0


def uninstall(options: argparse.Namespace) -> int:
    """Raises GatewayError."""
    host = _host(options)
    if host.path(UNIT).exists():
        if host.is_running:
            host.run(["systemctl", "disable", "--now", UNIT.name], "ends it, for good")
        else:
            host.run(["systemctl", f"--root={host.root}", "disable", UNIT.name], "it does not start any more")
    for path in (SERIAL, UNIT, COMMAND, MANUAL):
        if path not in (COMMAND, MANUAL) or host.path(path).is_symlink():
            host.remove(path)
    drop_ins = host.path(SERIAL.parent)
    if drop_ins.is_dir() and not any(drop_ins.iterdir()):
        host.remove(SERIAL.parent)
    if host.is_running:
        host.run(["systemctl", "daemon-reload"], "systemd forgets the unit")
    if options.purge:
        for path in (CONFIGURATION, DATA, ACCOUNT):
            host.remove(path)
        host.run(["userdel", *([] if host.is_running else ["--prefix", str(host.root)]), USER], "the user goes")
    else:
        print(f"{host.path(CONFIGURATION)}, {host.path(DATA)} and the user {USER} stay; --purge takes them away")
    return 0


def _host(options: argparse.Namespace) -> Host:
    host = Host(options.root, explain=options.explain)
    if not host.root.is_dir():
        raise GatewayError(f"--root: {host.root} is no directory")
    if host.is_running and os.geteuid() != 0 and not options.explain:
        raise GatewayError("only root may do that: sudo, or --explain to see what it would be")
    return host


def _program(host: Host) -> str:
    """The path of this program, as the service will see it. Raises GatewayError where it will not."""
    found = shutil.which(sys.argv[0])
    program = Path(found).absolute() if found else Path(sys.prefix) / "bin" / "leafgate"
    if program.is_symlink() and program == host.path(COMMAND):
        program = Path(os.readlink(program))
    if program.name != "leafgate" or not program.exists():
        program = Path(sys.prefix) / "bin" / "leafgate"
    if not host.is_running and program.is_relative_to(host.root):
        program = Path("/") / program.relative_to(host.root)
    hidden = next((one for one in HIDDEN if program.is_relative_to(f"/{one}")), None)
    if hidden is not None:
        raise GatewayError(
            f"the service does not see /{hidden}, where {program} is: install leafgate in /opt/leafgate "
            "(sudo python3 -m venv /opt/leafgate)"
        )
    return str(program)


def _make_directory(host: Host, path: Path, what: str) -> None:
    target = host.path(path)

    def do() -> None:
        target.mkdir(parents=True, exist_ok=True)
        os.chown(target, *host.user())
        target.chmod(0o700)

    if target.is_dir():
        print(f"{target}: stays as it is")
    else:
        host.step(f"{target}: for its {what}, which the service alone reads", do)


def _configure(host: Host, options: argparse.Namespace) -> None:
    """Write a first configuration, and the password of its user beside it."""
    folder = host.path(CONFIGURATION)
    file, secret = folder / "leafgate.toml", folder / f"{ADMIN}.password"
    if file.exists():
        print(f"{file}: stays as it is")
        return

    def do() -> None:
        # Paths in the file are those of the running system.
        first = first_configuration(
            Path("/") / CONFIGURATION, Path("/") / DATA, network=options.network, ports=dict(options.port)
        )
        for path, text in ((secret, f"{first.password}\n"), (file, first.text)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
            os.chown(path, *host.user())

    reach = "other machines too" if options.network else "this machine alone"
    host.step(f"{file}: a first configuration, for {reach}; the user {ADMIN} has its password in {secret}", do)


def _shipped(name: str) -> str:
    """A file of systemd's that came with the program. Raises GatewayError."""
    path = Path(sysconfig.get_path("data")) / "share" / "leafgate" / name
    try:
        return path.read_text()
    except OSError:
        raise GatewayError(f"{path} is missing: install leafgate whole (pip install)") from None
