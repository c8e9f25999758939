"""What a data scientist shows a colleague: views of a store with controls, made of ipywidgets alone.

They compute nothing: every number comes from a call of the library, which each view names in its line of code. Nothing
is fetched, and no script comes with them. Needs the extra: ``pip install 'batpak-analytics[widgets]'``.
"""

from batpak_analytics.errors import MissingExtraError

try:
    import ipywidgets as ipywidgets  # before the views, which begin with traitlets: that comes with it
except ImportError as missing:
    raise MissingExtraError(
        "ipywidgets is not installed. Install it with: pip install 'batpak-analytics[widgets]'."
    ) from missing

from batpak_analytics.widgets.causes import CausesWidget
from batpak_analytics.widgets.compaction import CompactionWidget
from batpak_analytics.widgets.replay import ReplayWidget

__all__ = ["CausesWidget", "CompactionWidget", "ReplayWidget"]
