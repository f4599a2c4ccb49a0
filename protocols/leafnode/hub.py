"""Leafnode protocol, hub role: how a spoke introduces itself, and what it is told of us."""

import msgspec

from protocols.leafnode.link import OPERATIONS, LinkDecoder
from protocols.nats.login import NOBODY, Login, LoginFields, read_connect

# Version of the protocol, and what INFO says that we do with compression: nothing.
PROTOCOL = 3
NO_COMPRESSION = "off"
# As long as nats-server takes them from leafnodes: the names of many queue groups may stand in one.
MAX_CONTROL_LINE = 1 << 16


class SpokeConnect(msgspec.Struct, frozen=True, kw_only=True):
    """CONNECT of a spoke; what it did not say is empty. Who it says that it is stands in `login`.

    `name` and `cluster` tell links apart, `remote_account` is the spoke's own account. `deny_pub` is what it does not
    want to hear, `isolate` that it wants to hear of no other link's interest, `is_hub` that it takes the hub's place.
    `lang` and `gateway` are said by those who came to the wrong port.
    """

    name: str = ""
    cluster: str = ""
    version: str = ""
    remote_account: str = ""
    domain: str = ""
    headers: bool = False
    isolate: bool = False
    is_hub: bool = False
    deny_pub: tuple[str, ...] = ()
    lang: str = ""
    gateway: str = ""
    account: str = ""
    login: Login = NOBODY


class _ConnectFields(LoginFields):
    """Types of CONNECT's fields."""

    name: str | None = None
    cluster: str | None = None
    version: str | None = None
    remote_account: str | None = None
    domain: str | None = None
    headers: bool | None = None
    isolate: bool | None = None
    is_hub: bool | None = None
    deny_pub: tuple[str, ...] | None = None
    lang: str | None = None
    gateway: str | None = None
    account: str | None = None


class HubDecoder(LinkDecoder):
    """Decodes what a spoke sends: SpokeConnect beside the events of both ends. An INFO is read past."""

    __slots__ = ()

    def __init__(self, max_payload: int, max_control_line: int, max_header_lines: int = 0) -> None:
        super().__init__(max_payload, max_control_line, OPERATIONS | {b"CONNECT"}, max_header_lines)

    def parse_introduction(self, operation: bytes, rest: bytes) -> object:
        if operation == b"INFO":
            return None
        if operation != b"CONNECT":
            return self.unknown_operation()
        try:
            fields, login = read_connect(rest, _ConnectFields)
        except ValueError as error:
            return self.malformed(b"CONNECT", f"is no valid JSON object: {error}")
        fields.pop("user", None)
        return SpokeConnect(login=login, **fields)  # type: ignore[arg-type]


def is_at_least(version: str, wanted: str) -> bool:
    """Whether a semantic version is that one or a later one; what is no version is not."""
    found, least = _numbers(version), _numbers(wanted)
    return found is not None and (least is None or found >= least)


def _numbers(version: str) -> tuple[int, int, int] | None:
    parts = version.partition("-")[0].split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])
