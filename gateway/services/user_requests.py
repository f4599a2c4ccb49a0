"""Who am I: a request to `$SYS.REQ.USER.INFO` is answered as nats-server does.

nats request '$SYS.REQ.USER.INFO' ''
"""

import time

import msgspec

from gateway.accounts.account import Account
from gateway.accounts.identity import Identity
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.runtime.runtime import Runtime
from gateway.services.server_facts import server_facts
from protocols.message import Message, make_message

SUBJECT = b"$SYS.REQ.USER.INFO"


class UserRequests(Receiver):
    """Answers the requests of one account's own clients."""

    __slots__ = ("_account", "_answers", "_runtime")

    def __init__(self, runtime: Runtime, account: Account) -> None:
        super().__init__(Port(None), SUBJECT, b"")
        self.dear = SERVICE
        # The hub knows who the gateway is there, not who its clients are.
        self.local_only = True
        self._runtime = runtime
        self._account = account
        self._answers = 0

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        self._answers += 1
        server = server_facts(self._runtime.names, self._answers)
        account = self._account.name
        data: dict[str, object] = {"user": getattr(source, "user", ""), "account": account, "account_name": account}
        identity = getattr(source, "identity", None)
        if isinstance(identity, Identity):
            data |= rights_of(identity)
        answer = make_message(message.reply, msgspec.json.encode({"server": server, "data": data}))
        self._account.answer(answer, source, self.port)
        return True


def rights_of(identity: Identity) -> dict[str, object]:
    """The user, what it may do where that is not everything, and for how many nanoseconds where that ends."""
    told: dict[str, object] = {"user": identity.user} if identity.user else {}
    permissions = identity.permissions.describe()
    if permissions is not None:
        told["permissions"] = permissions
    if identity.expires:
        told["expires"] = max(int((identity.expires - time.time()) * 1e9), 0)
    return told
