"""`python -m gateway` is `leafgate`."""

import sys

from gateway.cli import main

sys.exit(main())
