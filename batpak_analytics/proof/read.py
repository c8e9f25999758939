"""`read_chains` and `read_segments`: from a path, or an open reader, to a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batpak_analytics.frames.read import opened, warn_of_damage
from batpak_analytics.proof.chains import Chains
from batpak_analytics.proof.segments import Segments

if TYPE_CHECKING:
    import pandas as pd


def read_chains(path: Any, *, check_payloads: bool = False, on_damage: str = "report", **filters: Any) -> pd.DataFrame:
    """Every event with its link in the hash chain, as a DataFrame; `Reader.chains` describes columns and costs.

    `path` is a data directory or an open `Reader`; `filters` are those of `read_batpak`, with `system=True` where they
    do not say. Raises and warns what `read_batpak` does.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.read_chains(bp.demo_store(), entity="player:alice")["link"].tolist()
    ['root', 'linked', 'linked']
    """
    with opened(path, on_damage) as reader:
        frame: pd.DataFrame = Chains(reader.view, check_payloads=check_payloads, **filters).to_pandas()
        warn_of_damage(reader.view)
    return frame


def read_segments(
    path: Any, *, payloads: bool = True, dtype_backend: str | None = None, on_damage: str = "report"
) -> pd.DataFrame:
    """Every segment file and where its bytes go, as a DataFrame; `Reader.segments` describes columns and costs.

    `path` is a data directory or an open `Reader`. Raises and warns what `read_batpak` does.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.read_segments(bp.demo_store())[["segment_id", "events", "footer"]].values.tolist()
    [[1, 6, 'trusted']]
    """
    with opened(path, on_damage) as reader:
        frame: pd.DataFrame = Segments(reader.view, payloads=payloads, dtype_backend=dtype_backend).to_pandas()
        warn_of_damage(reader.view)
    return frame
