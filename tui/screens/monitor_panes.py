"""The panes of the monitor beside its charts, filled from what is known of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.screen import Screen

from tui.screens.stages_pane import StagesPane
from tui.services.monitor_text import fact_lines, head_lines, machine_line, machine_lines, nothing_lines, stage_lines
from tui.services.styled import Line, line, word
from tui.services.watched import Watched
from tui.widgets.lines import LinesView
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.services.machine import MachineReading


def name_panes(screen: Screen[None]) -> None:
    """Give the panes their titles."""
    for name, title in (("facts", "run"), ("machine", "machine"), ("log", "log"), ("samples", "samples")):
        set_title(screen.query_one(f"#{name}"), [word(title)])


def show_nothing(screen: Screen[None]) -> None:
    """Say how to begin, where no run is watched."""
    head, *words = nothing_lines()
    screen.query_one("#head", LinesView).show([head])
    screen.query_one("#stages", LinesView).show(words)


def show_head(screen: Screen[None], watched: Watched) -> None:
    """Show in a line how the run is."""
    lines = head_lines(watched.view, watched.state, watched.frame, screen.size.width)
    screen.query_one("#head", LinesView).show(lines)


def show_facts(screen: Screen[None], watched: Watched) -> None:
    """Show what the run says of itself, and the runs of its stages where it has any."""
    screen.query_one("#facts", LinesView).show(fact_lines(watched.view, watched.state))
    screen.query_one(StagesPane).show(watched)


def show_stages(screen: Screen[None], watched: Watched) -> None:
    """Show what the run does before there are curves, in the room that this has on the screen."""
    room = screen.query_one("#stages").size
    lines = stage_lines(watched.view, room.width, room.height - 1)
    screen.query_one("#stages", LinesView).show([line(), *lines])


def show_ending(screen: Screen[None], lines: Sequence[Line]) -> None:
    """Show how the run ended, in as many lines as that takes."""
    panel = screen.query_one("#ending", LinesView)
    panel.styles.height = len(lines)
    panel.show(list(lines))


def show_machine(screen: Screen[None], reading: MachineReading | None) -> None:
    """Show a reading of the machine: as a pane, and as the line that stands in its place where there is no room."""
    panel = screen.query_one("#machine", LinesView)
    panel.show(machine_lines(reading, panel.size.width))
    screen.query_one("#machine-line", LinesView).show([machine_line(reading)])
