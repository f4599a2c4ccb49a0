"""Imports the module that is its first argument: bytecode cannot be run otherwise."""

import sys

__import__(sys.argv[1])
