"""The two forms side by side in one process: the one that is installed, and the pure one from the source beside it."""

import functools
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType

import pytest

from gateway.version import form_name

ROOMS = ("gateway", "protocols")
MODULES = (
    "gateway.settings.schema",
    "gateway.assembly",
    "gateway.runtime.identity",
    "gateway.settings.addresses",
    "gateway.nats.leafnode_hub",
    "gateway.nats.leafnode_spoke",
    "gateway.nats.spoke_directory",
    "gateway.mqtt.client",
    "gateway.nats.client",
    "gateway.uplink.leafnode_uplink",
    "protocols.leafnode.hub",
    "protocols.leafnode.spoke",
    "protocols.mqtt.decoder",
    "protocols.nats.client",
    "protocols.nats.server",
    "protocols.websocket.codec",
)

needs_both_forms = pytest.mark.skipif(
    form_name() == "pure", reason="the installed form is the pure one: there is nothing to compare it with"
)


class Form:
    """The modules of one form, by their name without the form."""

    def __init__(self, modules: dict[str, ModuleType], pure: bool) -> None:
        self._modules = modules
        self.pure = pure

    def __getitem__(self, name: str) -> ModuleType:
        return self._modules[name]

    @contextmanager
    def imported(self) -> Iterator[None]:
        """What is imported meanwhile, too, is of this form: the gateway imports some parts when they are needed."""
        others = _ours()
        _put(self._modules)
        if self.pure:
            sys.meta_path.insert(0, _SourceFinder)
        try:
            yield
        finally:
            if self.pure:
                sys.meta_path.remove(_SourceFinder)
            self._modules = _ours()
            _put(others)


class _SourceFinder:
    """Finds modules of ours, but never a compiled one."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not _is_ours(name):
            return None
        for entry in sys.path if path is None else path:
            spec = FileFinder(entry, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
        return None


@functools.cache
def installed_form() -> Form:
    for name in MODULES:
        importlib.import_module(name)
    return Form(_ours(), pure=False)


@functools.cache
def pure_form() -> Form:
    """Modules of its own, so no class of it is one of the installed form's."""
    form = Form({}, pure=True)
    with form.imported():
        for name in MODULES:
            importlib.import_module(name)
    return form


def _put(modules: dict[str, ModuleType]) -> None:
    """Let these be our modules, and no others."""
    for name in _ours():
        del sys.modules[name]
    sys.modules.update(modules)


def _ours() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if _is_ours(name)}


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ROOMS
