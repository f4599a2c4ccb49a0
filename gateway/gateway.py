"""Gateway: everything that connections share, in one place. It holds state; `gateway.daemon` runs it."""

import platform
from collections.abc import Awaitable, Callable

import trio

from gateway.accounts.account import GLOBAL_ACCOUNT, Account
from gateway.busy_poll import BusyPoll
from gateway.config import Config
from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port
from gateway.deadlines import Deadlines
from gateway.identity import new_server_id
from gateway.registry import Registry
from gateway.sessions.mqtt_clients import MqttClients
from gateway.storage.retained_messages import RetainedMessages
from gateway.version import VERSION

# Clients switch features on by the server version: this is the nats-server whose client protocol we speak.
SPOKEN_VERSION = "2.15.1"
API_LEVEL = 1


class Gateway:
    """`connections` is the nursery that holds a task for each connection; it is set while the daemon runs.

    `stopping` is set when nothing new shall begin any more.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.server_id = new_server_id()
        self.server_name = config.server_name
        self.started = trio.current_time()
        self.switch = Switch()
        self.registry = Registry()
        self.deadlines = Deadlines()
        self.busy_poll = BusyPoll()
        self.port = Port(None)
        retained = RetainedMessages(config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes)
        self.account = Account(GLOBAL_ACCOUNT, retained)
        self.mqtt_clients = MqttClients()
        self.connections: trio.Nursery | None = None
        self.stopping = trio.Event()

    def start_task(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run a task that lives as long as the connections do."""
        if self.connections is None:
            raise RuntimeError("the gateway does not run")
        self.connections.start_soon(task)

    def server_info(self) -> dict[str, object]:
        """The fields of INFO that are the same for every NATS client."""
        return {
            "server_id": self.server_id,
            "server_name": self.server_name,
            "version": SPOKEN_VERSION,
            "proto": 1,
            "go": f"leafgate-{VERSION} python-{platform.python_version()}",
            "headers": True,
            "max_payload": self.config.limits.max_payload_bytes,
        }
