"""Keys and JWTs that others make: keys by PyPI's nkeys, tokens by npm's @nats-io/jwt; and a login with them."""

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import nkeys

from tests.integration.node_peers import NodeClient, require_node
from tests.integration.peers import Peer
from tests.integration.raw_peer import nats_line
from tests.patience import PATIENCE_SECONDS

PREFIXES = {
    "O": nkeys.PREFIX_BYTE_OPERATOR,
    "A": nkeys.PREFIX_BYTE_ACCOUNT,
    "U": nkeys.PREFIX_BYTE_USER,
}
UNLIMITED = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}


class Key:
    """A key pair of the other implementation."""

    def __init__(self, kind: str) -> None:
        self.seed = bytes(nkeys.encode_seed(os.urandom(32), PREFIXES[kind])).decode()
        self.public = bytes(self._pair().public_key).decode()

    def sign(self, message: bytes) -> str:
        return base64.urlsafe_b64encode(self._pair().sign(message)).rstrip(b"=").decode()

    def _pair(self) -> nkeys.KeyPair:
        return nkeys.from_seed(bytearray(self.seed.encode()))


@dataclass
class Maker:
    """A running program that makes tokens: tests/integration/node/jwt_maker.mjs."""

    node: NodeClient

    def __call__(self, command: str, name: str, **arguments: Any) -> str:
        given = {key: value.seed if isinstance(value, Key) else value for key, value in arguments.items()}
        made: str = self.node.call(command, name=name, **given)
        return made

    def credentials(self, token: str, key: Key) -> str:
        made: str = self.node.call("credentials", token=token, seed=key.seed)
        return made


@contextmanager
def jwt_maker() -> Iterator[Maker]:
    node = NodeClient(require_node("@nats-io/jwt", "@nats-io/nkeys"), "jwt_maker.mjs", "")
    try:
        assert node.next_answer() == "connected"
        yield Maker(node)
    finally:
        node.close()


@dataclass
class House:
    """An operator and its accounts' tokens by public key."""

    make: Maker
    operator: Key = field(default_factory=lambda: Key("O"))
    claims: dict[str, Any] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return self.make("operator", "house", seed=self.operator, claims=self.claims)

    def account(self, name: str, signer: Key | None = None, key: Key | None = None, exp: int = 0, **claims: Any) -> Key:
        """A further account, without limits unless `claims` has other ones."""
        key = key or Key("A")
        claims = {"limits": UNLIMITED} | claims
        more = {"exp": exp} if exp else {}
        token = self.make("account", name, seed=key, signer=signer or self.operator, claims=claims, **more)
        self.accounts[key.public] = token
        return key

    def nats_config(self, system: str = "") -> str:
        preload = "\n".join(f"{public}: {token}" for public, token in self.accounts.items())
        lines = [f"operator: {self.token}", "resolver: MEMORY", f"resolver_preload {{\n{preload}\n}}"]
        return "\n".join([*lines, f"system_account: {system}" if system else ""])

    def gateway_config(self, directory: str = "", system: str = "") -> str:
        where = f"directory = {json.dumps(directory)}\n" if directory else ""
        lines = ["[authentication]", f'operator = "{self.token}"', f'system-account = "{system}"']
        lines += [f"[authentication.resolver]\n{where}[authentication.resolver.preload]"]
        lines += [f'{public} = "{token}"' for public, token in self.accounts.items()]
        return "\n".join(lines)


def log_in(peer: Peer, token: str, key: Key | None, *, nonce: bytes | None = None, **fields: Any) -> str:
    """What a server answers to CONNECT with this token and PING: PONG, an error, or nothing before it closes.

    The challenge is signed by `key` unless another `nonce` is to be.
    """
    with logged_in(peer, token, key, nonce=nonce, **fields) as stream:
        return nats_line(stream).decode().strip()


@contextmanager
def logged_in(
    peer: Peer, token: str, key: Key | None, *, nonce: bytes | None = None, **fields: Any
) -> Iterator[BinaryIO]:
    """A connection on which CONNECT and PING were said; what is read is what the server says to them."""
    with (
        socket.create_connection(peer.address("nats"), timeout=PATIENCE_SECONDS) as sock,
        sock.makefile("rb") as stream,
    ):
        info = json.loads(nats_line(stream)[len(b"INFO ") :])
        signature = {"sig": key.sign(info["nonce"].encode() if nonce is None else nonce)} if key is not None else {}
        connect = {"verbose": False, "pedantic": False, "protocol": 1, "jwt": token} | signature | fields
        sock.sendall(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")
        yield stream


def soon(seconds: float) -> int:
    return int(time.time() + seconds)
