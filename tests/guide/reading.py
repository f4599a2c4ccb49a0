"""What the pages of the guide hold that can be tried: files, and commands with what they print."""

import re
from pathlib import Path
from typing import NamedTuple

PAGES = Path(__file__).parents[2] / "gateway" / "guide" / "pages"
FENCE = "```"
CONSOLE = "console"
PROMPT = "$ "
# Files are written where their first line says; in these languages it is a comment.
FILE_LANGUAGES = frozenset(("toml", "conf", "python", "js", "yaml"))
FILE_NAME = re.compile(r"(?:#|//) ([\w./-]+)")


class Block(NamedTuple):
    """A fenced block: its language, its lines, and the number of the line that opens it."""

    language: str
    lines: list[str]
    number: int


class Command(NamedTuple):
    """What is typed behind one prompt, and the lines below it; `background`: it ends with an ampersand."""

    text: str
    printed: list[str]
    background: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order.

    Raises ValueError for a block that does not end.
    """
    found: list[Block] = []
    opened: Block | None = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith(FENCE):
            if opened is not None:
                opened.lines.append(line)
        elif opened is None:
            opened = Block(line.removeprefix(FENCE).strip(), [], number)
        else:
            found.append(opened)
            opened = None
    if opened is not None:
        raise ValueError(f"{page.name}:{opened.number}: the block does not end")
    return found


def file_name(block: Block) -> str | None:
    """The file that a block is, from its first line; None for a block that names none."""
    match = FILE_NAME.fullmatch(block.lines[0]) if block.lines else None
    return match[1] if match and block.language in FILE_LANGUAGES else None


def commands(block: Block) -> list[Command]:
    """The commands of a console block; a line that ends with a backslash goes on in the next one."""
    found: list[Command] = []
    goes_on = False
    for line in block.lines:
        if goes_on:
            last = found.pop()
            found.append(last._replace(text=f"{last.text}\n{line}"))
        elif line.startswith(PROMPT):
            found.append(Command(line.removeprefix(PROMPT), [], False))
        else:
            found[-1].printed.append(line)
            continue
        goes_on = line.endswith("\\")
    return [_told_apart(command) for command in found]


def _told_apart(command: Command) -> Command:
    text = command.text.removesuffix(" &")
    return command._replace(text=text, background=text != command.text)
