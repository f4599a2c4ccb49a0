"""Who am I: a request to `$SYS.REQ.USER.INFO` is answered as nats-server does where there are no accounts.

nats request '$SYS.REQ.USER.INFO' ''
"""

from datetime import UTC, datetime

import msgspec

from gateway.accounts.account import Account
from gateway.dataplane.port import Port, Receiver
from gateway.runtime.runtime import Runtime
from gateway.version import SPOKEN_VERSION
from protocols.message import Message, make_message

SUBJECT = b"$SYS.REQ.USER.INFO"


class UserRequests(Receiver):
    """Answers the requests of one account's own clients."""

    __slots__ = ("_account", "_answers", "_runtime")

    def __init__(self, runtime: Runtime, account: Account) -> None:
        super().__init__(Port(None), SUBJECT, b"")
        # The hub knows who the gateway is there, not who its clients are.
        self.local_only = True
        self._runtime = runtime
        self._account = account
        self._answers = 0

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        self._answers += 1
        names = self._runtime.names
        server = {
            "name": names.server_name,
            "host": "0.0.0.0",  # noqa: S104 - a name, as nats-server gives its own
            "id": names.server_id,
            "ver": SPOKEN_VERSION,
            "jetstream": False,
            "flags": 0,
            "seq": self._answers,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        account = self._account.name
        data = {"user": getattr(source, "user", ""), "account": account, "account_name": account}
        answer = make_message(message.reply, msgspec.json.encode({"server": server, "data": data}))
        self._account.publish(answer, self.port)
        return True
