"""Servers that are named by more than nats://host:port."""

from leafgate.wire import open_tcp


def parse(url):
    """Scheme, host, port, and what a login in it says as fields of CONNECT."""
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
    """A stream to this server, its scheme, its host and the fields of its login."""
    scheme, host, port, login = parse(url)
    if scheme[:2] == "ws":
        from leafgate.websocket import open_websocket

        stream = await open_websocket(scheme, host, port, tls)
    else:
        stream = await open_tcp(host, port)
    return stream, scheme, host, login
