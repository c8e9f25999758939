"""Build step: compile the kernels where a C compiler is at hand, and install without them where it is not.

``BATPAK_REQUIRE_KERNELS=1`` makes a failed compilation an error (continuous integration sets it).
``BATPAK_NO_KERNELS=1`` builds none, to try the fallback. ``BATPAK_KERNELS_CHECKED=bounds`` checks every index of a
memoryview, ``=asan`` every read and write (``tests/damage/sanitized.py``). Everything else is in ``pyproject.toml``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

KERNELS = Path("batpak_analytics", "kernels")
REQUIRED = os.environ.get("BATPAK_REQUIRE_KERNELS") == "1"
UNWANTED = os.environ.get("BATPAK_NO_KERNELS") == "1"
CHECKED = os.environ.get("BATPAK_KERNELS_CHECKED", "")
SHARED = "batpak_analytics.kernels._shared"
"""What Cython puts into every module that uses memoryviews: compiled once for all of them."""
PROCESSORS = os.cpu_count() or 1
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED == "bounds",
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": CHECKED == "bounds",
}


def kernel_extensions() -> list[Extension]:
    """One extension for each module of ``kernels/``; none when Cython is missing and nobody insists."""
    if UNWANTED:
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if REQUIRED:
            raise
        return []
    flags = ["/O2"] if sys.platform == "win32" else ["-O3"]
    asan = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g"] if CHECKED == "asan" else []
    wanted = [
        Extension(
            f"batpak_analytics.kernels.{source.stem}",
            [source.as_posix()],
            include_dirs=[KERNELS.as_posix()],
            depends=[header.as_posix() for header in KERNELS.glob("*.h")],
            extra_compile_args=flags + asan,
            extra_link_args=asan,
        )
        for source in sorted(KERNELS.glob("*.py"))
        if source.stem != "__init__"
    ]
    wanted.append(Extension(SHARED, [], extra_compile_args=flags + asan, extra_link_args=asan))
    made: list[Extension] = cythonize(
        wanted,
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
        nthreads=PROCESSORS,
        shared_utility_qualified_name=SHARED,
    )
    for extension in made:
        # cythonize() drops the flag when it is set on what goes in.
        extension.optional = not REQUIRED
    return made


if __name__ == "__main__":  # cythonize() starts processes of its own, which may import this file
    setup(ext_modules=kernel_extensions(), options={"build_ext": {"parallel": PROCESSORS}})
