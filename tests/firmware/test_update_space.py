"""An update on a real MicroPython that does not fit into the flash: told, and the release that runs stays whole."""

import subprocess
from pathlib import Path

from firmware.device_files import AGENT_FILES
from tests.firmware.micropython_board import micropython
from tests.patience import PATIENCE_SECONDS

SCRIPT = Path(__file__).parent / "micropython" / "no_space.py"


def test_update_without_space_is_refused_and_the_next_one_that_fits_is_taken():
    line = [micropython(), str(SCRIPT), str(AGENT_FILES.parent)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "no space left for /flash/b/agent.py"
    assert done.stdout.splitlines()[1].startswith("no space left for /flash/b/")
