"""What is said of resources, and when it is said again; what a gateway's answers mean."""

import pytest

from gateway.operator.cluster import _holds
from gateway.operator.credentials import Hashes
from gateway.operator.kinds import SERVICE, UPLINK, USER
from gateway.operator.objects import Resource, Verdict, with_verdict
from gateway.operator.observing import Observation, verdict_of_gateway, verdict_of_part

GOOD = Verdict(True, "InForce", "it is in force")


def test_condition_is_told_once_and_keeps_its_time() -> None:
    first = with_verdict({}, GOOD, 1, "12:00")
    assert first is not None
    assert (first["status"], first["lastTransitionTime"]) == ("True", "12:00")
    status = {"conditions": [first]}
    assert with_verdict(status, GOOD, 1, "12:01") is None
    later = with_verdict(status, GOOD._replace(message="still"), 2, "12:01")
    assert later is not None
    assert (later["lastTransitionTime"], later["observedGeneration"]) == ("12:00", 2)
    broken = with_verdict(status, Verdict(False, "Down", "the link is down"), 2, "12:01")
    assert broken is not None
    assert broken["lastTransitionTime"] == "12:01"


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (Observation(fault="the gateway does not answer"), (None, "GatewayAway")),
        (Observation(reads=9.0), (None, "Waiting")),
        (Observation(reads=11.0, refusal="not taken: why"), (False, "NotTaken")),
        (Observation(reads=11.0), (None, "Waiting")),
        (Observation(reads=11.0, uplinks={"hub": {"up": True, "url": "x"}}), (True, "Up")),
        (Observation(reads=11.0, uplinks={"hub": {"up": False, "last_error": "refused"}}), (False, "Down")),
        (Observation(reads=11.0, uplinks={"hub": {"up": False, "state": "standby"}}), (True, "Standby")),
    ],
)
def test_link_holds_once_the_gateway_has_read_it_and_it_is_up(seen: Observation, verdict: tuple[object, str]) -> None:
    uplink = Resource(UPLINK, {"metadata": {"name": "hub"}})
    assert verdict_of_part(uplink, seen, changed=10.0)[:2] == verdict


def test_gateway_says_what_was_left_out() -> None:
    seen = Observation(reads=11.0)
    assert verdict_of_part(Resource(USER, {"metadata": {"name": "a"}}), seen, 10.0) == GOOD
    lost = [Resource(USER, {"metadata": {"name": name}}) for name in "abcdefg"]
    assert verdict_of_gateway(seen, 10.0, lost[:2]).message == "it runs; left out is what is wrong: User a, User b"
    assert verdict_of_gateway(seen, 10.0, lost).message.endswith("User e, and 2 more")
    assert verdict_of_gateway(seen, 12.0, []).holds is None


def test_what_a_cluster_adds_is_no_difference() -> None:
    there = {"spec": {"ports": [{"name": "nats", "port": 4222, "protocol": "TCP"}], "clusterIP": "10.0.0.1"}}
    assert _holds(there, {"spec": {"ports": [{"name": "nats", "port": 4222}]}})
    assert not _holds(there, {"spec": {"ports": []}})
    assert not _holds(there, {"spec": {"ports": [{"name": "nats", "port": 4223}]}})
    assert _holds(there, {"spec": {"gone": None}})


def test_hash_stays_as_long_as_its_password_does() -> None:
    hashes = Hashes()
    first = hashes.hash_of("a", b"secret", None, made=True)
    assert hashes.hash_of("a", b"secret", None, made=True) == first
    assert Hashes().hash_of("a", b"secret", first.encode(), made=True) == first
    other = hashes.hash_of("a", b"another", first.encode(), made=True)
    assert other != first
    assert hashes.hash_of("b", other.encode(), b"$7$no bcrypt", made=False) == other


def test_paths_are_those_of_the_api() -> None:
    assert SERVICE.path("plant", "edge") == "/api/v1/namespaces/plant/services/edge"
    assert UPLINK.path("") == "/apis/leafgate.io/v1alpha1/uplinks"
