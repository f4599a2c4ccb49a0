"""Options: what a request asks for, as JSON in its body with nats-server's names, and as the parameters of a query."""

import msgspec

from gateway.runtime.identity import Names
from protocols import foreign_json
from protocols.foreign_json import Int64

# By the state that connz's options give as a number.
STATES = ("open", "closed", "any")


class OptionsError(Exception):
    """The text is for whoever asked."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Which servers shall answer, and what each report is to show. What is not known is ignored."""

    # Which servers.
    server_name: str = ""
    cluster: str = ""
    host: str = ""
    exact_match: bool = False
    tags: tuple[str, ...] = ()
    domain: str = ""
    # What to show.
    sort: str = ""
    auth: bool = False
    subscriptions: bool = False
    subscriptions_detail: bool = False
    offset: Int64 = 0
    limit: Int64 = 0
    cid: Int64 = 0
    mqtt_client: str = ""
    state: Int64 = 0
    user: str = ""
    acc: str = ""
    account: str = ""
    test: str = ""
    include_unused: bool = False
    accounts: tuple[str, ...] | bool = ()
    stream: str = ""
    consumer: str | bool = ""
    details: bool = False
    js_enabled: bool = msgspec.field(default=False, name="js-enabled")
    js_enabled_only: bool = msgspec.field(default=False, name="js-enabled-only")
    js_server_only: bool = msgspec.field(default=False, name="js-server-only")
    js_meta_only: bool = msgspec.field(default=False, name="js-meta-only")

    def select(self, names: Names) -> bool:
        """Whether this server is to answer: it is in no cluster, and has neither tags nor a domain."""
        if self.tags or self.domain or self.cluster:
            return False
        if self.exact_match:
            return self.server_name in ("", names.server_name) and self.host in ("", HOST)
        return self.server_name in names.server_name and self.host in HOST

    def parameters(self) -> dict[str, str]:
        """The same as parameters of a query. Raises OptionsError."""
        if not 0 <= self.state < len(STATES):
            raise OptionsError(f"state: expected 0, 1 or 2, got {self.state}")
        consumer = self.consumer if isinstance(self.consumer, str) else ""
        texts = {
            "sort": self.sort,
            "subs": "detail" if self.subscriptions_detail else "1" if self.subscriptions else "",
            "offset": str(self.offset or ""),
            "limit": str(self.limit or ""),
            "cid": str(self.cid or ""),
            "mqtt_client": self.mqtt_client,
            "state": STATES[self.state] if self.state else "",
            "user": self.user,
            "acc": self.acc or self.account,
            "account": self.account,
            "test": self.test,
            "stream": self.stream,
            "consumer": consumer,
        }
        switches = {
            "auth": self.auth,
            "unused": self.include_unused,
            "details": self.details,
            "js-enabled": self.js_enabled,
            "js-enabled-only": self.js_enabled_only,
            "js-server-only": self.js_server_only,
            "js-meta-only": self.js_meta_only,
        }
        return {name: text for name, text in texts.items() if text} | {
            name: "1" for name, wanted in switches.items() if wanted
        }


# As the gateway gives its own (gateway.services.server_facts).
HOST = "0.0.0.0"  # noqa: S104 - a name, not an address to listen on


def read_options(body: bytes) -> Options:
    """An empty body asks for nothing special. Raises OptionsError."""
    if not body:
        return Options()
    try:
        return foreign_json.decode(body, Options)
    except msgspec.DecodeError as error:
        raise OptionsError(str(error)) from None
