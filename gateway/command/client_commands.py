"""The commands of gateway.command.client_parser, from options to what is done."""

import argparse
import os
import sys
from collections.abc import Callable

from gateway.command import messages
from gateway.command.client_login import login_of, with_password
from gateway.command.client_parser import SERVER_PORTS
from gateway.command.clients.link import Link, Outgoing, Received, Target, TlsFiles
from gateway.command.message_text import as_json, describe, tell, write_line
from gateway.command.name_hints import hint_for
from gateway.errors import ConfigError
from gateway.settings.addresses import parse_server_url
from protocols.errors import MisuseError


def run_pub(options: argparse.Namespace) -> None:
    target = target_of(options)
    _check(options.subject, target, to_publish=True)
    fields = tuple(options.header)

    def make(payload: bytes) -> Outgoing:
        return Outgoing(options.subject, payload, options.reply, fields, retain=options.retain)

    if options.lines:
        if options.payload:
            raise ConfigError("--lines takes payloads from standard input: give none beside it")
        messages.publish_lines(target, make)
        return
    messages.publish(target, make(_payload(options.payload)))


def run_sub(options: argparse.Namespace) -> None:
    target, show = target_of(options), _shower(options)
    _check(options.subject, target, to_publish=False)

    def act(link: Link, message: Received) -> None:
        show(message)

    try:
        messages.subscribe(target, options.subject, options.queue, options.count, act)
    except KeyboardInterrupt:
        return  # The way to end a subscription without a count: no failure.


def run_request(options: argparse.Namespace) -> None:
    target = target_of(options)
    _check(options.subject, target, to_publish=True)
    message = Outgoing(options.subject, _payload(options.payload), fields=tuple(options.header))
    replies = 0 if options.wait is not None else options.replies
    show = _shower(options) if options.json else _show_payload
    messages.request(target, message, options.wait or options.timeout, replies, show)


def run_reply(options: argparse.Namespace) -> None:
    target = target_of(options)
    _check(options.subject, target, to_publish=False)
    payload = None if options.echo else _payload(options.payload)
    try:
        messages.reply(target, options.subject, options.queue, options.count, payload, _shower(options))
    except KeyboardInterrupt:
        return


def run_bench(options: argparse.Namespace) -> None:
    from gateway.command import bench

    bench.run(target_of(options), options)


def target_of(options: argparse.Namespace) -> Target:
    """The server that the options name. Raises ConfigError."""
    try:
        url = parse_server_url(options.server, SERVER_PORTS)
    except ValueError as error:
        raise ConfigError(f"--server: {error}") from None
    return Target(with_password(url, options), TlsFiles(options.ca, options.cert, options.key), login_of(options))


def _shower(options: argparse.Namespace) -> Callable[[Received], None]:
    if options.json:
        return _show_json
    return _show_payload if options.raw else _show_line


def _show_payload(message: Received) -> None:
    write_line(message.payload)


def _show_line(message: Received) -> None:
    write_line(describe(message).encode())


def _show_json(message: Received) -> None:
    write_line(as_json(message).encode())


def _check(name: bytes, target: Target, *, to_publish: bool) -> None:
    """Tell what may have been meant by a name. Raises MisuseError for what is none there at all."""
    hint = hint_for(name, in_mqtt=target.speaks_mqtt, to_publish=to_publish)
    if hint:
        tell(f"leafgate: hint: {hint}")
    if not target.speaks_mqtt:
        from protocols.nats.client import check_subject

        check_subject(name)
        return
    from protocols.mqtt.topics import is_topic_filter, is_topic_name

    if not (is_topic_name(name) if to_publish else is_topic_filter(name)):
        what = "topic" if to_publish else "topic filter"
        raise MisuseError(f"{name.decode('utf-8', 'replace')!r} is not a {what}")


def _payload(text: str) -> bytes:
    return sys.stdin.buffer.read() if text == "-" else os.fsencode(text)
