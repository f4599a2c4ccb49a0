"""What `leafgate completion` understands."""

import argparse
from collections.abc import Callable

SHELLS = ("bash", "zsh", "fish")


def add_shell_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", build: Callable[[], argparse.ArgumentParser]
) -> None:
    """`build` makes the parser whose commands are completed."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands and options",
        epilog="For bash: source <(leafgate completion bash), in ~/.bashrc. For zsh: a file _leafgate in a directory "
        "of $fpath. For fish: ~/.config/fish/completions/leafgate.fish.",
    )
    completion.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")

    def run(options: argparse.Namespace) -> int:
        from gateway.command.completion import script

        print(script(build(), options.shell), end="")
        return 0

    completion.set_defaults(command=run)
