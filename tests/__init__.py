"""The tests are a package of their own: some peers install one of the same name, which must not stand before it.

Programs of theirs that are started by `python -m` meet the packages that are installed, in the form that is installed,
as pytest does; the directory that they were started in stands behind those.
"""

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parents[1]):
    sys.path.append(sys.path.pop(0))
