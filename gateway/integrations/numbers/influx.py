"""InfluxWriter: numbers as points of InfluxDB's line protocol. What is sent twice is there once: a point is what its
series and its time say.
"""

import zlib
from urllib.parse import urlencode

import trio

from gateway.integrations.http_client import HttpClient, authorization, target_of
from gateway.integrations.numbers.writer import LONG_BODY, NumberWriter
from gateway.integrations.remembered import Remembered
from gateway.integrations.site import Site
from gateway.runtime.drops import example_of
from gateway.runtime.turns import OwnTurn
from gateway.settings.numbers import Influx
from protocols.numbers import line_protocol
from protocols.numbers.line_protocol import PRECISIONS, V1_PRECISIONS
from protocols.numbers.readings import Reading
from protocols.subject_template import SubjectTemplate

# Of gzip.
LEVEL, WINDOW = 1, 31
MOST_SERIES = 100_000
# A server that says so has taken the other points.
PARTIAL = "partial write"


class InfluxWriter(NumberWriter):
    config: Influx

    def __init__(self, site: Site, config: Influx) -> None:
        super().__init__(site, config)
        self._measurement = SubjectTemplate(config.measurement)
        self._tags = {name: SubjectTemplate(text) for name, text in config.tags.items()}
        self._unit = PRECISIONS[config.precision]
        self._series: Remembered[bytes, str] = Remembered(MOST_SERIES)
        self._fields: Remembered[str, str] = Remembered(MOST_SERIES)
        self._lines: list[str] = []
        self._first = ""

    def make_client(self) -> HttpClient:
        config = self.config
        headers = {"Content-Type": "text/plain; charset=utf-8", **authorization(config, "Token")}
        if config.gzip:
            headers["Content-Encoding"] = "gzip"
        return HttpClient(config, target_of_influx(config), headers)

    def encode_nothing(self) -> bytes:
        return compressed(b"") if self.config.gzip else b""

    def begin_batch(self) -> None:
        self._lines = []

    def add(self, subject: bytes, readings: list[Reading], time_ns: int) -> None:
        series = self._series.get(subject) or self._name(subject)
        fields, known = [], self._fields
        for field, number in readings:
            fields.append((known.get(field) or self._name_field(field), number))
        if not self._lines:
            self._first = example_of(subject)
        self._lines.append(line_protocol.encode_point(series, fields, time_ns // self._unit))

    def _name(self, subject: bytes) -> str:
        text = subject.decode("utf-8", "replace")
        tags = {name: template.make(text) for name, template in self._tags.items()}
        series = line_protocol.encode_series(self._measurement.make(text), tags)
        return self._series.keep(subject, len(subject), series)

    def _name_field(self, field: str) -> str:
        return self._fields.keep(field, len(field), line_protocol.key(field or self.config.value_field))

    async def send_batch(self, turn: OwnTurn) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        body = "".join(lines).encode()
        if self.config.gzip:
            body = compressed(body) if len(body) < LONG_BODY else await trio.to_thread.run_sync(compressed, body)
        answer = await self.send(body)
        if not self.judge(answer):
            # Of those that are right the server has taken those that it says so of.
            self.refuse(1 if PARTIAL in answer.words else len(lines), answer, self._first)


def compressed(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW)
    return packer.compress(body) + packer.flush()


def target_of_influx(config: Influx) -> str:
    """The path and the query that a version of the API has; those of the URL where neither is named."""
    if config.database:
        query = {"db": config.database, "precision": V1_PRECISIONS.get(config.precision, config.precision)}
        if config.retention_policy:
            query["rp"] = config.retention_policy
        target = target_of(config.url, "/write")
    elif config.bucket:
        query = {"bucket": config.bucket, "org": config.organisation, "precision": config.precision}
        target = target_of(config.url, "/api/v2/write")
    else:
        return config.url.target
    return f"{target}{'&' if '?' in target else '?'}{urlencode(query)}"
