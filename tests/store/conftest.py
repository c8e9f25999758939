"""What tests of writing share."""

from __future__ import annotations

import pytest

from batpak_analytics.store import files


@pytest.fixture(params=[files.WRITE_BYTES, 300])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The bytes given to the system at a time: with 300, batches and footers of a few events are written in parts."""
    monkeypatch.setattr(files, "WRITE_BYTES", request.param)
    return int(request.param)
