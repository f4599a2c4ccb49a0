"""Does what a page of the guide says, word for word: `python -m tests.guide.run_page PAGE DIRECTORY`.

It has to be started in network and mount namespaces of its own (test_pages.py does): there the ports that pages name
are free, /etc and /var/lib are copies, and names like hub.example are addresses of the loopback interface.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.guide.reading import CONSOLE, Block, Command, blocks, commands, file_name
from tests.guide.site import POLL_SECONDS, SECONDS, Job, Server, Shell, wait_until
from tests.guide.transcript import mismatch

HOSTS = {"gateway.example": "127.0.0.1", "hub.example": "127.0.0.2", "broker.example": "127.0.0.3"}
COPIED = ("/etc", "/var/lib")
SET_FLAGS, UP = 0x8914, 0x41


def prepare(directory: Path) -> None:
    """Bring the loopback interface up, make what COPIED names writable without being changed, and name hosts."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH22x", b"lo", UP))
    for place in COPIED:
        upper, work = directory / f"changed{place}", directory / f"work{place}"
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)
    with Path("/etc/hosts").open("a") as hosts:
        hosts.writelines(f"{address} {name}\n" for name, address in HOSTS.items())


class Page:
    """The state of one page: servers by file name, and the shell."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: dict[str, Server] = {}
        self._shell = Shell(directory)

    def play(self, block: Block) -> None:
        """Do what a block says; raises an exception that tells what came instead."""
        if block.language == CONSOLE:
            self._type(commands(block))
            return
        name = file_name(block)
        if name is None:
            raise ValueError("neither a console nor a file that its first line names")
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(block.lines) + "\n")
        # A file beside the page's others is a server's configuration.
        if path.suffix in {".toml", ".conf"} and "/" not in name:
            self._servers.setdefault(name, Server(path)).stop()
            self._servers[name] = Server(path)
            self._servers[name].start()

    def _type(self, typed: list[Command]) -> None:
        jobs: list[Job] = []
        shown: list[str] = []
        try:
            for command, following in zip(typed, [*typed[1:], None], strict=True):
                shown += command.printed
                jobs.append(self._start(command) if command.background else self._run(command, following))
            self._compare(shown, jobs)
        finally:
            for job in jobs:
                job.end()

    def _start(self, command: Command) -> Job:
        """Start a command that subscribes or serves, and return once every server has heard of it."""
        before = {name: server.subscriptions() for name, server in self._servers.items() if server.monitoring}
        job = self._shell.start(command.text)
        for name, count in before.items():
            server = self._servers[name]
            wait_until(lambda: server.subscriptions() > count, f"a subscription of `{command.text}` at {name}")  # noqa: B023
        if not self._servers:
            wait_until(lambda: "listens on" in " ".join(job.printed()), f"the start of `{command.text}`")
        return job

    def _run(self, command: Command, following: Command | None) -> Job:
        try:
            job, status = self._shell.run(command.text)
        except TimeoutError as error:
            raise TimeoutError(f"`{command.text}`: {error}") from None
        if status != 0 and (following is None or following.text != "echo $?"):
            raise RuntimeError(f"`{command.text}` ended with {status}: {job.printed()}")
        return job

    def _compare(self, shown: list[str], jobs: list[Job]) -> None:
        give_up = time.monotonic() + SECONDS
        while wrong := mismatch(shown, [job.printed() for job in jobs]):
            if time.monotonic() > give_up:
                raise RuntimeError(wrong)
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._shell.close()
        for server in self._servers.values():
            server.stop()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{server.log_tail()}" for name, server in self._servers.items())


def main(name: str, place: str) -> None:
    """Play the page; exits with 1, and with what came instead, where it does not hold."""
    directory = Path(place)
    prepare(directory)
    home = directory / "page"
    home.mkdir()
    os.environ["HOME"] = str(home)
    # Where a program of Node's looks for packages.
    (home / "node_modules").symlink_to(os.environ["NODE_PATH"])
    page = Page(home)
    try:
        for block in blocks(Path(name)):
            try:
                page.play(block)
            except (RuntimeError, ValueError, TimeoutError) as error:
                sys.exit(f"{name}:{block.number}: {error}\n{page.logs()}")
    finally:
        page.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
