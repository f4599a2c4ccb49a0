"""Worker: a thread in which librdkafka is called, for it waits and calls back as it likes."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from gateway.integrations.site import IntegrationError

log = logging.getLogger("leafgate.kafka")

# How long one look at the cluster may take; while it is away it is looked at as often.
LOOK_SECONDS = 1.0
# How long the end is waited for: the thread of a library that hangs is left behind.
STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Reports:
    """Where it is told, in trio's thread, how it goes: `away` why the cluster does not answer, `there` that it does,
    `trouble` what ends the work.
    """

    away: Callable[[str], None]
    there: Callable[[], None]
    trouble: Callable[[IntegrationError], None]


class Worker:
    """One thread, from `start` until `stop`, or until what it does is over."""

    def __init__(self, reports: Reports) -> None:
        self.stopping = False
        self.ended = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._reports = reports
        # What went wrong last, as librdkafka says it, and whether it is to be seen whether the cluster is there.
        self.reason = "no broker answers"
        self.is_doubtful = True
        self._thread = threading.Thread(target=self._run, name="leafgate-kafka", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """End it; does not wait for ever."""
        self.stopping = True
        self.wake()
        with trio.move_on_after(STOP_SECONDS) as scope:
            scope.shield = True
            await self.ended.wait()

    # What a subclass decides; all but `wake` is called in the thread.

    def wake(self) -> None:
        """Have the thread look at once."""
        raise NotImplementedError

    def work(self) -> None:
        """Until `stopping`."""
        raise NotImplementedError

    def serve_callbacks(self, client: Any) -> None:
        """Have librdkafka call back what it has to say."""
        raise NotImplementedError

    # In the thread.

    def tell(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have something called in trio's thread."""
        try:
            self._token.run_sync_soon(partial(call, *arguments))
        except trio.RunFinishedError:
            self.stopping = True

    def fail(self, sentence: str, lasting: bool = False) -> None:
        self.stopping = True
        self.tell(self._reports.trouble, IntegrationError(sentence, lasting))

    def _run(self) -> None:
        try:
            self.work()
        except Exception as error:
            log.debug("event=failed", exc_info=True)
            self.fail(words_of(error), lasting=True)
        finally:
            self.tell(self.ended.set)

    def heard(self, error: Any) -> None:
        """The callback for errors that concern no single record."""
        from confluent_kafka import KafkaError

        code = error.code()
        if error.fatal():
            self.fail(f"fatal: {error.str()}")
        elif code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            self.fail(f"the broker does not let us in: {short(error.str())}", lasting=True)
        elif code in (KafkaError._SSL,):
            self.fail(f"TLS: {short(error.str())}", lasting=True)
        elif code == KafkaError._ALL_BROKERS_DOWN:
            self.is_doubtful = True
        else:
            self.reason = short(error.str())

    def look(self, client: Any) -> None:
        """See whether the cluster answers, and tell it."""
        from confluent_kafka import KafkaException

        begun = time.monotonic()
        try:
            client.list_topics(timeout=LOOK_SECONDS)
        except KafkaException:
            self.serve_callbacks(client)
            if not self.stopping:
                self.tell(self._reports.away, self.reason)
                time.sleep(max(LOOK_SECONDS / 2 - (time.monotonic() - begun), 0))
            return
        self.is_doubtful = False
        self.tell(self._reports.there)


def words_of(error: BaseException) -> str:
    """What an exception of librdkafka says."""
    inner = error.args[0] if error.args else error
    text = inner.str() if hasattr(inner, "str") else str(inner)
    return short(text) or type(error).__name__


def short(text: str) -> str:
    """A reason without the names of librdkafka's threads and how long it took, which differ each time."""
    text = text.partition(" (after ")[0]
    _, colon, rest = text.partition("/bootstrap: ")
    return (rest if colon else text).strip()[:500]
