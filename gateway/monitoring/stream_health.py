"""What is wrong with streams, as nats-server's /healthz looks for it: all of them, those of an account, or one."""

from typing import TYPE_CHECKING

from gateway.monitoring.snapshot import StreamFault

if TYPE_CHECKING:
    from gateway.streams.account_streams import AccountStreams
    from gateway.streams.service import StreamService


def find_faults(service: "StreamService", account: str, stream: str, consumer: str) -> list[StreamFault]:
    """An empty name means all there are."""
    if not account:
        return [fault for one in service.accounts.values() for fault in _of_account(one, "")]
    streams = service.accounts.get(account)
    if streams is None:
        text = f'JetStream account "{account}" not found'
        return [StreamFault("ACCOUNT", text, account, is_missing=True)]
    if stream and stream not in (*streams.configs, *streams.unreadable):
        text = f'JetStream stream "{stream}" not found on account "{account}"'
        return [StreamFault("STREAM", text, account, stream, is_missing=True)]
    faults = _of_account(streams, stream)
    served = streams.streams.get(stream)
    if consumer and stream not in streams.unopened and (served is None or consumer not in served.consumers):
        text = f'JetStream consumer "{consumer}" not found for stream "{stream}" on account "{account}"'
        return [*faults, StreamFault("CONSUMER", text, account, stream, consumer, is_missing=True)]
    return faults


def being_opened(service: "StreamService") -> list[str]:
    """What is there, and not open yet."""
    return [f"{one.account.name} > {name}" for one in service.accounts.values() for name in one.unopened]


def _of_account(account: "AccountStreams", name: str) -> list[StreamFault]:
    faults, whose = [], account.account.name
    for stream in [name] if name in account.unreadable else ([] if name else account.unreadable):
        text = f"JetStream stream '{whose} > {stream}' could not be recovered"
        faults.append(StreamFault("STREAM", text, whose, stream))
    if name in account.unopened:  # Of all of them it is no fault: everybody else is served.
        faults.append(StreamFault("STREAM", f"JetStream stream '{whose} > {name}' is being opened", whose, name))
    for served in [account.streams[name]] if name in account.streams else ([] if name else account.streams.values()):
        reason = served.stored.commits.fault
        if reason is not None:
            text = f"JetStream stream '{whose} > {served.name}' write error: {reason}"
            faults.append(StreamFault("STREAM", text, whose, served.name))
    return faults
