"""What of the monitor there is room for. Pure.

Below 40 columns or 10 lines only numbers; below 100 columns or 20 lines the numbers and one chart; from there on three
or four charts with the run's facts and the machine beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui.services.watched import Watched

CHARTS = 4
_SIDE_COLUMNS = 42
_SMALL_COLUMNS = 27
HIDDEN = 3
"""The last of what `L` goes through: log and samples, log, samples, neither."""


@dataclass(frozen=True)
class Room:
    """The size of the screen in cells, and what its user asked to see."""

    width: int
    height: int
    is_full: bool = False
    panes: int = 0

    @property
    def charts(self) -> int:
        """How many charts are shown at once."""
        if self.width < 40 or self.height < 10:
            return 0
        if self.width < 100 or self.height < 20 or self.is_full:
            return 1
        return 1 + min(CHARTS - 1, (self.width - _SIDE_COLUMNS) // _SMALL_COLUMNS)

    @property
    def body_width(self) -> int:
        """The columns beside the run's facts, or all where those have no room."""
        return self.width - (_SIDE_COLUMNS if self.width >= 100 and not self.is_full else 0)

    @property
    def next_panes(self) -> int:
        """What `L` shows next; where there is room for one of log and samples, the log is there at first already."""
        following = (self.panes + 1) % (HIDDEN + 1)
        return 2 if following == 1 and self.width < 100 else following

    def parts(self, *, shown: int, has_stages: bool, has_ending: bool) -> dict[str, bool]:
        """Return which parts are displayed; `shown` charts are to be drawn unless stages stand in their place."""
        is_wide, has_log = self.width >= 100, self.height >= 20 and self.width >= 60
        charts = 0 if has_stages else min(shown, self.charts)
        parts = {f"chart-{index}": index < charts for index in range(CHARTS)}
        return parts | {
            "body": self.charts > 0,
            "stages": has_stages,
            "deck": charts > 0,
            "row": charts > 1,
            "ending": has_ending,
            "side": is_wide and not self.is_full,
            "bottom": self.panes != HIDDEN and has_log,
            "log": self.panes in (0, 1),
            "samples": self.panes == 2 or (self.panes == 0 and is_wide),
            "machine-line": not is_wide and self.height >= 14,
        }


def parts_of(room: Room, watched: Watched | None, *, shown: int, has_ending: bool) -> dict[str, bool]:
    """Return which parts are displayed for a run; a pipeline has a tree of its stages in the place of charts."""
    has_rows = watched is not None and watched.frame is not None and watched.frame.step > 0
    has_tree = watched is not None and bool(watched.stages)
    has_stages = watched is None or (not has_rows and bool(watched.view.progress or not shown))
    parts = room.parts(shown=shown, has_stages=has_stages, has_ending=has_ending) | {"tree": has_tree}
    return parts | {"stages": False, "deck": False} if has_tree else parts
