"""Wi-Fi on a driver with the moods of the ESP32's, played to a real MicroPython: milliseconds and what happened."""

import itertools
import json
from collections.abc import Sequence

from tests.micropython.unix_port import board

Play = list[tuple[int, str]]
CONNECT = "connect shed open sesame"
START = ["0 down", "0 radio on", f"0 {CONNECT}"]


def watch(*plays: Play, attempts: Sequence[object]) -> list[str]:
    # MicroPython takes no argument that is longer than 255 bytes.
    with board("wifi.py", json.dumps(plays), json.dumps(attempts, separators=(",", ":"))) as device:
        return device.finished().splitlines()


def test_driver_that_is_idle_on_its_way_is_let_alone():
    play = [(0, "CONNECTING"), (1500, "IDLE"), (7000, "GOT_IP")]
    assert watch(play, attempts=[0]) == [*START, "7000 up"]


def test_station_with_an_address_is_let_alone():
    assert watch([(0, "CONNECTING"), (500, "GOT_IP")], attempts=[0, 60_000]) == [
        *START,
        "500 up",
        "60500 up",
        "60500 up",
    ]


def test_driver_that_has_given_up_is_asked_again():
    story = watch([(0, "CONNECTING"), (2000, "IDLE")], [(0, "CONNECTING"), (1000, "GOT_IP")], attempts=[0])
    assert story == [*START, f"8100 {CONNECT}", "9100 up"]


def test_driver_that_is_idle_after_an_outage_is_asked_again():
    first = [(0, "CONNECTING"), (1000, "GOT_IP"), (20_000, "IDLE")]
    story = watch(first, [(0, "CONNECTING"), (2000, "GOT_IP")], attempts=[0, 30_000])
    assert story == [*START, "1000 up", "31000 down", f"31000 {CONNECT}", "33000 up"]


def test_driver_that_comes_back_by_itself_is_waited_for():
    first = [(0, "CONNECTING"), (1000, "GOT_IP"), (20_000, "CONNECTING"), (26_000, "GOT_IP")]
    assert watch(first, attempts=[0, 21_000]) == [*START, "1000 up", "22000 down", "26000 up"]


def test_radio_is_turned_off_and_on_when_the_driver_joins_for_ever():
    story = watch([(0, "CONNECTING")], [(0, "CONNECTING"), (2000, "GOT_IP")], attempts=[0, 1000])
    end = ["21100 down", "21100 radio off", "21600 radio on", f"21600 {CONNECT}", "23600 up"]
    assert story == [*START, "20100 the network shed gives no address", *end]


def test_wrong_password_and_absent_network_are_told_early():
    for status, sentence in [
        ("WRONG_PASSWORD", "the network shed refuses the password"),
        ("NO_AP_FOUND", "no network shed in reach (2.4 GHz only)"),
        ("FAR", "the network shed is too far away"),
    ]:
        assert watch([(0, "CONNECTING"), (1000, status)], attempts=[0]) == [*START, f"4100 {sentence}"]


def test_refusal_that_the_driver_still_tells_of_is_no_refusal():
    play = [(0, "NO_AP_FOUND"), (3500, "GOT_IP")]
    assert watch(play, attempts=[0]) == [*START, "3500 up"]


def test_driver_that_joins_after_its_refusal_was_told_is_found_up():
    play = [(0, "NO_AP_FOUND"), (6000, "GOT_IP")]
    story = watch(play, attempts=[0, 5000])
    assert story == [*START, "4100 no network shed in reach (2.4 GHz only)", "9100 up", "9100 up"]


def test_radio_is_turned_off_and_on_after_three_refusals():
    refusal: Play = [(0, "WRONG_PASSWORD")]
    story = watch(refusal, refusal, refusal, [(0, "CONNECTING"), (1000, "GOT_IP")], attempts=[0, 1000, 1000, 1000])
    assert [line.split(" ", 1)[1] for line in story if "radio" in line] == ["radio on", "radio off", "radio on"]
    assert story[-1] == "16800 up"


HERE: Play = [(0, "GOT_IP")]


def radio(story: list[str]) -> list[str]:
    return [line for line in story if "radio" in line]


def test_radio_that_says_connected_while_no_server_is_reached_is_turned_off_and_on():
    story = watch(HERE, HERE, attempts=[0, 1000, 1000, 1000, 1000])
    assert radio(story) == ["0 radio on", "4000 radio off", "4500 radio on"]
    assert story[-2:] == [f"4500 {CONNECT}", "4500 up"]


def test_radio_is_turned_off_less_and_less_often_while_no_server_is_reached():
    story = watch(*[HERE] * 5, attempts=[0, *[1] * 100])
    ups = [index for index, line in enumerate(story) if line.endswith("radio off")]
    attempts = [sum(line.endswith(" up") for line in story[start:end]) for start, end in itertools.pairwise([0, *ups])]
    # What an attempt finds is printed before it, and ends with "up" as well.
    assert [count // 2 for count in attempts] == [4, 8, 16, 32]


def test_radio_with_a_server_behind_it_is_let_alone():
    story = watch(HERE, HERE, attempts=[0, *[[1, True, False]] * 10, 1, 1])
    assert radio(story) == ["0 radio on"]


def test_radio_that_serves_another_client_is_let_alone():
    story = watch(HERE, HERE, attempts=[[0, True], *[1] * 20])
    assert radio(story) == ["0 radio on"]


def test_lost_server_is_tried_as_often_as_the_first_before_the_radio_is_doubted():
    story = watch(HERE, HERE, attempts=[0, 1000, 1000, [1000, True, False], 1000, 1000, 1000, 1000, 1000])
    assert radio(story)[1:2] == ["8000 radio off"]
