"""Gateway: everything that connections share, in one place. It holds state; `gateway.daemon` runs it."""

import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import GLOBAL_ACCOUNT, Account
from gateway.dataplane.outbox import Switch
from gateway.dataplane.port import Port, Receiver
from gateway.mqtt.replies import ReplyReceiver
from gateway.mqtt.sessions import MqttSessions
from gateway.runtime.deadlines import Deadlines
from gateway.runtime.identity import new_server_id, new_token
from gateway.services.acknowledged_publish import AcknowledgedPublish
from gateway.services.presence import take_back
from gateway.services.retained_requests import RetainedRequests
from gateway.services.time_requests import TimeRequests
from gateway.settings.schema import Config
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from gateway.storage.storage import Storage
from gateway.transport.busy_poll import BusyPoll
from gateway.transport.registry import Registry
from gateway.version import VERSION
from protocols.message import Message

if TYPE_CHECKING:
    from gateway.devices.service import SerialService

# Clients switch features on by the server version: this is the nats-server whose client protocol we speak.
SPOKEN_VERSION = "2.15.1"
# How often expired retained messages are looked for.
SWEEP_SECONDS = 5.0
SWEPT_AT_ONCE = 1000


class Gateway:
    """`connections` is the nursery that holds a task for each connection; it is set while the daemon runs.

    `stopping` is set when nothing new shall begin any more. `storage` is None where nothing is kept on disk.
    """

    def __init__(self, config: Config, storage: Storage | None = None) -> None:
        self.config = config
        self.server_id = new_server_id()
        self.server_name = config.server_name
        self.started = trio.current_time()
        self.switch = Switch()
        self.registry = Registry()
        self.deadlines = Deadlines()
        self.busy_poll = BusyPoll()
        self.port = Port(None)
        self.storage = storage
        self.journal = storage.journal if storage is not None else None
        retained = (
            storage.retained
            if storage is not None
            else RetainedMessages(config.mqtt.max_retained_messages, config.mqtt.max_retained_bytes)
        )
        self.account = Account(GLOBAL_ACCOUNT, retained)
        self.published_ids = storage.published_ids if storage is not None else PublishedIds()
        # How reply subjects name this gateway.
        self.mqtt_id = storage.gateway_id if storage is not None else new_token()[:8].encode()
        self.mqtt_sessions = MqttSessions(self, storage.mqtt_sessions if storage is not None else None)
        self.account.retained_requests = RetainedRequests(self)
        self._replies = ReplyReceiver(self)
        # What `[[serial]]` names; None where that is nothing.
        self.serial: SerialService | None = None
        self.connections: trio.Nursery | None = None
        self.stopping = trio.Event()

    def start_task(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run a task that lives as long as the connections do."""
        if self.connections is None:
            raise RuntimeError("the gateway does not run")
        self.connections.start_soon(task)

    def offer_time(self) -> None:
        """Tell the time to those who ask from now on."""
        self.account.router.subscribe(TimeRequests(self.account.router))

    def offer_acknowledgements(self) -> None:
        """Publish what comes with a request for that from now on, and acknowledge it."""
        self.account.router.subscribe(AcknowledgedPublish(self))

    def restore(self) -> None:
        """Take up what an earlier run left on the disk."""
        if self.storage is not None:
            self.account.offer_retained()
            self.mqtt_sessions.restore(self.storage.restored)
            self.storage.restored.clear()
            take_back(self)
        self.deadlines.call_at(trio.current_time() + SWEEP_SECONDS, self._sweep)

    def _sweep(self, now: float) -> None:
        self.account.retained.sweep(SWEPT_AT_ONCE)
        self.published_ids.sweep()
        self.deadlines.call_at(now + SWEEP_SECONDS, self._sweep)

    def expect_replies(self) -> None:
        """Take what is sent to the gateway's own reply subjects from now on."""
        if self._replies.slot < 0:
            self.account.router.subscribe(self._replies)

    def must_store(self, message: Message) -> bool:
        """Whether somebody's stored state would change with this message."""
        if message.is_retained():
            return True
        receivers: list[Receiver] = []
        for interest in self.account.router.tree.match(message.subject):
            receivers += interest.plain
            for members in (interest.groups or {}).values():
                receivers += members
        return any(
            getattr(receiver, "qos", 0) and getattr(receiver.port, "store", None) is not None for receiver in receivers
        )

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
