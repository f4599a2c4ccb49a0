"""RemoteWriter: numbers as samples of series, to whatever takes Prometheus remote write.

Prometheus refuses a whole request for one sample that it does not take. So samples of a series go out in the order of
their times, one a millisecond, and of a request that is refused all the same the parts are sent that are not to blame:
behind a restart the first samples of a batch may be there already.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import trio

from gateway.integrations.http_client import HttpClient, authorization, target_of
from gateway.integrations.numbers.writer import LONG_BODY, MOST_HALVES, NumberWriter, halves
from gateway.integrations.site import Site
from gateway.runtime.drops import example_of
from gateway.runtime.turns import OwnTurn
from gateway.settings.numbers import FIELD, RemoteWrite
from protocols.numbers import remote_write
from protocols.numbers.readings import Reading
from protocols.numbers.samples import Batch, Samples
from protocols.subject_template import SubjectTemplate

PATH = "/api/v1/write"
MILLISECOND = 1_000_000
# The labels as they are sent, the time in milliseconds, the number.
Sample = tuple[bytes, int, float]


class RemoteWriter(NumberWriter):
    config: RemoteWrite

    def __init__(self, site: Site, config: RemoteWrite) -> None:
        super().__init__(site, config)
        self._metric = SubjectTemplate(config.metric, others=(FIELD,))
        self._labels = {name: SubjectTemplate(text, others=(FIELD,)) for name, text in config.labels.items()}
        self._is_ordered = config.out_of_order == "drop"
        self._samples = Samples(self._name, self._refuse, self._is_ordered)
        # Compresses, where it is installed.
        self._snappy: Any = import_module("cramjam").snappy if find_spec("cramjam") is not None else None

    def make_client(self) -> HttpClient:
        config = self.config
        headers = {**remote_write.HEADERS, **authorization(config, "Bearer")}
        return HttpClient(config, target_of(config.url, PATH), headers)

    def encode_nothing(self) -> bytes:
        return remote_write.as_snappy(b"")

    def begin_batch(self) -> None:
        self._samples.begin()

    def add(self, subject: bytes, readings: list[Reading], time_ns: int) -> None:
        self._samples.add(subject, readings, time_ns // MILLISECOND)

    def _refuse(self, reason: str, subject: bytes) -> None:
        self.drops.count(reason, 1, example_of(subject))

    def _name(self, subject: bytes, field: str) -> bytes:
        """What a series is called."""
        text = subject.decode("utf-8", "replace")
        others = {FIELD: field}
        metric = self._metric.make(text, others)
        if field and FIELD not in self._metric.used:
            metric = f"{metric}_{field}"
        labels = {name: template.make(text, others) for name, template in self._labels.items()}
        return remote_write.encode_labels(remote_write.metric_name(metric), labels)

    async def send_batch(self, turn: OwnTurn) -> None:
        batch = self._samples.batch
        if not batch:
            return
        answer = await self.send(await self._encode(batch, turn))
        if not self.judge(answer):
            samples = [(series, time, number) for series, one in batch.items() for time, number in one.items()]
            await self._look_for_culprits(sorted(samples, key=lambda sample: sample[1]), turn)
        self._samples.done()

    async def _look_for_culprits(self, samples: list[Sample], turn: OwnTurn) -> None:
        """Send those of a request that was refused that are not why; what is older goes first."""
        parts = [*halves(samples)][::-1] if len(samples) > 1 else [samples]
        left = MOST_HALVES
        while parts:
            part = parts.pop()
            batch: Batch = {}
            for series, time, number in part:
                batch.setdefault(series, {})[time] = number
            answer = await self.send(await self._encode(batch, turn))
            left -= 1
            if self.judge(answer):
                continue
            if len(part) == 1 or left <= 0:
                self.refuse(len(part), answer, example_of(self._samples.subject_of(part[0][0])))
            else:
                parts += [*halves(part)][::-1]

    async def _encode(self, batch: Batch, turn: OwnTurn) -> bytes:
        pieces: list[bytes] = []
        times: dict[int, tuple[bytes, bytes]] = {}
        for series, samples in batch.items():
            if not self._is_ordered:
                samples = dict(sorted(samples.items()))
            pieces.append(remote_write.encode_series(series, samples, times))
            if turn.is_over():
                await turn.next()
        body = b"".join(pieces)
        if self._snappy is None:
            return remote_write.as_snappy(body)
        if len(body) < LONG_BODY:
            return bytes(self._snappy.compress_raw(body))
        return bytes(await trio.to_thread.run_sync(self._snappy.compress_raw, body))
