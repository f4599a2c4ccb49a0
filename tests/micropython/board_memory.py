"""What Python programs leave on MicroPython's heap with 32-bit objects, as boards have them: its WebAssembly port."""

import itertools
import json
import subprocess
from pathlib import Path

from tests.integration.node_peers import HERE, require_node
from tests.patience import PATIENCE_SECONDS

WASM = "@micropython/micropython-webassembly-pyscript"
# What programs have of MicroPython's own anyway; no more, because its table of names grows in large steps.
BEFORE = """
import asyncio, json, os, re, time, micropython
asyncio.Event, asyncio.sleep_ms, asyncio.current_task
"""


def live_bytes(directory: Path, *steps: str) -> list[int]:
    """What each step, Python that may await, adds to the memory in use; `directory` is the board's file system."""
    line = [require_node(WASM), str(HERE / "node" / "micropython_memory.mjs"), str(directory), *steps]
    told = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    if told.returncode != 0:
        raise RuntimeError(told.stderr[-2000:])
    return [after - before for before, after in itertools.pairwise(json.loads(told.stdout))]
