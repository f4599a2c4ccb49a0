"""The commands of a parser, one by one: what completion and the manual page are made of."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandNode:
    """A command: the words that name it, what it is for, its parser, and the commands inside it with their help."""

    words: tuple[str, ...]
    help: str
    parser: argparse.ArgumentParser
    inner: tuple[tuple[str, str], ...]

    def actions(self) -> list[argparse.Action]:
        """Options and arguments that people are told of."""
        hidden = argparse._SubParsersAction
        every = self.parser._actions
        return [one for one in every if not isinstance(one, hidden) and one.help is not argparse.SUPPRESS]

    def options(self) -> list[argparse.Action]:
        return [one for one in self.actions() if one.option_strings]

    def arguments(self) -> list[argparse.Action]:
        return [one for one in self.actions() if not one.option_strings]


def commands_of(parser: argparse.ArgumentParser) -> list[CommandNode]:
    """The program itself first, then its commands in their order, each followed by those inside it."""
    return list(_walk(parser, (), parser.description or ""))


def _walk(parser: argparse.ArgumentParser, words: tuple[str, ...], text: str) -> Iterator[CommandNode]:
    inner = next((one for one in parser._actions if isinstance(one, argparse._SubParsersAction)), None)
    helps = {one.dest: one.help or "" for one in inner._choices_actions} if inner is not None else {}
    yield CommandNode(words, text, parser, tuple(helps.items()))
    if inner is not None:
        for name, sub in inner.choices.items():
            yield from _walk(sub, (*words, name), helps.get(name, ""))


def is_file(action: argparse.Action) -> bool:
    """Whether a value of it is the path of a file or a directory."""
    return action.metavar in ("FILE", "DIR", "DIRECTORY", "PATH")


def takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def help_of(action: argparse.Action) -> str:
    """As argparse prints it, in one line. Options of which it says nothing are explained by their name."""
    return " ".join((action.help or "").replace("%%", "%").split())
