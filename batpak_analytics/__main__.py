"""``python -m batpak_analytics`` is the same as the ``batpak`` command."""

from __future__ import annotations

import sys

from batpak_analytics.cli import main

if __name__ == "__main__":
    sys.exit(main())
