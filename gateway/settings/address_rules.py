"""Rules between the addresses that are listened on. Each raises KeyedValueError."""

from collections.abc import Sequence

from gateway.settings.addresses import is_loopback, join_address
from gateway.settings.file import KeyedValueError
from gateway.settings.listener import Listener
from gateway.settings.monitoring import Monitoring


def check_addresses(listeners: Sequence[Listener], monitoring: Monitoring, authenticates: bool) -> None:
    """Each is one listener's, and nobody comes in unasked from other machines by oversight."""
    for index, listener in enumerate(listeners):
        is_guarded = authenticates or listener.allow_anonymous or listener.fluent.shared_key is not None
        _check_reach(f"listeners[{index}].address", listener.host, is_guarded)
    if monitoring.address:
        _check_reach("monitoring.address", monitoring.host, bool(monitoring.users) or monitoring.allow_anonymous)
    _check_taken_once(listeners, monitoring)


def _check_reach(key: str, host: str, is_guarded: bool) -> None:
    """Whoever can be reached from other machines must ask who comes, or say that nobody is asked."""
    if not (is_guarded or is_loopback(host)):
        raise KeyedValueError(
            key,
            f"{host} can be reached from other machines and clients are not authenticated; "
            "use 127.0.0.1 or set allow-anonymous = true",
        )


def _check_taken_once(listeners: Sequence[Listener], monitoring: Monitoring) -> None:
    places = [(f"listeners[{index}].address", one.host, one.port) for index, one in enumerate(listeners)]
    if monitoring.address:
        places.append(("monitoring.address", monitoring.host, monitoring.port))
    taken: dict[tuple[str, int], str] = {}
    for place, host, port in places:
        if port and (host, port) in taken:
            raise KeyedValueError(place, f"{join_address(host, port)} is the address of {taken[host, port]} too")
        taken[host, port] = place
