"""Absences: what is due while clients are away: the end of their sessions, their wills, and a look at their rights."""

from collections.abc import Callable

import trio

from gateway.accounts.account import Account
from gateway.accounts.review import review
from gateway.mqtt.session import MqttSession
from gateway.mqtt.wills import Wills
from gateway.runtime.deadlines import Deadline
from gateway.runtime.runtime import Runtime
from gateway.storage.stored_session import NEVER_EXPIRES, StoredWill


class Absence:
    """That of one session's client. `began` is in seconds of the account's clock."""

    __slots__ = ("began", "expiry", "session", "will", "will_deadline")

    def __init__(self, session: MqttSession, began: float) -> None:
        self.session = session
        self.began = began
        self.expiry: Deadline | None = None
        self.will: StoredWill | None = None
        self.will_deadline: Deadline | None = None


class Absences:
    """Those of one account. `save` writes down since when a session's client is away, and its will; `expire` ends a
    session whose client did not come back in time.
    """

    def __init__(
        self,
        runtime: Runtime,
        account: Account,
        wills: Wills,
        save: Callable[[MqttSession, float, StoredWill | None], None],
        expire: Callable[[MqttSession], None],
    ) -> None:
        self._runtime = runtime
        self._account = account
        self._wills = wills
        self._save = save
        self._expire = expire
        self._absences: dict[bytes, Absence] = {}
        account.rights_changed = self._rights_changed

    def begin(
        self,
        session: MqttSession,
        began: float,
        will: StoredWill | None,
        will_in: float,
        expires_in: float,
        stopping: bool = False,
    ) -> None:
        """Note what is due. When the gateway is `stopping` the will waits for the next start."""
        client_id = session.client_id
        session.hold_will(will)
        absence = self._absences[client_id] = Absence(session, began)
        now = trio.current_time()
        call_at = self._runtime.deadlines.call_at
        if will is not None:
            will.due_at = self._account.clock() + will_in
            absence.will = will
            if not stopping:
                absence.will_deadline = call_at(now + max(will_in, 0.0), lambda _: self._will_is_due(client_id))
        if expires_in != NEVER_EXPIRES:
            absence.expiry = call_at(now + expires_in, lambda _: self._expire(session))
        self._save(session, began, will)

    def end(self, client_id: bytes) -> StoredWill | None:
        """Nothing is due any more; returns the will that has not been said, if there is one."""
        absence = self._absences.pop(client_id, None)
        if absence is None:
            return None
        self._runtime.deadlines.cancel(absence.expiry)
        self._runtime.deadlines.cancel(absence.will_deadline)
        return absence.will

    def say(self, will: StoredWill, session: MqttSession) -> None:
        """Say the will of somebody who is away; a crash before it is said leaves it to the next start."""
        absence = self._absences[session.client_id]
        will.due_at = will.due_at or absence.began
        self._save(session, absence.began, will)

        def said() -> None:
            if self._absences.get(session.client_id) is absence:
                self._save(session, absence.began, None)

        self._wills.say(will.message, session, said)

    def look_up_rights(self, session: MqttSession) -> None:
        """Nobody is there who would be told of other rights, but there may be a will, and what comes is kept."""
        permissions = self._account.rights_of(session.user, session.proof)
        if permissions is not None:
            session.take_rights(permissions)

    def _will_is_due(self, client_id: bytes) -> None:
        absence = self._absences[client_id]
        will, absence.will = absence.will, None
        if will is not None:
            session = absence.session
            session.hold_will(None)
            self.look_up_rights(session)  # They may have ended meanwhile, and nobody changed anything.
            self.say(will, session)

    def _rights_changed(self) -> None:
        review(self._runtime.turns, list(self._absences), self._review)

    def _review(self, client_id: bytes) -> None:
        absence = self._absences.get(client_id)
        if absence is not None:
            self.look_up_rights(absence.session)
