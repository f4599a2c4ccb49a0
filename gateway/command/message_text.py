"""What is printed of a message: a line for people, a JSON object for programs, or the payload as it is."""

import sys

from gateway.command.clients.link import Received


def describe(message: Received) -> str:
    """One line: `subject [-> reply] [(Key: value; …)]: payload`, with what a terminal would act on escaped."""
    parts = [message.name.decode("utf-8", "backslashreplace")]
    if message.reply:
        parts.append("-> " + message.reply.decode("utf-8", "backslashreplace"))
    code, description = message.status
    fields = [f"{code} {description}".rstrip()] if code else []
    fields += [f"{key}: {value}" for key, value in message.fields]
    fields += ["retained"] if message.retained else []
    if fields:
        parts.append(f"({'; '.join(fields)})")
    return escape(f"{' '.join(parts)}: {message.payload.decode('utf-8', 'backslashreplace')}")


def as_json(message: Received) -> str:
    """One object. The payload is `payload` where it is UTF-8, else `payload_base64`; what is empty is left out. `time`
    is when it was printed, in seconds since 1970.
    """
    import json
    import time

    told: dict[str, object] = {"subject": message.name.decode("utf-8", "replace")}
    if message.reply:
        told["reply"] = message.reply.decode("utf-8", "replace")
    if message.status[0]:
        told["status"] = message.status[0]
    if message.fields:
        told["headers"] = [list(field) for field in message.fields]
    if message.retained:
        told["retained"] = True
    try:
        told["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        from base64 import b64encode

        told["payload_base64"] = b64encode(message.payload).decode()
    told["time"] = round(time.time(), 3)
    return json.dumps(told, ensure_ascii=False)


def escape(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def tell(text: str) -> None:
    """A remark beside the output."""
    print(text, file=sys.stderr, flush=True)
