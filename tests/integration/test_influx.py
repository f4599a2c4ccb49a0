"""Numbers for a real InfluxDB (1.6, and its second API on VictoriaMetrics' line protocol): what a payload becomes."""

import asyncio
import gzip
from urllib.request import urlopen

import pytest

from tests.integration.number_peers import influx_query, influx_rows, influxdb, series, victoria_metrics
from tests.integration.peers import Peer, gateway, wait_until
from tests.integration.test_remote_write import fill, published, restart, server_that_answers, statuses
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form


def sink(port: int, *more: str, subjects: str = 'subjects = ["sensors.>"]') -> str:
    first = ["[[influx]]", 'name = "history"', f'url = "http://127.0.0.1:{port}"', subjects]
    return "\n".join((*first, "batch-max-seconds = 0.05", "retry-max-seconds = 0.5", *more, ""))


def test_numbers_become_points(tmp_path):
    keys = (
        'database = "site"',
        'user = "admin"',
        'password = "secret"',
        'tags = { room = "{{token(2)}}", site = "a, b=c" }',
    )
    with (
        influxdb(tmp_path / "influx", users=True) as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], *keys), monitoring=True) as peer,
    ):
        peer.wait_for_log("event=up")
        asyncio.run(
            published(
                peer,
                ("sensors.kitchen.temp", b"21.5"),
                ("sensors.kitchen.climate", b'{"temp": 12, "deep,er": {"h u=m": 80.5}, "ok": true}'),
                ("sensors.kitchen.bad", b"1e999"),
            )
        )
        wait_until(lambda: len(influx_rows(database, "SELECT * FROM climate")) == 1, "both points")
        (temp,) = influx_rows(database, "SELECT * FROM temp")
        assert (temp["value"], temp["room"], temp["site"]) == (21.5, "kitchen", "a, b=c")
        (climate,) = influx_rows(database, "SELECT * FROM climate")
        assert (climate["temp"], climate["deep,er.h u=m"], climate["ok"]) == (12, 80.5, 1)
        wait_until(lambda: statuses(peer)[0]["dropped_msgs"] == {"there is no number in it": 1}, "the other is counted")


def test_wrong_password_and_wrong_database_are_said_and_nothing_is_lost(tmp_path):
    config = "[streams]\n" + sink(
        0, 'database = "later"', 'user = "admin"', 'password = "wrong"', subjects='stream = "NUMBERS"'
    )
    with influxdb(tmp_path / "influx", users=True) as database:
        config = config.replace("127.0.0.1:0", f"127.0.0.1:{database.ports['http']}")
        with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data", monitoring=True) as peer:
            asyncio.run(fill(peer, 0, 10))
            peer.wait_for_log("answers 401 (user, password or token are wrong)")
            file = peer.directory / "leafgate.toml"
            file.write_text(file.read_text().replace('password = "wrong"', 'password = "secret"'))
            peer.wait_for_log("answers 404 (the path of the URL is wrong, or what it names is not there)")
            assert statuses(peer)[0]["waiting_msgs"] == 10
            influx_query(database, "CREATE DATABASE later")
            wait_until(lambda: statuses(peer)[0]["waiting_msgs"] == 0, "the points taken")
            assert statuses(peer)[0]["dropped_msgs"] == {}


def test_point_of_another_type_is_said_and_the_rest_goes_on(tmp_path):
    with (
        influxdb(tmp_path / "influx") as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], 'database = "site"'), monitoring=True) as peer,
    ):
        peer.wait_for_log("event=up")
        write(database, 'temp,subject=x value="text"')
        asyncio.run(published(peer, ("sensors.a.temp", b"1"), ("sensors.a.hum", b"2")))
        wait_until(lambda: len(influx_rows(database, "SELECT * FROM hum")) == 1, "the other point")
        peer.wait_for_log("field type conflict")
        wait_until(lambda: list(statuses(peer)[0]["dropped_msgs"].values()) == [1], "it is counted")


def write(database: Peer, line: str) -> None:
    urlopen(
        f"http://127.0.0.1:{database.ports['http']}/write?db=site", data=line.encode(), timeout=PATIENCE_SECONDS
    ).close()


def test_every_point_is_there_once_when_one_of_both_is_killed(tmp_path):
    with influxdb(tmp_path / "influx") as database:
        config = "[streams]\n" + sink(database.ports["http"], 'database = "site"', subjects='stream = "NUMBERS"')
        with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data") as peer:
            asyncio.run(fill(peer, 0, 100))
            database.kill()
            asyncio.run(fill(peer, 100, 200))
            database.start()
            peer.kill()
            restart(peer)
            asyncio.run(fill(peer, 200, 300))

            def found() -> list[float]:
                try:
                    return sorted(row["value"] for row in influx_rows(database, "SELECT value FROM /s[0-4]/"))
                except OSError:
                    return []

            wait_until(lambda: len(found()) >= 300, "all points")
            assert found() == [float(number) for number in range(300)]


def test_second_version_has_a_token_a_bucket_and_an_organisation(tmp_path):
    keys = ('bucket = "b 1"', 'organisation = "o"', 'token = "a-secret"', 'precision = "ms"')
    with (
        server_that_answers([]) as (port, requests),
        gateway(tmp_path, config=sink(port, *keys), monitoring=True) as peer,
    ):
        peer.wait_for_log("event=up")
        asyncio.run(published(peer, ("sensors.a", b"1")))
        wait_until(lambda: statuses(peer)[0]["sent_msgs"] == 1, "the point taken")
        assert "a-secret" not in peer.log()
    assert requests[-1]["target"] == "/api/v2/write?bucket=b+1&org=o&precision=ms"
    assert requests[-1]["Authorization"] == "Token a-secret"
    line = gzip.decompress(requests[-1]["body"]).decode()
    assert line.startswith("a,subject=sensors.a value=1.0 1")
    assert len(line.split()[-1]) == 13


def test_victoria_metrics_takes_the_line_protocol_too(tmp_path):
    with (
        victoria_metrics(tmp_path / "victoria") as database,
        gateway(tmp_path / "edge", config=sink(database.ports["http"], "gzip = false", 'database = "x"')) as peer,
    ):
        peer.wait_for_log("event=up")
        asyncio.run(published(peer, ("sensors.temp", b"21.5")))

        def values() -> list[float]:
            urlopen(f"http://127.0.0.1:{database.ports['http']}/internal/force_flush", timeout=PATIENCE_SECONDS).close()
            return [value for _, found in series(database, "temp_value[1h]") for _, value in found]

        wait_until(lambda: values() == [21.5], "the number")
