"""The manual page leafgate(1), made of the parser: `python -m gateway.command.manual` prints it."""

import argparse
import os

from gateway.command.parser_tree import CommandNode, commands_of, help_of, takes_value

EXAMPLES = (
    ("The gateway that a configuration describes:", "leafgate run -c /etc/leafgate/leafgate.toml"),
    ("Readings of a sensor that prints them, line by line:", "sensor | leafgate pub --lines sensors.kitchen.temp"),
    ("What an MQTT broker has for a topic filter:", "leafgate sub --server mqtt://broker.example 'sensors/#'"),
    ("All services that answer within half a second:", "leafgate request --wait 0.5 '$SRV.PING'"),
)


def manual_page(parser: argparse.ArgumentParser) -> str:
    """The page, in the man macros."""
    nodes = commands_of(parser)
    lines = [
        '.TH LEAFGATE 1 "" leafgate "User Commands"',
        ".SH NAME",
        "leafgate \\- NATS, MQTT and WebSocket clients in one subject space",
        ".SH SYNOPSIS",
        ".B leafgate",
        "\\fICOMMAND\\fR [\\fIoption\\fR ...]",
        ".SH DESCRIPTION",
        _text(parser.description or ""),
        ".SH COMMANDS",
    ]
    for node in nodes[1:]:
        lines += _command(node)
    lines += [".SH OPTIONS", *_entries(nodes[0])]
    lines += [".SH EXIT STATUS", ".nf", _text("\n".join((parser.epilog or "").splitlines()[1:])), ".fi"]
    lines.append(".SH EXAMPLES")
    for what, command in EXAMPLES:
        lines += [".PP", _text(what), ".PP", ".nf", f".RS 4\n{_text(command)}\n.RE", ".fi"]
    return "\n".join(lines) + "\n"


def _command(node: CommandNode) -> list[str]:
    usage = " ".join(["leafgate", *node.words])
    places = [_argument(one) for one in node.arguments()]
    optional = ["[\\fIoption\\fR ...]"] if len(node.options()) > 1 else []
    inner = ["\\fICOMMAND\\fR"] if node.inner else []
    text = node.help[:1].upper() + node.help[1:]
    lines = [f".SS {_text(' '.join(node.words))}", f"\\fB{_text(usage)}\\fR {' '.join([*optional, *inner, *places])}"]
    lines += [".PP", f"{_text(text)}."]
    return lines + _entries(node)


def _argument(action: argparse.Action) -> str:
    name = f"\\fI{_text(str(action.metavar or action.dest))}\\fR"
    many = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}
    return many.get(str(action.nargs), name)


def _entries(node: CommandNode) -> list[str]:
    lines = []
    for action in node.actions():
        if action.option_strings and "--help" in action.option_strings:
            continue
        value = str(action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""))
        if not value and takes_value(action):
            value = action.dest.upper()
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in action.option_strings)
        shown = f" \\fI{_text(value)}\\fR" if takes_value(action) else ""
        lines += [".TP", f"{names}{shown}".strip(), _text(help_of(action)) or "\\&"]
    return lines


def _text(text: str) -> str:
    """With what roff would take for its own written out."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in escaped.split("\n"))


def main() -> None:
    from gateway.command.command_line import build_parser

    # What is set here is nobody's default.
    for name in [name for name in os.environ if name.startswith("LEAFGATE_")]:
        del os.environ[name]
    print(manual_page(build_parser()), end="")


if __name__ == "__main__":
    main()
