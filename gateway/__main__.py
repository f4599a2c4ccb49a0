"""`python -m gateway` is `leafgate`."""

from gateway.command.command_line import program

program()
