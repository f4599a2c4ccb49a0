"""`make fuzz`: builds the compiled form with sanitizers into .fuzz-build and fuzzes it for a bounded time.

    python tests/fuzz/campaign.py [--seconds S] [--seed N]

Exit status 1 when there was a fault; what was said before names the seed, and `--seed N --seconds 1` plays it again.
Where gcc offers no sanitizers, the compiled form is fuzzed without them.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / ".fuzz-build"
PACKAGES = BUILD / "packages"
PROGRESS = BUILD / "seed"
MOST_SECONDS = 600.0
# Building and the last script come on top of the time that was asked for.
GRACE_SECONDS = 120.0

SANITIZERS = "-fsanitize=address,undefined"
# Cython's own free lists would keep freed objects from the sanitizer's eyes.
COMPILE_FLAGS = f"{SANITIZERS} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -DCYTHON_USE_FREELISTS=0"


def sanitizer_libraries() -> list[str]:
    """The run-time libraries that the interpreter must load first; none where gcc does not have both."""
    if shutil.which("gcc") is None:
        return []
    found = []
    for name in ("libasan.so", "libubsan.so"):
        asked = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        # gcc repeats the bare name when it does not have the file.
        path = Path(asked.stdout.strip())
        if not path.is_absolute():
            return []
        found.append(str(path.resolve()))
    return found


def build(sanitized: bool) -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir()
    environment = os.environ | {"LEAFGATE_PURE": "0"}
    if sanitized:
        environment |= {"CC": "gcc", "CFLAGS": COMPILE_FLAGS, "LDFLAGS": SANITIZERS}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--target", PACKAGES, REPOSITORY], env=environment, check=True)


def environment(libraries: list[str]) -> dict[str, str]:
    """What the fuzzing process needs: our build before what is installed, and sanitizers that end it at a fault."""
    found = os.environ | {"PYTHONPATH": f"{PACKAGES}{os.pathsep}{REPOSITORY}"}
    if libraries:
        found |= {
            "LD_PRELOAD": " ".join(libraries),
            # Python's own allocator would hide what happens inside its blocks.
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
    return found


def run(seconds: float, seed: int, libraries: list[str]) -> int:
    words = ["--seconds", f"{seconds:g}", "--seed", str(seed), "--progress", str(PROGRESS)]
    command = [sys.executable, "-P", "-m", "tests.fuzz.fuzzing", *words]
    try:
        done = subprocess.run(command, env=environment(libraries), timeout=seconds + GRACE_SECONDS, check=False)
        fault = f"status {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        fault = "it did not come to an end"
    if fault:
        print(f"fuzzing found a fault ({fault}) with seed {PROGRESS.read_text().strip()}", file=sys.stderr)
    return 1 if fault else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the compiled form, with sanitizers where gcc offers them.")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="at most and by default %(default)g")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 48), help="the first; default: any")
    asked = parser.parse_args()
    libraries = sanitizer_libraries()
    if not libraries:
        print("gcc offers no sanitizers here: fuzzing the compiled form without them", flush=True)
    build(bool(libraries))
    return run(min(asked.seconds, MOST_SECONDS), asked.seed, libraries)


if __name__ == "__main__":
    sys.exit(main())
