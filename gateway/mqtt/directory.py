"""Session directory: the MQTT sessions of every account, and how many clients may come."""

from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.mqtt.session import MqttSession
from gateway.mqtt.sessions import MqttSessions
from gateway.runtime.runtime import Runtime

if TYPE_CHECKING:
    from gateway.storage.storage import Storage


class SessionDirectory:
    """Makes the sessions of an account when they are asked for. `storage` is None where nothing is kept on disk."""

    def __init__(self, runtime: Runtime, storage: "Storage | None") -> None:
        self._runtime = runtime
        self._storage = storage
        self._sessions: dict[Account, MqttSessions] = {}
        # When the second began in which clients are counted, and how many came in it.
        self._second = 0.0
        self._arrived = 0

    def of(self, account: Account) -> MqttSessions:
        sessions = self._sessions.get(account)
        if sessions is None:
            store = self._storage.account(account.name).mqtt_sessions if self._storage is not None else None
            sessions = self._sessions[account] = MqttSessions(self._runtime, account, store)
        return sessions

    def held(self) -> list[tuple[MqttSessions, MqttSession]]:
        """The sessions of bridges in all accounts, and among which each is."""
        return [(sessions, one) for sessions in self._sessions.values() for one in sessions.held()]

    def __len__(self) -> int:
        """How many sessions there are."""
        return sum(len(sessions) for sessions in self._sessions.values())

    @property
    def connected(self) -> int:
        """How many of them have a client."""
        return sum(sessions.connected for sessions in self._sessions.values())

    async def losses(self) -> tuple[int, int]:
        """Messages that did not get to their client since the start, and those of them that were too large for it."""
        counts = [await sessions.losses() for sessions in list(self._sessions.values())]
        return sum(dropped for dropped, _ in counts), sum(oversized for _, oversized in counts)

    def admits(self) -> bool:
        """Whether one more client may connect in this second; it counts as having come."""
        most = self._runtime.settings.mqtt.max_connects_per_second
        now = trio.current_time()
        if now - self._second >= 1.0:
            self._second = now
            self._arrived = 0
        self._arrived += 1
        return not most or self._arrived <= most
