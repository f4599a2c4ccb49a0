"""Forewarning: what of a configuration will not do on this machine, or tells too much, said in the log."""

import logging
import resource

from gateway.runtime.logs import shown
from gateway.settings.schema import Config

log = logging.getLogger("leafgate")

# Descriptors that are no client's: listeners, files, the event loop's own, monitoring's.
OTHER_DESCRIPTORS = 100


def foretell_descriptors(config: Config) -> None:
    """Take as many descriptors as the process may have, and say where they will not do."""
    wanted = config.limits.max_connections + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = config.limits.max_connections
        log.warning("event=few-descriptors descriptors=%d limits.max-connections=%d hint='ulimit -n'", soft, limit)


def tell_of_plain_passwords(config: Config) -> None:
    """A file that is read by others gives away what it holds; a hash of it gives little away."""
    names = config.plain_passwords
    if names:
        text = "event=plain-passwords users=%d first=%s hint='leafgate passwd'"
        log.warning(text, len(names), shown(names[0].encode()))
