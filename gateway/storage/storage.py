"""Storage: the room as a whole, opened and loaded."""

import sqlite3
from pathlib import Path

from gateway.errors import StorageError
from gateway.runtime.identity import new_gateway_id
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.storage.damage import DamagedError, is_damage, reading
from gateway.storage.database import Database
from gateway.storage.identities import Identities, PublishedId
from gateway.storage.journal import Journal
from gateway.storage.message_store import MessageStore
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from gateway.storage.running_clock import RunningClock, is_synchronised
from gateway.storage.session_store import SessionStore
from gateway.storage.stored_session import RestoredSession

ACCOUNTS = "SELECT account FROM session UNION SELECT account FROM retained UNION SELECT account FROM published"


class Storage:
    """What a data directory holds, loaded; `directory` None keeps everything in memory. Raises StorageError.

    `gateway_id` names the directory's gateway in reply subjects. What is noted is written once `journal.start` was
    called. A database that turns out to be damaged is set aside, `database.set_aside` says where, and an empty one
    takes its place. `trust_clock`: the wall clock is right, whatever the kernel says of it.
    """

    def __init__(
        self,
        directory: Path | None,
        max_retained_messages: int,
        max_retained_bytes: int,
        trust_clock: bool = False,
    ) -> None:
        self.directory = directory
        self._trust_clock = trust_clock
        self._limits = (max_retained_messages, max_retained_bytes)
        self._identities: Identities | None = None
        self.database = Database(directory)
        try:
            try:
                with reading():
                    self._load()
            except (sqlite3.Error, DamagedError) as error:
                if not is_damage(error):
                    raise
                self.database.start_anew(str(error))
                self._load()
        except sqlite3.Error as error:
            self.database.close()
            raise StorageError(f"data-directory: cannot read {self.database.path}: {error}") from None

    def close(self) -> bool:
        """Close everything behind what is being written. False when the disk hangs: then it stays open, and the process
        is to end with `os._exit`.
        """
        if not self.journal.stop():
            return False
        self.database.close()
        return True

    @property
    def global_account(self) -> "AccountStorage":
        return self.account(DEFAULT_ACCOUNT)

    def stored_accounts(self) -> list[str]:
        """The accounts of which something is on the disk."""
        return [name for (name,) in self.database.connection.execute(ACCOUNTS)]

    def account(self, name: str) -> "AccountStorage":
        """What an account holds: nothing where nobody has heard of it before."""
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts[name] = AccountStorage(self.journal, self._messages, name, self.clock, *self._limits)
            found.keep_identities(self._identities)
        return found

    def keep_identities(self, identities: Identities) -> None:
        """Take what is remembered beside the messages of streams; to be called once, before sessions are restored. What
        is of sessions that are not there any more is forgotten.
        """
        self._identities = identities
        for account in self._accounts.values():
            account.keep_identities(identities)
        sessions = {one.session.key: one for account in self._accounts.values() for one in account.restored}
        for key, packet_ids in list(identities.received().items()):
            if key in sessions:
                sessions[key].received.update(packet_ids)
            else:
                identities.forget_session(key)
        for name, identifier, sequence, publisher in sorted(identities.published(), key=sequence_of):
            self.account(name).published_ids.adopt(identifier, sequence, publisher)

    def _load(self) -> None:
        self._accounts: dict[str, AccountStorage] = {}
        self.gateway_id = self.database.remember("gateway-id", new_gateway_id()).encode()
        self.journal = Journal(self.database)
        self.clock = RunningClock(self.journal, (lambda: True) if self._trust_clock else is_synchronised)
        self.clock.load()
        self._messages = MessageStore(self.journal)
        self._messages.load()
        # Loading is what finds damage that no check has found.
        for name in (DEFAULT_ACCOUNT, *self.stored_accounts()):
            self.account(name).load()


def sequence_of(one: PublishedId) -> int:
    return one.sequence


class AccountStorage:
    """What belongs to one account. `restored` are the MQTT sessions that were found."""

    def __init__(
        self,
        journal: Journal,
        messages: MessageStore,
        name: str,
        clock: RunningClock,
        max_retained_messages: int,
        max_retained_bytes: int,
    ) -> None:
        self.mqtt_sessions = SessionStore(journal, messages, name)
        self.restored: list[RestoredSession] = []
        self.retained = RetainedMessages(max_retained_messages, max_retained_bytes, journal, clock.now, name)
        self.published_ids = PublishedIds(journal, account=name)

    def keep_identities(self, identities: Identities | None) -> None:
        self.mqtt_sessions.identities = self.published_ids.identities = identities

    def load(self) -> None:
        """Take what the database holds. Raises sqlite3.Error."""
        self.restored = self.mqtt_sessions.load()
        self.retained.load()
        self.published_ids.load()
