"""Wills: what clients want to be said when they are gone, said where the disk has room for all who keep it."""

import logging
from collections.abc import Callable

import trio

from gateway.accounts.account import Account
from gateway.mqtt.session import MqttSession
from gateway.runtime.logs import shown
from gateway.runtime.runtime import Runtime
from protocols.message import Message

log = logging.getLogger("leafgate.mqtt")

# A will for which the disk has no room is said again and again, as long as so many bytes of such wills wait.
UNSAID_SECONDS = 1.0
UNSAID_OVERHEAD = 1024
MOST_UNSAID_BYTES = 8 << 20


class Wills:
    """Those of one account. `expect_replies` has answers taken that are asked for."""

    def __init__(self, runtime: Runtime, account: Account, expect_replies: Callable[[], None]) -> None:
        self._runtime = runtime
        self._account = account
        self._expect_replies = expect_replies
        self._unsaid_bytes = 0

    def say(self, message: Message, session: MqttSession, said: Callable[[], None]) -> None:
        """Publish a will, and call `said`; later where the disk has no room for all who keep it. One that may not be
        published any more is dropped.
        """
        if not session.allows(message.subject):
            log.warning("event=will-dropped client-id=%s detail='it may not be published'", shown(session.client_id))
            said()
            return
        if message.reply:
            self._expect_replies()
        size = message.size + UNSAID_OVERHEAD
        may_wait = self._unsaid_bytes + size <= MOST_UNSAID_BYTES

        def again(now: float) -> None:
            self._unsaid_bytes -= size
            self.say(message, session, said)

        def done(message: Message) -> None:
            if may_wait and message.refused:
                self._unsaid_bytes += size
                self._runtime.deadlines.call_at(trio.current_time() + UNSAID_SECONDS, again)
            else:
                said()

        self._account.publish(message, session, whole=may_wait, done=done)
