"""How long tests wait for what has to happen. A busy machine is slow, not wrong: this ends hopes, it measures nothing.

Clients have limits of their own, half a second for a request of nats-py's. Here they have this one, unless a test says
another. And nats-py's flush is made to wait for what it flushes.
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PATIENCE_SECONDS = 60.0
# For what takes ten seconds or more where nothing else runs: installing, building, killing again and again.
LONG_SECONDS = 5 * PATIENCE_SECONDS


def make_clients_patient() -> None:
    """Those that are installed: where only a part of the tests runs, no client may be."""
    with suppress(ImportError):
        from nats.aio.client import Client
        from nats.aio.subscription import Subscription
        from nats.js.client import JetStreamContext

        for method in (
            Client.request,
            Client.flush,
            Client.rtt,
            Subscription.next_msg,
            JetStreamContext.__init__,
        ):
            _change_default(method, "timeout")
        _change_default(Client.connect, "connect_timeout")
        Client.flush = _flushed_whole(Client.flush)  # type: ignore[method-assign]
    with suppress(ImportError):
        import aiomqtt

        _change_default(aiomqtt.Client.__init__, "timeout")


def _flushed_whole(flush: Callable[..., Any]) -> Callable[..., Any]:
    """nats-py (2.16.0) writes the PING of a flush in front of what it has not written yet, a SUB say: its PONG tells
    nothing of that, and another connection may publish before it is read. What a second one is behind is written.
    """

    @functools.wraps(flush)
    async def flush_whole(*arguments: Any, **options: Any) -> None:
        for _ in range(2):
            await flush(*arguments, **options)

    return flush_whole


def _change_default(function: Callable[..., Any], name: str) -> None:
    parameters = inspect.signature(function).parameters
    if parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
        function.__kwdefaults__[name] = PATIENCE_SECONDS
        return
    optional = [one.name for one in parameters.values() if one.default is not inspect.Parameter.empty]
    positional = [one for one in optional if parameters[one].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    defaults = list(function.__defaults__ or ())
    defaults[positional.index(name)] = PATIENCE_SECONDS
    function.__defaults__ = tuple(defaults)
