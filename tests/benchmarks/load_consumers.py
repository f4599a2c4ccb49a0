"""Consumers of a stream: one client that asks for messages or is sent them, and acknowledges where that is asked for.

What comes is searched for what it must hold, not parsed: at hundreds of thousands a second it is the server that is to
be the limit.
"""

import json
import re
import time
from typing import Any

from load_nats import NatsClient
from load_requests import blocking_reads
from load_stored import STREAM, ask
from machine import LoadError
from server_process import Address

CONSUMER = "READER"
# Where messages come; nats-server sends to nobody who hears it by a wildcard.
INBOX = "_INBOX.reader.1"
_ACK = re.compile(rb" (\$JS\.ACK\.[^ ]+) ")
_FLOW = re.compile(rb" (\$JS\.FC\.[^ ]+) ")
_MARK = b" $JS.ACK."
_PING = b"PING\r\n"


class Reader:
    """A client and what it has received of its consumer."""

    def __init__(self, address: Address) -> None:
        self.client = NatsClient.over_tcp(address)
        self.client.subscribe(INBOX)
        self._address = address
        self._socket = self.client.stream.socket
        blocking_reads(self._socket)
        # The begin of a line, with which the last piece ended.
        self._rest = b""

    def close(self) -> None:
        self.client.stream.close()

    def make(self, **config: Any) -> None:
        """Make the consumer, and begin at the first message."""
        request = {"stream_name": STREAM, "config": {"durable_name": CONSUMER, **config}}
        subject = f"$JS.API.CONSUMER.CREATE.{STREAM}.{CONSUMER}"
        answer = ask(self._address, subject, json.dumps(request).encode())
        if "error" in answer:
            raise LoadError(f"no consumer: {answer['error']}")

    def pull(self, batch: int, most: int, seconds: float) -> int:
        """Ask for batches, two at a time, and acknowledge each message; how many of at most so many came in time."""
        again = self._request(batch)
        self._socket.sendall(again * 2)
        received = asked = 0
        end = time.perf_counter() + seconds
        while received < most and time.perf_counter() < end:
            replies = _ACK.findall(self._lines())
            received += len(replies)
            asked += len(replies)
            answer = b"".join([b"PUB %b 0\r\n\r\n" % reply for reply in replies])
            while asked >= batch:
                asked -= batch
                answer += again
            self._socket.sendall(answer)
        return received

    def take(self, most: int, seconds: float) -> int:
        """Be sent messages and answer what flow control asks; how many of at most so many came in time."""
        received = 0
        end = time.perf_counter() + seconds
        while received < most and time.perf_counter() < end:
            whole = self._lines()
            received += whole.count(_MARK)
            if b" $JS.FC." in whole:
                for reply in _FLOW.findall(whole):
                    self._socket.sendall(b"PUB %b 0\r\n\r\n" % reply)
        return received

    def _request(self, batch: int) -> bytes:
        payload = b'{"batch":%d,"expires":30000000000}' % batch
        return self.client.publication(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}", payload, INBOX)

    def _lines(self) -> bytes:
        """What has come, up to the end of its last line."""
        read = self._socket.recv(1 << 18)
        if not read:
            raise LoadError("the server closed the connection")
        if _PING in read:
            self._socket.sendall(b"PONG\r\n")
        data = self._rest + read
        end = data.rfind(b"\r\n") + 2
        self._rest = data[end:]
        return data[:end]
