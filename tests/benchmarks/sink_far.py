"""The other side of a sink, which acknowledges whatever comes without a look at it: sink_far.py KIND PORT"""

import contextlib
import socket
import sys

from protocols.fluent.frames import FrameReader

# What stands in front of the id of a chunk, which has 32 letters, and of that in the answer.
_ASKED, _ANSWER = b"\xa5chunk\xd9\x20", b"\x81\xa3ack\xd9\x20"
_ID_BYTES = 32


def serve(kind: str, port: int) -> None:
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        peer, _ = listening.accept()
        with peer, contextlib.suppress(OSError):
            (answer_chunks if kind == "fluent" else answer_requests)(peer)


def answer_chunks(peer: socket.socket) -> None:
    reader = FrameReader(1 << 28)
    while data := peer.recv(1 << 20):
        reader.feed(data)
        answers = []
        while (frame := reader.next()) is not None:
            assert isinstance(frame, bytes)
            at = frame.rfind(_ASKED) + len(_ASKED)
            answers.append(_ANSWER + frame[at : at + _ID_BYTES])
        peer.sendall(b"".join(answers))


def answer_requests(peer: socket.socket) -> None:
    held = b""
    while data := peer.recv(1 << 20):
        held += data
        head, end, rest = held.partition(b"\r\n\r\n")
        if end:
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(rest) >= size:
                held = rest[size:]
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
