"""The panes of the Data screen, filled from its state; what did not change is not drawn again."""

from __future__ import annotations

from textual.screen import Screen

from tui.screens.data_keys import EMPTY_HINTS, HINTS, TYPING_HINTS
from tui.services.data_detail import detail_lines, figure_lines
from tui.services.data_sample import sample_lines, sample_title
from tui.services.data_state import DataState, StepRow
from tui.services.data_text import head_line, row_title
from tui.services.safe_text import safe
from tui.services.styled import word
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.page_view import PageView
from tui.widgets.titles import set_title

FIGURES = "figures of the sample"


def show_head(screen: Screen[None], state: DataState) -> None:
    """Say what is prepared and how old the figures are."""
    screen.query_one("#head", LinesView).show([head_line(state)])


def show_keys(screen: Screen[None], state: DataState, *, is_typing: bool) -> None:
    """Name the keys that do something now."""
    hints = EMPTY_HINTS if state.form is None else TYPING_HINTS if is_typing else HINTS
    screen.query_one(KeyLine).show_hints(hints)


def show_detail(screen: Screen[None], state: DataState, row: StepRow | None) -> None:
    """Show what the row under the cursor is about, and the figures: beside it where there is room, or instead."""
    is_wide = screen.has_class("-wide")
    figures, detail = screen.query_one("#figures", PageView), screen.query_one("#detail", PageView)
    figures.display = is_wide and state.form is not None and not state.show_histogram
    set_title(figures, [word(FIGURES, "title")])
    figures.show(lambda width: figure_lines(state, width))
    instead = state.show_histogram and not is_wide
    title = FIGURES if instead else row_title(state, row) if row else "how to begin"
    set_title(detail, [(safe(title, limit=60), "title")])
    subject = (row.step if row else None, row.slot.path if row and row.slot else None, instead)
    detail.show(lambda width: detail_lines(state, row, width, figures=instead), subject=subject)


def show_sample(screen: Screen[None], state: DataState) -> None:
    """Show the row that is looked at."""
    sample = screen.query_one("#sample", PageView)
    set_title(sample, sample_title(state))
    sample.show(lambda width: sample_lines(state, width), subject=(state.row, state.view, state.only_counted))
