"""Pair link: what is said aside over one leafnode link to the other gateway of the pair.

    opened the link: Hello ─> Welcome ─> Introduction     from then on both say the same things
    took the link:   Hello ─> Welcome ─> Introduction

Either proves that it has the secret by a digest of both nonces and of which end it is.
"""

import hashlib
import hmac
import logging
import os
from typing import Protocol

import trio

from gateway.nats.aside import Pieces
from gateway.pair import wire
from gateway.runtime.neighbour import Link

log = logging.getLogger("leafgate.pair")

NONCE_BYTES = 16
OPENER, TAKER = b"opener", b"taker"
UNPROVEN = "the other gateway has another secret in [pair]"
OTHER_VERSION = "the other gateway speaks another version of this"


class Partner(Protocol):
    """Who is at this end."""

    def facts(self, link: Link) -> wire.Facts: ...

    def recognised(self, link: "PairLink") -> None:
        """The other end is the other gateway of the pair."""

    def heard(self, link: "PairLink", packet: wire.Packet) -> None: ...


class PairLink:
    """`opened_here`: the link is an uplink of ours. `other` is who is at the other end, once that is known."""

    def __init__(self, partner: Partner, link: Link, secret: str, opened_here: bool) -> None:
        self.link = link
        self.opened_here = opened_here
        self.other: wire.Facts | None = None
        self.scope = trio.CancelScope()
        self._partner = partner
        self._secret = secret.encode()
        self._pieces = Pieces(wire.MOST_BYTES)
        self._nonce = os.urandom(NONCE_BYTES)
        self._nonces = b""
        self._number = 0
        self._one_at_a_time = trio.Lock()
        self._acknowledged = trio.Event()
        if opened_here:
            self.send(wire.Hello(wire.VERSION, self._nonce))

    def send(self, packet: wire.Packet) -> None:
        self.link.send_aside(wire.encode(packet))

    async def deliver(self, items: list[wire.Item]) -> None:
        """Return once the other gateway has a batch on its disk."""
        async with self._one_at_a_time:
            self._number += 1
            self._acknowledged = trio.Event()
            self.send(wire.Batch(self._number, items))
            await self._acknowledged.wait()

    def take(self, piece: bytes) -> None:
        """What the other end says."""
        try:
            whole = self._pieces.add(piece)
            if whole is not None:
                self._hear(wire.decode(whole))
        except ValueError as error:
            self._refuse(f"it says what is not understood: {error}")

    def _hear(self, packet: wire.Packet) -> None:
        if isinstance(packet, wire.Hello | wire.Welcome | wire.Introduction):
            self._introduce(packet)
        elif self.other is None:
            self._refuse("it has not said who it is")
        elif isinstance(packet, wire.Ack):
            if packet.number == self._number:
                self._acknowledged.set()
        else:
            self._partner.heard(self, packet)

    def _introduce(self, packet: wire.Hello | wire.Welcome | wire.Introduction) -> None:
        if isinstance(packet, wire.Hello):
            if self.opened_here or packet.version != wire.VERSION:
                self._refuse(OTHER_VERSION)
                return
            self._nonces = packet.nonce + self._nonce
            facts = self._partner.facts(self.link)
            self.send(wire.Welcome(wire.VERSION, self._nonce, self._proof(TAKER), facts))
        elif isinstance(packet, wire.Welcome):
            if not self.opened_here or packet.version != wire.VERSION:
                self._refuse(OTHER_VERSION)
                return
            self._nonces = self._nonce + packet.nonce
            if self._is_proven(packet.proof, TAKER):
                self.send(wire.Introduction(self._proof(OPENER), self._partner.facts(self.link)))
                self._recognise(packet.facts)
        elif not self.opened_here and self._nonces and self._is_proven(packet.proof, OPENER):
            self._recognise(packet.facts)

    def _proof(self, role: bytes) -> bytes:
        return hmac.new(self._secret, role + self._nonces, hashlib.sha256).digest()

    def _is_proven(self, proof: bytes, role: bytes) -> bool:
        if hmac.compare_digest(proof, self._proof(role)):
            return True
        self._refuse(UNPROVEN)
        return False

    def _recognise(self, facts: wire.Facts) -> None:
        if self.other is None:
            self.other = facts
            self._partner.recognised(self)

    def _refuse(self, reason: str) -> None:
        log.error("event=pair-refused reason=%r", reason)
        self.link.end(f"pair: {reason}")
