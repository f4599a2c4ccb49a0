"""What the tools for boards say when something does not work out."""


class DeviceError(Exception):
    """One or two sentences for a person: what is wrong, and what to do about it."""
