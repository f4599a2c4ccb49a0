"""Settings: the configuration in force. It can be replaced while the gateway runs; who keeps something made of it is
told, and everybody else reads what is in force at that moment.
"""

import time
from collections.abc import Callable

from gateway.settings.limits import Limits, Timeouts
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config

# The sections that one may subscribe to.
SECTIONS = ("limits", "timeouts", "mqtt")


class Settings:
    """`limits`, `timeouts` and `mqtt` are those sections of `config`, for code that reads them often."""

    __slots__ = ("_subscribers", "config", "limits", "loaded", "mqtt", "timeouts")

    def __init__(self, config: Config) -> None:
        self._subscribers: dict[str, list[Callable[[], None]]] = {section: [] for section in SECTIONS}
        self.config = config
        # When this configuration came into force, in seconds since 1970.
        self.loaded = time.time()
        self.limits: Limits = config.limits
        self.timeouts: Timeouts = config.timeouts
        self.mqtt: Mqtt = config.mqtt

    def subscribe(self, section: str, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a section (see SECTIONS) has become another."""
        self._subscribers[section].append(changed)

    def replace(self, config: Config) -> list[str]:
        """Put another configuration in force; returns the sections that differ, whose subscribers were told."""
        before, self.config = self.config, config
        self.loaded = time.time()
        changed = [section for section in SECTIONS if getattr(before, section) != getattr(config, section)]
        self.limits, self.timeouts, self.mqtt = config.limits, config.timeouts, config.mqtt
        told: list[Callable[[], None]] = []
        for section in changed:
            for subscriber in self._subscribers[section]:
                if subscriber not in told:  # Once, though several of its sections are others.
                    told.append(subscriber)
                    subscriber()
        return changed
