"""`python -m leafgate` is `leafgate`."""

from gateway.command.command_line import program

program()
