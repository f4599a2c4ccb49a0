"""Whether commands printed what a page shows: `…` in a line stands for anything, as a line for any number of lines.
Empty lines do not count.
"""

import re
from collections.abc import Sequence

ANYTHING = "…"


def mismatch(shown: Sequence[str], printed: Sequence[Sequence[str]]) -> str | None:
    """What is wrong, or None. `printed` are the lines of each command; those that ran at a time may take turns."""
    if not shown:
        return None
    loose = ANYTHING in shown
    left = [[line for line in lines if line.strip()] for lines in printed]
    for line in shown:
        if line == ANYTHING or not line:
            continue
        if not any(_take(line, lines, loose) for lines in left):
            return f"expected {line!r}, left is {[lines for lines in left if lines]} of {list(filter(None, printed))}"
    if not loose and any(left):
        return f"not shown: {[lines for lines in left if lines]}"
    return None


def _take(line: str, lines: list[str], loose: bool) -> bool:
    """Take the line from the front of what a command printed; where others may come before it, those too."""
    pattern = ".*".join(map(re.escape, line.split(ANYTHING)))
    for index, one in enumerate(lines if loose else lines[:1]):
        if re.fullmatch(pattern, one.rstrip()):
            del lines[: index + 1]
            return True
    return False
