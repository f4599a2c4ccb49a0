"""Sizes, and the ranges of times and counts that keys of several tables share."""

from typing import Annotated

from msgspec import Meta

KIB = 1024
MIB = 1024 * KIB
DAY = 86_400

Seconds = Annotated[float, Meta(ge=0.01, le=DAY)]
# Zero is a wait of no length here.
Grace = Annotated[float, Meta(ge=0, le=DAY)]
Count = Annotated[int, Meta(ge=0, le=1 << 50)]
