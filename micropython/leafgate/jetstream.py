"""JetStream: messages that the server has stored before it says so."""

import json
from leafgate.answers import NoResponders


class JetStreamError(Exception):
    """What the server answers instead: `code` as of HTTP (503: nobody stores this subject, or JetStream is not there),
    `number` of the exact error (10071: wrong last sequence; 0: none was told) and `description`.
    """

    def __init__(self, code, number, description):
        super().__init__(code, number, description)
        self.code = code
        self.number = number
        self.description = description


class PubAck:
    """`stream` and `seq`: where the message is. duplicate: it was there already, by its msg_id."""

    def __init__(self, stream, seq, duplicate):
        self.stream = stream
        self.seq = seq
        self.duplicate = duplicate


async def publish(client, subject, data=b"", msg_id=None, headers=None, timeout=5):
    """A PubAck, once a stream has stored the message. With a `msg_id` it may be sent again: it is stored once.

    JetStreamError; ValueError and OSError as client.publish; asyncio.TimeoutError: whether it is stored is not known.
    """
    if msg_id:
        headers = dict(headers or {})
        headers["Nats-Msg-Id"] = msg_id
    answer = await ask(client, subject, data, timeout, headers)
    return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))


async def api(client, name, body=None, timeout=5):
    """The answer to `$JS.API.<name>`, a dict. Errors as `publish`."""
    return await ask(client, "$JS.API." + name, json.dumps(body) if body else b"", timeout)


async def ask(client, subject, data, timeout, headers=None):
    try:
        answer = json.loads((await client.request(subject, data, timeout, headers)).data)
    except NoResponders:
        raise JetStreamError(503, 0, "no responders")
    if "error" in answer:
        error = answer["error"]
        raise JetStreamError(error["code"], error.get("err_code", 0), error.get("description", ""))
    return answer
