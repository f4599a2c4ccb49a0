"""`python -m gateway` is `leafgate`."""

import sys

from gateway.command.command_line import main

sys.exit(main())
