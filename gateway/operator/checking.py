"""Checking: what would become of the resources in files, without a cluster."""

import base64
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from gateway.errors import ConfigError
from gateway.operator.judging import RefusedError, judge
from gateway.operator.kinds import ACCOUNT, GATEWAY, GROUP, PARTS, STREAM, USER, Kind
from gateway.operator.objects import Document, Resource
from gateway.operator.openapi import SpecError
from gateway.operator.rendering import (
    Fragment,
    Values,
    gateway_fragment,
    given_password,
    joined,
    operator_fragment,
    part_fragment,
)

KINDS = {kind.name: kind for kind in (GATEWAY, *PARTS, STREAM)}
# A hash of a password that nobody has, for all that would have one.
ANY_HASH = "$2b$05$" + "." * 53


class Manifests:
    """Our resources, and values of Secrets, of some files."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self.values: dict[str, dict[str, bytes]] = {}

    def read(self, file: Path) -> None:
        """Raises ConfigError."""
        try:
            documents = list(yaml.safe_load_all(file.read_text()))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read: {error}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: is no YAML: {' '.join(str(error).split())}") from None
        for document in documents:
            if isinstance(document, dict):
                self._take(document)

    def _take(self, document: Document) -> None:
        kind = document.get("kind")
        if document.get("apiVersion") == "v1" and kind == "Secret":
            values = {key: str(value).encode() for key, value in (document.get("stringData") or {}).items()}
            values |= {key: base64.b64decode(value) for key, value in (document.get("data") or {}).items()}
            self.values[str((document.get("metadata") or {}).get("name"))] = values
        elif str(document.get("apiVersion")).startswith(f"{GROUP}/") and kind in KINDS:
            self.resources.append(Resource(KINDS[kind], document))

    def of(self, kind: Kind) -> list[Resource]:
        return [one for one in self.resources if one.kind is kind]


def check_files(files: list[Path]) -> list[tuple[str, str]]:
    """What is said of each resource: its kind and name, and a sentence; "" for what is right. Raises ConfigError."""
    manifests = Manifests()
    for file in files:
        manifests.read(file)
    faults: dict[str, str] = {}
    gateways = {gateway.name: gateway for gateway in manifests.of(GATEWAY)}
    belonging: defaultdict[str, list[Resource]] = defaultdict(list)
    for one in manifests.resources:
        if one.kind is GATEWAY:
            continue
        if one.gateway not in gateways:
            faults[_title(one)] = f"there is no Gateway {one.gateway}"
        elif one.kind is STREAM and gateways[one.gateway].spec.get("streams") is None:
            faults[_title(one)] = f"the Gateway {one.gateway} has no streams: set its spec.streams"
        elif one.kind is not STREAM:
            belonging[one.gateway].append(one)
    for name, gateway in gateways.items():
        faults |= _faults_of(gateway, sorted(belonging[name], key=_order), manifests.values)
    return [(_title(one), faults.get(_title(one), "")) for one in manifests.resources]


def _order(part: Resource) -> int:
    return PARTS.index(part.kind)


def _title(resource: Resource) -> str:
    return f"{resource.kind.name} {resource.name}"


def _faults_of(gateway: Resource, parts: list[Resource], values: Values) -> dict[str, str]:
    faults: dict[str, str] = {}
    fragments: list[tuple[Resource, Fragment]] = []
    try:
        own = joined([gateway_fragment(gateway, values), operator_fragment([""], ANY_HASH)])
        for part in parts:
            try:
                fragments.append((part, _fragment(part, values)))
            except SpecError as error:
                faults[_title(part)] = str(error)
        judgement = judge(own, fragments)
    except (SpecError, RefusedError) as error:
        return faults | {_title(gateway): str(error)}
    return faults | {_title(part): sentence for part, sentence in judgement.refused}


def _fragment(part: Resource, values: Values) -> Fragment:
    """Raises SpecError."""
    place: Any = part.spec.get("passwordSecret") if part.kind is USER else None
    hashed = "" if part.kind is not USER or (part.spec.get("nkey") and place is None) else ANY_HASH
    if place is not None:
        given_password(place, values)
    fragment = part_fragment(part, values, hashed)
    return joined([fragment, operator_fragment([part.title], ANY_HASH)]) if part.kind is ACCOUNT else fragment
