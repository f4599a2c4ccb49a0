"""Completion scripts, made of the parser: what is completed is what is understood."""

import argparse

from gateway.command.parser_tree import CommandNode, commands_of, help_of, is_file, takes_value

# Of an explanation so much stands beside a proposal.
LONGEST_TOLD = 70


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for `bash`, `zsh` or `fish`."""
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return "\n".join(make(commands_of(parser))) + "\n"


BASH_HEAD = """\
# Completion of leafgate for bash, printed by: leafgate completion bash
_leafgate() {
    local word path="" last=${COMP_WORDS[COMP_CWORD-1]} current=${COMP_WORDS[COMP_CWORD]} names="" files=""
    local index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case "$path $word" in"""
BASH_TAIL = """\
    esac
    if [[ $files ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null
    else
        mapfile -t COMPREPLY < <(compgen -W "$names" -- "$current")
    fi
}
complete -F _leafgate leafgate"""


def _bash(nodes: list[CommandNode]) -> list[str]:
    lines = BASH_HEAD.split("\n")
    paths = [" " + " ".join(node.words) for node in nodes if node.words]
    lines += [f'            "{path}") path="{path}" ;;' for path in paths]
    lines += ["        esac", "    done", '    case "$path/$last" in']
    for node in nodes:
        path = " " + " ".join(node.words) if node.words else ""
        for option in node.options():
            if takes_value(option):
                patterns = "|".join(f'"{path}/{name}"' for name in option.option_strings)
                lines.append(f"        {patterns}) {_bash_values(option)} ;;")
        names = [name for name, _ in node.inner]
        names += [name for option in node.options() for name in option.option_strings]
        names += [str(choice) for one in node.arguments() for choice in one.choices or ()]
        files = "[[ $current == -* ]] || files=yes; " if any(map(is_file, node.arguments())) else ""
        lines.append(f"        \"{path}/\"*) {files}names='{' '.join(names)}' ;;")
    return lines + BASH_TAIL.split("\n")


def _bash_values(option: argparse.Action) -> str:
    if option.choices:
        return f"names='{' '.join(map(str, option.choices))}'"
    return "files=yes" if is_file(option) else "names="


def _zsh(nodes: list[CommandNode]) -> list[str]:
    lines = ["#compdef leafgate", "# Completion of leafgate for zsh, printed by: leafgate completion zsh"]
    for node in nodes:
        lines += [f"{_zsh_function(node.words)}() {{", "    local line state", "    _arguments -C \\"]
        specs = []
        for option in node.options():
            text = _zsh_quote(_short(help_of(option)))
            action = f":{str(option.metavar or 'value').lower()}:{_zsh_values(option)}" if takes_value(option) else ""
            star = "*" if type(option).__name__ == "_AppendAction" else ""
            specs += [f"        '{star}{name}[{text}]{action}'" for name in option.option_strings]
        if node.inner:
            specs += ["        '1: :->command'", "        '*:: :->rest'"]
        else:
            for argument in node.arguments():
                many = "*" if argument.nargs in ("*", "+") else ""
                specs.append(
                    f"        '{many}:{str(argument.metavar or argument.dest).lower()}:{_zsh_values(argument)}'"
                )
        lines.append(" \\\n".join(specs))
        if node.inner:
            lines += ["    case $state in", "    command)", "        local -a names=("]
            lines += [f"            '{name}:{_zsh_quote(_short(text))}'" for name, text in node.inner]
            lines += ["        )", "        _describe command names ;;", "    rest)", "        case $line[1] in"]
            lines += [f"        {name}) {_zsh_function((*node.words, name))} ;;" for name, _ in node.inner]
            lines += ["        esac ;;", "    esac"]
        lines.append("}")
    return [*lines, '_leafgate "$@"']


def _zsh_function(words: tuple[str, ...]) -> str:
    return "_".join(("_leafgate", *words)).replace("-", "_")


def _zsh_values(action: argparse.Action) -> str:
    if action.choices:
        return f"({' '.join(map(str, action.choices))})"
    return "_files" if is_file(action) else ""


def _zsh_quote(text: str) -> str:
    return "".join(f"\\{c}" if c in "[]:\\" else c for c in text).replace("'", "'\\''")


def _fish(nodes: list[CommandNode]) -> list[str]:
    lines = ["# Completion of leafgate for fish, printed by: leafgate completion fish", "complete -c leafgate -f"]
    for node in nodes:
        condition = _fish_condition(node)
        lines += [
            f"complete -c leafgate -n '{condition}' -a {name} -d {_fish_quote(_short(text))}"
            for name, text in node.inner
        ]
        for option in node.options():
            names = " ".join(
                f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in option.option_strings
            )
            values = ""
            if option.choices:
                values = f" -x -a {_fish_quote(' '.join(map(str, option.choices)))}"
            elif takes_value(option):
                values = " -r -F" if is_file(option) else " -x"
            text = _fish_quote(_short(help_of(option)))
            lines.append(f"complete -c leafgate -n '{condition}' {names}{values} -d {text}")
        for argument in node.arguments():
            if argument.choices:
                choices = _fish_quote(" ".join(map(str, argument.choices)))
                lines.append(f"complete -c leafgate -n '{condition}' -a {choices}")
            elif is_file(argument):
                lines.append(f"complete -c leafgate -n '{condition}' -F")
    return lines


def _fish_condition(node: CommandNode) -> str:
    if not node.words:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in node.words]
    if node.inner:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(name for name, _ in node.inner)}")
    return "; and ".join(seen)


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TOLD else f"{text[: LONGEST_TOLD - 1]}…"
