"""Two healthy clients that ask and answer while others misbehave."""

import threading

from tests.integration.mqtt_conformance.raw_client import MQTT_3_1_1, Clients, RawClient, unique


class RequestAndReply:
    """One asks as fast as the other answers. `go_on` is for a thread, `end` for the others."""

    def __init__(self, clients: Clients) -> None:
        self.rounds = 0
        self._question, self._answer = unique("healthy/question"), unique("healthy/answer")
        self._requester = self._connect(clients, self._answer)
        self._responder = self._connect(clients, self._question)
        self._done = threading.Event()

    @staticmethod
    def _connect(clients: Clients, topic: bytes) -> RawClient:
        client = clients.connect(MQTT_3_1_1, unique("healthy"))
        client.subscribe(topic, 1)
        return client

    def exchange(self) -> None:
        payload = b"%d" % self.rounds
        self._requester.publish(self._question, payload, 1)
        assert self._responder.take().payload == payload
        self._responder.publish(self._answer, payload, 1)
        assert self._requester.take().payload == payload
        self.rounds += 1

    def go_on(self) -> None:
        while not self._done.is_set():
            self.exchange()

    def end(self) -> None:
        self._done.set()
