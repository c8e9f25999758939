"""Copies and imports to be killed: once at every call that changes the disk, each time on a store of its own.

``python killed_copies.py CASE ORIGIN DIRECTORY``: the store in ORIGIN is copied to DIRECTORY/N/store, and the process
that does CASE there is killed at call N. It prints how many there were.
"""

from __future__ import annotations

import os
import shutil
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.store.copy_cases import COPIES, importing
from tests.store.failing import FailingCall, die

IMPORT = "import"


def main() -> None:
    """Kill until nothing is left to be killed at."""
    name, origin, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for at in count(1):
        here = directory / str(at)
        shutil.copytree(origin, here)
        child = os.fork()
        if child == 0:
            run = importing if name == IMPORT else COPIES[name]
            run(here / "store", here / "copy", FailingCall(at, die))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            shutil.rmtree(here)
            print(at - 1)
            return


if __name__ == "__main__":
    main()
