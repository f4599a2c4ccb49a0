"""What resources become in the gateway's configuration, and what is said where they cannot."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.operator.checking import ANY_HASH, check_files
from gateway.operator.judging import RefusedError, judge
from gateway.operator.kinds import ACCOUNT, BRIDGE, GATEWAY, PARTS, STREAM, UPLINK, USER, Kind
from gateway.operator.objects import Resource
from gateway.operator.openapi import SpecError
from gateway.operator.rendering import configuration_text, gateway_fragment, joined, operator_fragment, part_fragment
from gateway.operator.schemas import definitions
from gateway.operator.workload import stateful_set
from tests.patience import PATIENCE_SECONDS

MANIFESTS = Path(__file__).parents[3] / "configs/operator"
SECRETS = {"login": {"password": b"secret", "credentials": b"creds"}, "ca": {"ca.crt": b"PEM"}}


def resource(kind: Kind, name: str, **spec: Any) -> Resource:
    if kind is not GATEWAY:
        spec["gateway"] = "edge"
    return Resource(kind, {"metadata": {"name": name, "namespace": "plant", "uid": name}, "spec": spec})


EDGE = resource(GATEWAY, "edge", streams={"maxBytes": 1 << 30}, limits={"maxPayloadBytes": 2048}, drainSeconds=5)


def own(gateway: Resource = EDGE):
    return joined([gateway_fragment(gateway, SECRETS), operator_fragment([""], ANY_HASH)])


def test_gateway_becomes_a_configuration():
    found = tomllib.loads(configuration_text(own()))
    assert (found["streams"], found["limits"]) == ({"max-bytes": 1 << 30}, {"max-payload-bytes": 2048})
    assert [one["address"] for one in found["listeners"]] == ["0.0.0.0:4222", "0.0.0.0:1883", "0.0.0.0:8080"]
    assert found["timeouts"] == {"lame-duck-seconds": 5, "lame-duck-grace-seconds": 5}
    assert judge(own(), []).refused == []


def test_keys_of_parts_are_those_of_the_configuration():
    spec: dict[str, Any] = {
        "urls": ["tls://hub.example"],
        "denyExports": ["local.>"],
        "credentialsSecret": {"name": "login"},
        "tls": {"secretName": "ca", "serverName": "hub.example"},
        "storeAndForward": [{"subjects": ["out.>"], "whenFull": {"keepOneInSeconds": 60}}],
    }
    fragment = part_fragment(resource(UPLINK, "cloud", **spec), SECRETS, "")
    (uplink,), (buffer,) = fragment.tables["uplinks"], fragment.tables["store-and-forward"]
    place = "/etc/leafgate/config/uplink.cloud"
    assert uplink == {
        "name": "cloud",
        "urls": ["tls://hub.example"],
        "deny-exports": ["local.>"],
        "credentials": f"{place}.login.credentials",
        "tls": {"server-name": "hub.example", "ca": f"{place}.ca.ca.crt"},
    }
    assert buffer == {
        "name": "cloud",
        "uplink": "cloud",
        "subjects": ["out.>"],
        "when-full": {"keep-one-in-seconds": 60},
    }
    assert fragment.files == {"uplink.cloud.login.credentials": b"creds", "uplink.cloud.ca.ca.crt": b"PEM"}


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (resource(BRIDGE, "b", urls=["mqtt://a"], topics=[{"filter": "#", "quality": 1}]), "unknown key quality"),
        (resource(BRIDGE, "b", urls=[], topics=[], passwordSecret={"name": "x"}), "there is no Secret x"),
        (resource(UPLINK, "u", urls=[], tls={"secretName": "login"}), "the Secret login has no key ca.crt"),
        (resource(UPLINK, "u", urls=[], storeAndForward=["out.>"]), "its spec has not the form"),
        (resource(UPLINK, "u", urls=[], tls="ca"), "its spec has not the form"),
    ],
)
def test_spec_that_cannot_become_a_configuration_is_told(part: Resource, sentence: str):
    with pytest.raises(SpecError, match=sentence):
        part_fragment(part, SECRETS, "")


def test_gateway_judges_what_belongs_together():
    office, plant = resource(ACCOUNT, "office"), resource(ACCOUNT, "plant")
    plant.spec["imports"] = [{"account": "office", "stream": "news.>"}]
    office.spec["exports"] = [{"stream": "news.>"}]
    parts = [plant, office, resource(USER, "a", account="plant"), resource(USER, "b", account="plnt")]
    parts.append(resource(UPLINK, "u", urls=["nats-leaf://hub"], denyImports=["a b"]))
    fragments = [(one, part_fragment(one, SECRETS, ANY_HASH if one.kind is USER else "")) for one in parts]
    judgement = judge(own(), fragments)
    assert {one.name for one in judgement.accepted} == {"office", "plant", "a"}
    assert [(one.name, sentence) for one, sentence in judgement.refused] == [
        ("b", "account: there is no account plnt"),
        ("u", "deny-imports[0]: 'a b' is no subject; write it as local.>"),
    ]


def test_wrong_gateway_is_no_configuration():
    with pytest.raises(RefusedError, match="limits"):
        judge(own(resource(GATEWAY, "edge", limits={"maxPayloadBytes": 0})), [])


def test_nothing_of_the_configuration_restarts_the_pod():
    first = stateful_set(EDGE, "image", stopped=False)["spec"]["template"]
    other = resource(GATEWAY, "edge", drainSeconds=5, tls={"secretName": "x"}, listeners={"mqtt": False})
    assert stateful_set(other, "image", stopped=False)["spec"]["template"] == first


def test_resources_that_the_cluster_is_told_of_are_those_of_the_structs():
    assert list(yaml.safe_load_all((MANIFESTS / "crds.yaml").read_text())) == definitions(), "`make crds`"


def test_operator_may_watch_and_tell_of_all_its_resources():
    roles = [one for one in yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text()) if one["kind"] == "ClusterRole"]
    rules = [rule for role in roles for rule in role["rules"]]
    plurals = {kind.plural for kind in (GATEWAY, *PARTS, STREAM)}
    assert plurals == next(set(one["resources"]) for one in rules if "list" in one["verbs"])
    assert {f"{one}/status" for one in plurals} in [set(one["resources"]) for one in rules]
    assert [one for one in rules if "delete" in one["verbs"] or "*" in one["verbs"]] == []
    assert [one for one in rules if "secrets" in one["resources"] and {"list", "watch"} & set(one["verbs"])] == []


def test_files_are_checked_without_a_cluster(tmp_path: Path):
    file = tmp_path / "all.yaml"
    documents = [
        {"apiVersion": "leafgate.io/v1alpha1", "kind": one.kind.name} | one.document
        for one in (EDGE, resource(USER, "a"), resource(USER, "b", account="x"), resource(STREAM, "s"))
    ]
    file.write_text(yaml.safe_dump_all([*documents, {"kind": "Pod"}, None]))
    assert check_files([file]) == [
        ("Gateway edge", ""),
        ("User a", ""),
        ("User b", "account: there is no account x"),
        ("Stream s", ""),
    ]


def test_program_says_that_there_is_no_cluster(tmp_path: Path):
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "gateway.operator"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, env=environment
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("leafgate: there is no cluster")


def test_program_says_what_is_missing(tmp_path: Path):
    (tmp_path / "kopf.py").write_text("raise ImportError('not here')")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gateway.operator.__main__ import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stderr == "leafgate: kopf is missing: pip install 'leafgate[operator]' (not here)\n"
