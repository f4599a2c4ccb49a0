"""Ways to a server that a board with nats://host:port and no key does not need: other URLs, TLS, NKeys."""

import json
from leafgate.wire import open_tcp
from micropython import const

_MOST_SERVERS = const(16)


def parse(url):
    """Scheme, host, port, and the fields of CONNECT that a login in it makes."""
    scheme, _, rest = url.rpartition("://")
    rest = rest.split("/")[0]
    user, at, place = rest.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, {"ws": 80, "wss": 443}.get(scheme, 4222)
    login = {}
    if at:
        name, colon, password = user.partition(":")
        login = {"user": name, "pass": password} if colon else {"auth_token": name}
    return scheme or "nats", host.strip("[]"), int(port), login


async def dial(url, tls):
    """A stream to the server of a URL; over TLS only where that is below WebSocket."""
    scheme, host, port, _ = parse(url)
    if scheme[:2] == "ws":
        from leafgate.websocket import open_websocket

        return await open_websocket(scheme, host, port, tls)
    return await open_tcp(host, port)


async def enter(client, server, wire, login):
    """With what INFO says: goes over to TLS where it must be; the fields of CONNECT."""
    login = login.copy()
    if isinstance(server, str):
        scheme, host, _, more = parse(server)
        login.update(more)
        if scheme == "tls" or (scheme == "nats" and (client.tls or client.info["tls_required"])):
            from leafgate.tls import upgrade

            wire.stream = await upgrade(wire.stream, host, client.tls)
            wire.start = wire.end  # what came behind INFO in the clear may be anybody's
    if client.nkey:
        from leafgate.nkey import sign_in

        login.update(await sign_in(client.nkey, client.info["nonce"]))
    return login


def meet(servers, info):
    """Add the servers that one of them tells of."""
    for place in json.loads(info[5:])["connect_urls"]:
        url = "nats://" + place
        if url not in servers and len(servers) < _MOST_SERVERS:
            servers.append(url)
