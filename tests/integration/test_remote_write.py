"""Numbers for a real Prometheus: what a payload becomes, and what is left of it when one of both is killed."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

import nats
import pytest

from tests.integration.number_peers import count, prometheus, ready, series, victoria_metrics
from tests.integration.peers import Peer, gateway, read_ports_file, wait_until
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form


def sink(port: int, *more: str, subjects: str = 'subjects = ["sensors.>"]', path: str = "") -> str:
    return "\n".join(
        (
            "[[remote-write]]",
            'name = "metrics"',
            f'url = "http://127.0.0.1:{port}{path}"',
            subjects,
            "batch-max-seconds = 0.05",
            "retry-max-seconds = 0.5",
            *more,
            "",
        )
    )


async def published(peer: Peer, *messages: tuple[str, bytes]) -> None:
    client = await nats.connect(peer.url(), allow_reconnect=False)
    for subject, payload in messages:
        await client.publish(subject, payload)
    await client.flush()
    await client.close()


def statuses(peer: Peer) -> list[dict]:
    with urlopen(f"http://127.0.0.1:{peer.ports['monitoring']}/varz", timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)["integrations"]


def test_numbers_become_samples(tmp_path):
    labels = 'labels = { site = "plant", room = "{{token(2)}}" }'
    with (
        prometheus(tmp_path / "prometheus") as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], labels), monitoring=True) as peer,
    ):
        peer.wait_for_log("integration=remote-write/metrics event=up")
        asyncio.run(
            published(
                peer,
                ("sensors.kitchen.temp", b"21.5"),
                ("sensors.kitchen.door", b"true"),
                ("sensors.cellar.climate", b'{"temp": 12, "deep": {"hum": 80.5}, "name": "x", "l": [1, 2]}'),
                ("sensors.cellar.text", b"no number"),
                ("other.kitchen.temp", b"99"),
            )
        )
        wait_until(lambda: len(series(database, '{site="plant"}[1d]')) == 6, "six series")
        found = {
            (labels["__name__"], labels["room"]): [value for _, value in values]
            for labels, values in series(database, '{site="plant"}[1d]')
        }
        assert found == {
            ("temp", "kitchen"): [21.5],
            ("door", "kitchen"): [1.0],
            ("climate_temp", "cellar"): [12.0],
            ("climate_deep_hum", "cellar"): [80.5],
            ("climate_l_0", "cellar"): [1.0],
            ("climate_l_1", "cellar"): [2.0],
        }
        wait_until(lambda: statuses(peer)[0]["sent_msgs"] == 4, "four messages are counted")
        (status,) = statuses(peer)
        assert status["up"]
        assert status["dropped_msgs"] == {"there is no number in it": 1}


def test_what_is_older_than_its_series_or_of_the_same_millisecond_is_said_and_the_rest_goes_on(tmp_path):
    now = int(time.time() * 1000)
    keys = ('time-field = "t"', 'fields = ["v"]')
    with (
        prometheus(tmp_path / "prometheus") as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], *keys), monitoring=True) as peer,
    ):
        peer.wait_for_log("event=up")
        times = (now, now + 5, now + 5, now + 1, now + 10)
        payloads = [b'{"v": %d, "t": %d}' % (index, one) for index, one in enumerate(times)]
        asyncio.run(published(peer, *(("sensors.a", one) for one in payloads), ("sensors.b", b'{"v": 1}')))
        wait_until(lambda: count(database, "a_v") == 3 and count(database, "b_v") == 1, "the samples that are right")
        ((_, values),) = series(database, "a_v[1d]")
        assert [value for _, value in values] == [0.0, 2.0, 4.0]
        wait_until(lambda: [*statuses(peer)[0]["dropped_msgs"].values()] == [1, 1], "what is dropped is counted")
        # Prometheus itself refuses what is from long ago; the others of the batch are not lost with it.
        old = b'{"v": 7, "t": %d}' % (now - 86_400_000)
        asyncio.run(published(peer, ("sensors.c", old), *((f"sensors.d{n}", b'{"v": 1}') for n in range(20))))
        wait_until(lambda: count(database, '{__name__=~"d.*_v"}') == 20, "the others")
        peer.wait_for_log("the server does not take it: 400")
        assert statuses(peer)[0]["up"]


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    sentences = {
        401: "answers 401 (user, password or token are wrong): go away",
        404: "answers 404 (the path of the URL is wrong, or what it names is not there): go away",
        302: "answers 302 (redirections are not followed: set the URL that is meant): go away",
        503: "cannot take more now, 503: go away",
    }
    with (
        server_that_answers([*sentences, *[503] * 1000]) as (port, requests),
        gateway(tmp_path, config=sink(port, 'token = "a-secret"'), monitoring=True) as peer,
    ):
        for sentence in sentences.values():
            peer.wait_for_log(sentence)
        wait_until(lambda: sentences[503] in statuses(peer)[0]["last_error"], "the sentence in /varz")
        with urlopen(f"http://127.0.0.1:{peer.ports['monitoring']}/healthz", timeout=PATIENCE_SECONDS) as answer:
            assert sentences[503] in answer.read().decode()
        assert "a-secret" not in peer.log()
    assert requests[0]["Authorization"] == "Bearer a-secret"
    assert requests[0]["Content-Encoding"] == "snappy"


class Recorder(BaseHTTPRequestHandler):
    """Answers with the next status; what it was asked is kept."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = {**self.headers, "target": self.path, "body": body}
        self.server.requests.append(asked)  # type: ignore[attr-defined]
        statuses = self.server.statuses  # type: ignore[attr-defined]
        status = statuses.pop(0) if statuses else 204
        body = b"" if status == 204 else b"go away\n"
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class server_that_answers:  # noqa: N801 -- used as a function
    def __init__(self, statuses: list[int]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        self.server.statuses = statuses  # type: ignore[attr-defined]
        self.server.requests = []  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> tuple[int, list[dict[str, Any]]]:
        self.thread.start()
        return self.server.server_address[1], self.server.requests  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_server_that_is_busy_gets_the_same_again_when_it_says(tmp_path):
    with (
        server_that_answers([204, 429, 500]) as (port, _),
        gateway(tmp_path, config=sink(port), monitoring=True) as peer,
    ):
        peer.wait_for_log("event=up")
        asyncio.run(published(peer, ("sensors.a", b"1")))
        wait_until(lambda: statuses(peer)[0]["sent_msgs"] == 1, "the sample taken")
        assert "cannot take more now, 429: go away" in peer.log()
        assert statuses(peer)[0]["dropped_msgs"] == {}


async def fill(peer: Peer, first: int, last: int) -> None:
    client = await nats.connect(peer.url(), allow_reconnect=False)
    stream = client.jetstream()
    await stream.add_stream(name="NUMBERS", subjects=["sensors.>"])
    for number in range(first, last):
        await stream.publish(f"sensors.s{number % 5}", b"%d" % number)
    await client.close()


def restart(peer: Peer) -> None:
    ports = peer.directory / "ports.json"
    ports.unlink()
    peer.start()
    peer.wait_ready(ports.exists)
    peer.ports = read_ports_file(ports) or {}


def test_nothing_is_lost_when_one_of_both_is_killed(tmp_path):
    """Every number is there, once, whoever was killed when."""
    with prometheus(tmp_path / "prometheus") as database:
        config = "[streams]\n" + sink(database.ports["http"], subjects='stream = "NUMBERS"')
        with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data", monitoring=True) as peer:
            asyncio.run(fill(peer, 0, 300))
            database.kill()
            asyncio.run(fill(peer, 300, 600))
            peer.wait_for_log("event=down")
            database.start()
            ready(database)
            asyncio.run(fill(peer, 600, 900))
            peer.kill()
            restart(peer)
            asyncio.run(fill(peer, 900, 1200))
            wait_until(lambda: count(database, '{__name__=~"s[0-4]"}') >= 1200, "all samples")
            values = [value for _, found in series(database, '{__name__=~"s[0-4]"}[1d]') for _, value in found]
            assert sorted(values) == [float(number) for number in range(1200)]


def test_victoria_metrics_takes_the_same_and_what_is_late_too(tmp_path):
    now = int(time.time())
    keys = ('time-field = "t"', 'fields = ["v"]', 'out-of-order = "send"')
    with (
        victoria_metrics(tmp_path / "victoria") as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], *keys)) as peer,
    ):
        peer.wait_for_log("event=up")
        payloads = [b'{"v": %d, "t": %d}' % (number, now - 60 - number) for number in range(5)]
        asyncio.run(published(peer, *(("sensors.late", one) for one in payloads)))

        def values() -> list[float]:
            urlopen(f"http://127.0.0.1:{database.ports['http']}/internal/force_flush", timeout=PATIENCE_SECONDS).close()
            return [value for _, found in series(database, "late_v[1h]") for _, value in found]

        wait_until(lambda: values() == [4.0, 3.0, 2.0, 1.0, 0.0], "all five")
