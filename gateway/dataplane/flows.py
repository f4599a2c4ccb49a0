"""Flows: what somebody may publish on and where it goes, a verdict and its routes in one look-up (hot)."""

from typing import Any

from gateway.dataplane.verdicts import Verdicts
from protocols.cache import GenerationCache


class Flows:
    """Of all publishers with the same rules, `verdicts`, in one account: `routes` by the subjects that they allow.

    They are routes that the account's router remembers in `memory`, and hold as long as it has no more `losses`.
    """

    __slots__ = ("__weakref__", "losses", "memory", "routes", "verdicts")

    def __init__(self, memory: GenerationCache, verdicts: Verdicts) -> None:
        self.memory = memory
        self.verdicts = verdicts
        self.losses = memory.losses
        self.routes: dict[bytes, Any] = {}
