"""What came of harm: which faults there were, what was promised meanwhile, and what is wrong behind it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SHOWN = 8


@dataclass
class Findings:
    """What a comparison finds; `complaints` is empty when all is well."""

    lost: list[Any] = field(default_factory=list)
    doubled: list[Any] = field(default_factory=list)
    disordered: list[Any] = field(default_factory=list)
    unknown: list[Any] = field(default_factory=list)

    def complaints(self) -> list[str]:
        every = (
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("out of order", self.disordered),
            ("never sent", self.unknown),
        )
        return [f"{len(found)} {what}: {', '.join(map(str, found[:SHOWN]))}" for what, found in every if found]

    def add(self, other: "Findings") -> None:
        self.lost += other.lost
        self.doubled += other.doubled
        self.disordered += other.disordered
        self.unknown += other.unknown

    def __str__(self) -> str:
        return f"lost {len(self.lost)}, doubled {len(self.doubled)}, out of order {len(self.disordered)}"


@dataclass
class Harm:
    """What happened in a round, or in several: faults by kind, and how much was acknowledged, refused and excused."""

    faults: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    acknowledged: int = 0
    refused: int = 0
    excused: int = 0
    complaints: list[str] = field(default_factory=list)

    def told_faults(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return f"{self.faults.total()} faults ({kinds})"

    def add_harm(self, other: "Harm") -> None:
        self.faults += other.faults
        self.findings.add(other.findings)
        self.acknowledged += other.acknowledged
        self.refused += other.refused
        self.excused += other.excused
