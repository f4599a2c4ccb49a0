"""`python -m gateway.operator`, which `leafgate operator` becomes."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.command.operator_parser import DESCRIPTION, add_operator_options
from gateway.command.output import EXIT_FAILURE, with_output
from gateway.command.quick_parser import QuickParser

EXIT_CONFIGURATION = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser: argparse.ArgumentParser = QuickParser(prog="leafgate operator", description=DESCRIPTION)
    add_operator_options(parser)
    options = parser.parse_args(arguments)
    try:
        import kopf
    except ImportError as error:
        return fail(f"kopf is missing: pip install 'leafgate[operator]' ({error})")
    if options.check:
        return check(options.check)
    from gateway.operator.handlers import Handlers, credentials
    from gateway.operator.reconciler import Options

    try:
        if credentials(settings=kopf.OperatorSettings()) is None:
            return fail("there is no cluster: no service account, as in a pod, and no kubeconfig ($KUBECONFIG)")
        run(kopf, Handlers(Options(options.image, options.resync_seconds)), options)
    except (OSError, ValueError, kopf.LoginError) as error:
        return fail(f"the cluster cannot be used: {error}")
    return 0


def run(kopf: Any, handlers: Any, options: argparse.Namespace) -> None:
    """Until a signal ends it. Raises OSError where the API does not come."""
    kopf.configure(log_prefix=True)
    # Which handler has run is nothing that anybody wants to know; what came of it is told.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    registry = kopf.OperatorRegistry()
    handlers.register(registry)
    kopf.run(
        registry=registry,
        standalone=True,
        clusterwide=not options.namespace,
        namespaces=options.namespace,
        liveness_endpoint=f"http://{options.healthz}/healthz" if options.healthz else None,
    )


def fail(sentence: str) -> int:
    print(f"leafgate: {sentence}", file=sys.stderr)
    return EXIT_FAILURE


def check(files: list[Path]) -> int:
    """Say what is wrong with the resources in files."""
    from gateway.errors import ConfigError
    from gateway.operator.checking import check_files

    try:
        found = check_files(files)
    except ConfigError as error:
        print(f"leafgate: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    for title, fault in found:
        print(f"{title}: {fault or 'is right'}")
    return EXIT_CONFIGURATION if any(fault for _, fault in found) else 0


if __name__ == "__main__":
    sys.exit(with_output(main))
