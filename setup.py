"""Compiles the hot modules when a C compiler is there; without one, or with LEAFGATE_PURE=1, they stay Python."""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# The data plane. Each is an ordinary .py file; the .pxd beside it adds the C types.
HOT_MODULES = [
    "protocols.cache",
    "protocols.message",
    "protocols.nats.framing",
    "gateway.dataplane.outbox",
    "gateway.dataplane.port",
    "gateway.dataplane.nats_receivers",
    "gateway.dataplane.mqtt_receivers",
    "gateway.dataplane.subject_tree",
    "gateway.dataplane.router",
]


def say(line: str) -> None:
    print(f"leafgate: {line}", file=sys.stderr)


class BuildOrStayPure(build_ext):
    """All hot modules or none: a mixture would be a third form that nobody tests."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            say(f"installing the pure form, because the hot modules did not compile ({type(error).__name__}: {error})")
            for extension in self.extensions:
                built = self.get_ext_fullpath(extension.name)
                if os.path.exists(built):
                    os.unlink(built)
            self.extensions = []


def extensions() -> list[Extension]:
    if os.environ.get("LEAFGATE_PURE"):
        say("installing the pure form, because LEAFGATE_PURE is set")
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        say("installing the pure form, because Cython is not there")
        return []
    sources = [Extension(name, [name.replace(".", "/") + ".py"]) for name in HOT_MODULES]
    # The annotations are for the type checker; C types stand in the .pxd files alone.
    return cythonize(sources, language_level=3, compiler_directives={"annotation_typing": False}, build_dir="build")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrStayPure})
