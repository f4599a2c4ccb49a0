"""Leafnode protocol, spoke role: how a hub introduces itself, and what it is told of us."""

import msgspec

from protocols.leafnode.link import LinkDecoder, Permissions

# A hub's INFO carries its permissions and the URLs of its cluster.
MAX_CONTROL_LINE = 1 << 18
# The most that any hub allows; it tells its own limit in INFO.
MAX_PAYLOAD = 1 << 26
# Subject and queue group of what a hub with JetStream takes, but never tells leafnodes: what is published to key-value
# buckets, and requests that read a message directly from a stream.
UNTOLD_INTERESTS = ((b"$KV.>", b""), (b"$JS.API.DIRECT.GET.>", b"_sys_"))
# Version of the leafnode protocol: hubs refuse spokes below 2.8.0 when they are told to.
SPOKEN_VERSION = "2.15.1"


class HubInfo(msgspec.Struct, rename={"may_receive": "import", "may_send": "export"}):
    """INFO of a hub: the first names it, a later one (`connect_info`) says what the link may carry."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    proto: int = 0
    client_id: int = 0
    max_payload: int = 0
    nonce: str = ""
    tls_required: bool = False
    info_on_connect: bool = False
    jetstream: bool = False
    domain: str = ""
    cluster: str = ""
    connect_info: bool = False
    remote_account: str = ""
    leafnode_urls: tuple[str, ...] | None = None
    ws_connect_urls: tuple[str, ...] | None = None
    may_receive: Permissions | None = None
    may_send: Permissions | None = None


_info_decoder = msgspec.json.Decoder(HubInfo)


class SpokeDecoder(LinkDecoder):
    """Decodes what a hub sends: HubInfo beside the events of both ends."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(MAX_PAYLOAD, MAX_CONTROL_LINE)

    def parse_introduction(self, operation: bytes, rest: bytes) -> object:
        if operation != b"INFO":
            return self.unknown_operation()
        try:
            return _info_decoder.decode(rest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self.malformed(b"INFO", f"is no valid JSON object: {error}")


def encode_connect(fields: dict[str, object]) -> bytes:
    return b"CONNECT %b\r\n" % msgspec.json.encode(fields)
