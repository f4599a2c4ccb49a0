"""The subject tree by itself, without sockets: `python -P tree_alone.py SUBJECTS SECONDS` prints its figures as JSON.

To be run by the interpreter whose installed gateway is measured. `cold` are matches a second over all subjects, each
once and in random order, as after the match cache has forgotten them; `warm` over a few thousand of them again and
again; `memory` is bytes for each subscription, with its subject.
"""

import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gateway.dataplane.nats_receivers import NatsSubscription
from gateway.dataplane.port import Port
from gateway.dataplane.subject_tree import SubjectTree

# As many as the router remembers.
WARM_SUBJECTS = 4096


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def matches_per_second(match: Callable[[bytes], list[object]], subjects: list[bytes], seconds: float) -> float:
    """Whole passes over the subjects until the time is over, at least one."""
    passes = 0
    begin = time.perf_counter()
    while not passes or time.perf_counter() - begin < seconds:
        for subject in subjects:
            match(subject)
        passes += 1
    return passes * len(subjects) / (time.perf_counter() - begin)


def main() -> None:
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    port, tree = Port(None), SubjectTree()
    # One collection over a million live objects would cost more than all that is measured here.
    gc.disable()
    before = resident_bytes()
    for number in range(count):
        tree.insert(NatsSubscription(port, b"many.%07d" % number, b"", b"%d" % number))
    memory = (resident_bytes() - before) / count
    # Made anew: published subjects are never the very objects that were subscribed.
    subjects = [b"many.%07d" % number for number in range(count)]
    random.Random(1).shuffle(subjects)
    cold = matches_per_second(tree.match, subjects, 0.0)
    warm = matches_per_second(tree.match, subjects[:WARM_SUBJECTS], seconds)
    print(json.dumps({"cold": cold, "warm": warm, "memory": memory}))


if __name__ == "__main__":
    main()
