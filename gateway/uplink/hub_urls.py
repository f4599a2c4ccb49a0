"""Hub URLs: where a link is tried next, out of what is configured and what the hub's cluster tells."""

import random

from gateway.settings.addresses import WEBSOCKET_SCHEMES, ServerUrl, is_numeric, split_address
from gateway.settings.uplink import UPLINK_PORTS, Uplink

MAX_LEARNED_URLS = 64


class HubUrls:
    """`current` is the URL in use. Each that is taken is another one than before, as long as there are several."""

    def __init__(self, config: Uplink) -> None:
        self._configured = list(config.urls)
        if not config.no_randomize:
            random.shuffle(self._configured)
        self._heeds_cluster = not config.ignore_discovered_servers
        self._learned: list[ServerUrl] = []
        self._next = 0
        self.current = self._configured[0]

    def take(self) -> ServerUrl:
        """The next URL to try, `current` from now on."""
        urls = [*self._configured, *self._learned]
        self.current = urls[self._next % len(urls)]
        self._next = (self._next + 1) % len(urls)
        return self.current

    def learn(self, addresses: tuple[str, ...]) -> None:
        """The cluster of the current hub has these servers, which take the login of the current URL."""
        if not addresses or not self._heeds_cluster:
            return
        here = self.current
        known = {(url.host, url.port) for url in self._configured}
        learned: list[ServerUrl] = []
        for address in addresses[:MAX_LEARNED_URLS]:
            try:
                host, port = split_address(address.partition("://")[2] or address)
            except ValueError:
                continue
            url = ServerUrl(here.scheme, host, port or UPLINK_PORTS[here.scheme], here.user, here.password, here.path)
            if (host, url.port) not in known:
                known.add((host, url.port))
                learned.append(url)
        self._learned = learned

    def certified_host(self) -> str:
        """Whom the certificate of the current hub must name. What a cluster tells are addresses, and its certificates
        are for the name that is configured.
        """
        here = self.current
        if here not in self._configured and is_numeric(here.host):
            return self._configured[0].host
        return here.host


def is_websocket(url: ServerUrl) -> bool:
    return url.scheme in WEBSOCKET_SCHEMES


def leafnode_path(url: ServerUrl) -> str:
    """Where a server takes leafnodes that come by WebSocket."""
    return url.path if url.path.endswith("/leafnode") else f"{url.path}/leafnode"
