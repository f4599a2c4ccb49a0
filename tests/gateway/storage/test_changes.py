"""Any changes, commits, failures and restarts, in any order, leave in the database what a model says."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.storage.storage import Storage
from gateway.storage.stored_session import StoredSession
from protocols.message import Message, make_message
from protocols.mqtt.packets import Subscription
from tests.gateway.storage.running_journal import commit

KEYS = st.integers(1, 4)


class Changes(RuleBasedStateMachine):
    """`keys` are those of the sessions that there are, by the number of their client."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.storage = self.opened()
        self.sessions: dict[int, tuple[bytes, float]] = {}
        self.subscriptions: dict[tuple[int, bytes], int] = {}
        self.received: set[tuple[int, int]] = set()
        self.queue: dict[tuple[int, int], Message | None] = {}
        self.keys: dict[int, int] = {}
        self.sequence = 0

    def opened(self) -> Storage:
        return Storage(Path(self.directory.name), 100_000, 100 << 20)

    def teardown(self) -> None:
        self.restart()
        self.storage.close()
        self.directory.cleanup()

    def key(self, number: int) -> int:
        """The key of a session, which is made when it is not there."""
        if number not in self.keys:
            key = self.keys[number] = self.storage.global_account.mqtt_sessions.new_key()
            self.save(number, 0)
            return key
        return self.keys[number]

    @rule(number=KEYS, ended_at=st.integers(0, 9))
    def save(self, number: int, ended_at: int) -> None:
        key = self.key(number)
        self.sessions[key] = (b"client%d" % number, float(ended_at))
        self.storage.global_account.mqtt_sessions.save(StoredSession(key, b"client%d" % number, 4, 0, float(ended_at)))

    @rule(number=KEYS)
    def delete(self, number: int) -> None:
        key = self.key(number)
        self.storage.global_account.mqtt_sessions.delete(key)
        del self.keys[number], self.sessions[key]
        self.subscriptions = {one: value for one, value in self.subscriptions.items() if one[0] != key}
        self.received = {one for one in self.received if one[0] != key}
        self.queue = {one: value for one, value in self.queue.items() if one[0] != key}

    @rule(number=KEYS, topic_filter=st.sampled_from([b"a", b"b"]), qos=st.integers(-1, 2))
    def subscribe(self, number: int, topic_filter: bytes, qos: int) -> None:
        key = self.key(number)
        if qos < 0:
            self.storage.global_account.mqtt_sessions.delete_subscription(key, topic_filter)
            self.subscriptions.pop((key, topic_filter), None)
        else:
            self.storage.global_account.mqtt_sessions.save_subscription(key, Subscription(topic_filter, qos))
            self.subscriptions[key, topic_filter] = qos

    @rule(number=KEYS, packet_id=st.integers(1, 3), remember=st.booleans())
    def receive(self, number: int, packet_id: int, remember: bool) -> None:
        key = self.key(number)
        if remember:
            self.storage.global_account.mqtt_sessions.remember_received(key, packet_id)
            self.received.add((key, packet_id))
        else:
            self.storage.global_account.mqtt_sessions.forget_received(key, packet_id)
            self.received.discard((key, packet_id))

    @rule(numbers=st.sets(KEYS, min_size=1))
    def enqueue(self, numbers: set[int]) -> None:
        self.sequence += 1
        message = make_message(b"s", b"%d" % self.sequence)
        for number in numbers:
            key = self.key(number)
            assert self.storage.global_account.mqtt_sessions.enqueue(key, self.sequence, message, 2)
            self.queue[key, self.sequence] = message

    @rule(place=st.integers(0, 1000), release=st.booleans())
    def acknowledge(self, place: int, release: bool) -> None:
        if not self.queue:
            return
        key, sequence = sorted(self.queue)[place % len(self.queue)]
        message = self.queue[key, sequence]
        if release and message is not None:
            self.storage.global_account.mqtt_sessions.release(key, sequence, message)
            self.queue[key, sequence] = None
        else:
            self.storage.global_account.mqtt_sessions.dequeue(key, sequence, message)
            del self.queue[key, sequence]

    @rule()
    def commit(self) -> None:
        commit(self.storage.journal)

    @rule()
    def read_only(self) -> None:
        """The next batch cannot be written at first; it goes on collecting until the database is opened anew."""
        self.storage.database.connection.execute("PRAGMA query_only = ON")

    @rule()
    def restart(self) -> None:
        commit(self.storage.journal)
        commit(self.storage.journal)  # What ended sessions gave back.
        self.storage.close()
        self.storage = self.opened()
        self.check()

    @invariant()
    def counts_are_never_below_nothing(self) -> None:
        assert self.storage.journal.pending_bytes >= 0

    def check(self) -> None:
        connection = self.storage.database.connection
        rows = connection.execute("SELECT key, client_id, ended_at FROM session")
        found = {key: (client_id, ended_at) for key, client_id, ended_at in rows}
        assert found == self.sessions
        rows = connection.execute("SELECT session, topic_filter, qos FROM subscription")
        assert {(key, topic_filter): qos for key, topic_filter, qos in rows} == self.subscriptions
        assert set(connection.execute("SELECT session, packet_id FROM received")) == self.received
        rows = connection.execute("SELECT session, sequence, body FROM queue LEFT JOIN message ON id = message")
        queue = {key: None if message is None else message.body() for key, message in self.queue.items()}
        assert {(key, sequence): body for key, sequence, body in rows} == queue
        bodies = {message.body() for message in self.queue.values() if message is not None}
        assert sorted(connection.execute("SELECT body FROM message")) == sorted((body,) for body in bodies)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=25, stateful_step_count=40)
