"""Announcements: what becomes of a link, told in its account on `$LEAFGATE.uplink.NAME`.

    nats sub '$LEAFGATE.uplink.*'

Each is a JSON object: `state` is `up`, `down`, `standby` (another link serves the same place) or `removed`; `name`,
`gateway`, `account`, `url`, and `hub`, the server's own name; `error` says in a sentence why it is not up; `time` is
when, in RFC 3339. A request to `$LEAFGATE.uplinks` is answered with a list of such objects, one for each link of the
account as it is now.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.uplink.status import LinkStatus
from protocols.message import Message, make_message

SUBJECT = b"$LEAFGATE.uplink."
REQUESTS = b"$LEAFGATE.uplinks"
REMOVED = "removed"


class Announcements:
    """Tells of one link, once per change of its state."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._told = ""

    def tell(self, account: Account, status: LinkStatus, state: str = "") -> None:
        """The caller flushes the switch."""
        state = state or status.state
        if state == self._told:
            return
        self._told = state
        about = describe(self._gateway, status) | {"state": state}
        account.publish(make_message(SUBJECT + status.name.encode(), msgspec.json.encode(about)))


def describe(gateway: str, status: LinkStatus) -> dict[str, str]:
    return {
        "state": status.state,
        "name": status.name,
        "gateway": gateway,
        "account": status.account,
        "url": status.url,
        "hub": status.hub,
        "error": "" if status.up else status.last_error,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


class UplinkRequests(Receiver):
    """Answers requests for the state of an account's links; those from beyond a link are not answered."""

    __slots__ = ("_account", "_gateway", "_statuses")

    def __init__(self, gateway: str, account: Account, statuses: Callable[[], Iterable[LinkStatus]]) -> None:
        super().__init__(Port(None), REQUESTS, b"")
        self.dear = SERVICE
        self.local_only = True
        self._gateway = gateway
        self._account = account
        self._statuses = statuses

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        found = [describe(self._gateway, one) for one in self._statuses()]
        self._account.answer(make_message(message.reply, msgspec.json.encode(found)), source, self.port)
        return True
