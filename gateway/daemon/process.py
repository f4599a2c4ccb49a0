"""Process: what surrounds the loop of a gateway. What it needs from the machine is taken before, given back after."""

import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assembly import Gateway
from gateway.daemon.daemon import Daemon
from gateway.daemon.forewarning import foretell_descriptors, tell_of_plain_passwords
from gateway.doors.securing import open_tls
from gateway.errors import DirectoryError
from gateway.runtime.logs import start_logging
from gateway.runtime.memory import tune_memory
from gateway.runtime.service_manager import find_service_manager
from gateway.settings.schema import Config
from gateway.transport.host_loop import HostLoop

if TYPE_CHECKING:
    from gateway.storage.storage import Storage

log = logging.getLogger("leafgate")

# How often the start looks again for what is not there yet.
RETRY_SECONDS = 1.0


def run(config: Config, path: Path | None = None) -> int:
    """Run a gateway until a signal ends it; returns the exit status. `path` is the file that `config` came from.

    Raises ConfigError when its certificates cannot be used any more, ListenError and StorageError when what it needs
    does not come in time.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until there is somebody who says that it was heard.
    manager = find_service_manager()
    # What may be waited for is the data directory, and then the addresses.
    manager.starting(2 * config.timeouts.start_seconds)
    start_logging(config.logging)
    tune_memory()
    foretell_descriptors(config)
    tell_of_plain_passwords(config)
    storage = await_storage(config)
    gateway: Gateway | None = None
    try:
        gateway = Gateway(config, storage)
        gateway.open_streams(config)
        gateway.tls |= open_tls(config)
        gateway.path = path
        loop = HostLoop(gateway.reader, gateway.runtime.deadlines, gateway.runtime.switch.flush)
        status: int = loop.run(Daemon(gateway, loop, manager).run)
        return status
    finally:
        is_closed = gateway is None or gateway.streams is None or gateway.streams.close()
        if storage is not None and not (storage.close() and is_closed):
            log.error("event=stopped-without-disk")
            logging.shutdown()
            os._exit(1)  # The thread that hangs with its disk would not let the process end in order.


def open_storage(config: Config) -> "Storage | None":
    """What the data directory holds; None where nothing is to be kept on disk. Raises StorageError."""
    if not config.data_directory:
        return None
    from gateway.storage.storage import Storage

    directory = Path(config.data_directory).expanduser()
    return Storage(directory, config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes, config.trust_clock)


def await_storage(config: Config) -> "Storage | None":
    """What the data directory holds; one that is locked or not there yet is waited for. Raises StorageError."""
    give_up: float | None = None  # Counted from the first try: loading what it takes is no waiting.
    told = ""
    while True:
        try:
            return open_storage(config)
        except DirectoryError as error:
            now = time.monotonic()
            give_up = now + config.timeouts.start_seconds if give_up is None else give_up
            left = give_up - now
            if left <= 0:
                raise
            if str(error) != told:
                told = str(error)
                log.warning("event=waiting-for-directory reason=%r", told)
        time.sleep(min(RETRY_SECONDS, left))
