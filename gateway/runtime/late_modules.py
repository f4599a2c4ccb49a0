"""Late modules: library modules that are loaded when something is first asked of them.

Trio imports what it needs for TLS whether anybody speaks it or not. OpenSSL takes 5 MiB of a small box.
"""

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType

_loading = RLock()


class LateModule(ModuleType):
    """Stands for a module until somebody wants more of it than what every module has; then it becomes that module."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # What the import system looks for is there or not.
            raise AttributeError(name)
        with _loading:
            if type(self) is LateModule:
                # What it imports may import it in turn.
                self.__class__ = ModuleType  # type: ignore[assignment]
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def load_late(*names: str) -> None:
    """Have modules of the standard library loaded late that are not loaded yet; to be called before they are imported.

    None of them may be a package.
    """
    for name in names:
        spec = find_spec(name)
        if spec is not None and name not in sys.modules:
            module = module_from_spec(spec)
            module.__class__ = LateModule
            sys.modules[name] = module
