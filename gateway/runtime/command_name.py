"""What to type, as said to people."""

import os
import shutil
import sys


def command_name() -> str:
    """The command line that started us. In a virtual environment the command may not be on the PATH."""
    if shutil.which("leafgate"):
        return "leafgate"
    program = sys.argv[0]
    return f"{sys.executable} -m leafgate" if os.path.basename(program) == "__main__.py" else program
