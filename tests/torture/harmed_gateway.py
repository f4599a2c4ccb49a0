"""A gateway on a disk and a clock of its own that can be harmed: killed, cut from power, filled up, set wrong."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.gateway.storage.full_disk import fill_disk, mount_small_disk, unmount
from tests.integration.peers import Peer, free_port
from tests.torture.disk_record import SOURCE as RECORDER
from tests.torture.disk_record import Kept, Loss, build_preload, contents, legal_state, put_back

CLOCK = Path(__file__).parents[1] / "integration" / "set_clock.c"
# What the kernel says of a clock that nobody keeps right: nothing ends by what it tells.
ADRIFT = 5
GATEWAY = ("-m", "gateway")


class HarmedGateway:
    """`gateway` has listeners for `protocols` and monitoring on free ports, below `directory`, and the tables that
    `config` says; `launcher` is what runs it instead of `-m gateway`, for one that has a fault planted.
    """

    def __init__(
        self, directory: Path, protocols: Sequence[str], config: str, launcher: tuple[str, ...] = GATEWAY
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.has_small_disk = mount_small_disk(self.data)
        self._record = directory / "record"
        self._clock = directory / "clock"
        self._filler: Path | None = None
        self._base: dict[str, Kept] = {}
        self.gateway = self._make_gateway(protocols, config, launcher)

    def start_gateway(self) -> None:
        self._base = contents(self.data)
        self._record.unlink(missing_ok=True)
        self.gateway.start()
        self.gateway.wait_ports()

    def cut_power(self, loss: Loss, seed: int) -> None:
        """End the gateway, and leave its directory as a cut of power in that instant could have left it."""
        self.gateway.kill()
        put_back(self.data, legal_state(self._base, self._record.read_bytes(), loss, seed))

    @property
    def has_record(self) -> bool:
        return self._record.exists()

    @property
    def has_clock(self) -> bool:
        return self._clock.exists()

    def set_clock(self, ahead: int) -> None:
        """Let the gateway's wall clock be so many seconds ahead of the right time."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(ahead))
        new.rename(self._clock)

    def fill_disk(self) -> None:
        """Leave no room on the gateway's disk."""
        self._filler = fill_disk(self.data)

    def empty_disk(self) -> None:
        if self._filler is not None:
            self._filler.unlink(missing_ok=True)
            self._filler = None

    def close(self) -> None:
        if self.has_small_disk:
            unmount(self.data)

    def _make_gateway(self, protocols: Sequence[str], config: str, launcher: tuple[str, ...]) -> Peer:
        directory = self.directory / "edge"
        directory.mkdir()
        ports = {protocol: free_port() for protocol in (*protocols, "monitoring")}
        lines = [f'data-directory = "{self.data}"']
        for protocol in protocols:
            lines += ["[[listeners]]", f'protocol = "{protocol}"', f'address = "127.0.0.1:{ports[protocol]}"']
        lines += ["[monitoring]", f'address = "127.0.0.1:{ports["monitoring"]}"', config]
        file = directory / "leafgate.toml"
        file.write_text("\n".join(lines) + "\n")
        command = ["env", *self._preloads(), sys.executable, *launcher, "run", "-c", str(file)]
        return Peer("gateway", directory, command, ports)

    def _preloads(self) -> list[str]:
        """What the environment says for the recorder of the disk and for the clock; nothing without a compiler."""
        if shutil.which("gcc") is None:
            return []
        self.set_clock(0)
        libraries = [build_preload(source, self.directory) for source in (RECORDER, CLOCK)]
        return [
            f"LD_PRELOAD={':'.join(map(str, libraries))}",
            f"RECORD_DIRECTORY={self.data}",
            f"RECORD_LOG={self._record}",
            f"SET_CLOCK={self._clock}",
            f"CLOCK_STATE={ADRIFT}",
        ]
