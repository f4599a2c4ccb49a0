"""Events of every decoder as plain values that say everything the next room can see, equal across forms."""

from collections.abc import Iterable

ANY_HEAD = b"MSG a.subject 17 "


def plain(events: Iterable[object]) -> list[object]:
    return [_PLAIN.get(type(event).__name__, repr)(event) for event in events]


def _message(message) -> object:  # type: ignore[no-untyped-def]
    return (
        "Message",
        message.subject,
        message.reply,
        message.header_size,
        message.size,
        message.tail,
        message.queues,
        message.qos,
        message.mqtt3,
        message.mqtt5,
        message.make_tail(),
        message.body(),
        message.payload(),
        message.headerless_tail(),
        message.tail_after_reply(),
    )


def _burst(burst) -> object:  # type: ignore[no-untyped-def]
    return (
        "Burst",
        burst.subject,
        burst.header_size,
        burst.message_size,
        burst.count,
        burst.queues,
        burst.mqtt3,
        burst.mqtt5,
        burst.qos,
        [bytes(content) for content in burst.contents()],
        [bytes(payload) for payload in burst.payloads()],
        [bytes(piece) for piece in burst.nats_pieces(ANY_HEAD)],
        burst.nats_size(ANY_HEAD),
        [_message(message) for message in burst.messages()],
    )


def _refused(refused) -> object:  # type: ignore[no-untyped-def]
    return ("Refused", _message(refused.message))


def _redirected(redirected) -> object:  # type: ignore[no-untyped-def]
    return ("Redirected", redirected.subject, _message(redirected.message))


def _publish(publish) -> object:  # type: ignore[no-untyped-def]
    return repr(publish)


def _publish_run(run) -> object:  # type: ignore[no-untyped-def]
    return (
        "PublishRun",
        run.qos,
        run.retained,
        run.retained_bytes,
        list(run.packet_ids),
        [_message(message) for message in run.messages],
    )


def _frame_error(fault) -> object:  # type: ignore[no-untyped-def]
    return ("FrameError", int(fault.code), fault.detail)


def _ack_run(run) -> object:  # type: ignore[no-untyped-def]
    return ("AckRun", run.kind, list(run.packet_ids))


_PLAIN = {
    "AckRun": _ack_run,
    "Burst": _burst,
    "FrameError": _frame_error,
    "Message": _message,
    "Publish": _publish,
    "PublishRun": _publish_run,
    "Redirected": _redirected,
    "Refused": _refused,
}
