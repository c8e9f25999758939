"""The kernels with every access checked: `python -m tests.damage.sanitized bounds` (or `asan`).

Copies the project to a temporary directory, builds the kernels there with checked indexes or with AddressSanitizer,
and runs their tests, the kernel fuzz and a campaign of damage against that build. Raw pointers are checked by
AddressSanitizer alone. Under it, files are read instead of mapped, and all memory comes from malloc, so that each
buffer ends where it ends. Needs gcc on Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("batpak_analytics", "tests", "docs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = shutil.ignore_patterns("*.so", "__pycache__", "_build", "target", ".mypy_cache")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.damage.sanitized", description=__doc__)
    parser.add_argument("checks", choices=["bounds", "asan"])
    parser.add_argument("--seconds", type=float, default=120, help="for the fuzz, and again for the campaign")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batpak-sanitized-") as directory:
        return run(Path(directory), arguments.checks, arguments.seconds, arguments.seed)


def run(copy: Path, checks: str, seconds: float, seed: int) -> int:
    """Build in `copy` and run everything there; the first exit code that is not 0, else 0."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=LEFT_OUT)
        else:
            shutil.copy(source, copy / part)
    environment = {**os.environ, "PYTHONPATH": str(copy), "BATPAK_REQUIRE_KERNELS": "1"}
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=copy, env=environment | {"BATPAK_KERNELS_CHECKED": checks}, check=True)
    for module in (copy / "batpak_analytics" / "kernels").glob("*.so"):
        assert (b"__asan_report" in module.read_bytes()) == (checks == "asan"), f"{module.name} was built otherwise"
    environment |= asan_environment() if checks == "asan" else {}
    bounded = ["--seconds", str(seconds), "--seed", str(seed)]
    commands = [
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels"],
        ["-m", "tests.damage.kernel_fuzz", *bounded],
        ["-m", "tests.damage", "--unlimited-memory", *bounded],
    ]
    for command in commands:
        print("+ python", *command, flush=True)
        code = subprocess.run([sys.executable, *command], cwd=copy, env=environment).returncode
        if code:
            return code
    return 0


def asan_environment() -> dict[str, str]:
    """What a Python that was not built for AddressSanitizer needs to load kernels that were."""
    library = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    return {
        "LD_PRELOAD": os.path.realpath(library),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "BATPAK_MMAP": "off",
    }


if __name__ == "__main__":
    sys.exit(main())
