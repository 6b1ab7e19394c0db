from __future__ import annotations

import pytest

from core.run.events import Series
from tui.screens.monitor_charts import ChartSettings, Pages, chart_title
from tui.screens.monitor_layout import Room


@pytest.mark.parametrize(
    ("width", "height", "charts"),
    [(160, 48, 4), (100, 30, 3), (99, 48, 1), (160, 19, 1), (80, 24, 1), (39, 24, 0), (80, 9, 0), (40, 10, 1)],
)
def test_charts_by_size(width: int, height: int, charts: int) -> None:
    assert Room(width, height).charts == charts


def test_numbers_only_where_there_is_no_room_for_more() -> None:
    parts = Room(39, 9).parts(shown=4, has_stages=False, has_ending=False)
    assert [name for name, is_shown in parts.items() if is_shown] == ["log"]
    assert not parts["bottom"]  # which holds the log


def test_full_shows_one_chart_and_no_side() -> None:
    parts = Room(160, 48, is_full=True).parts(shown=4, has_stages=False, has_ending=False)
    assert parts["chart-0"]
    assert not parts["chart-1"]
    assert not parts["side"]


def test_stages_take_the_place_of_charts() -> None:
    parts = Room(160, 48).parts(shown=4, has_stages=True, has_ending=True)
    assert parts["stages"]
    assert parts["ending"]
    assert not any(parts[f"chart-{index}"] for index in range(4))


@pytest.mark.parametrize(("width", "goes"), [(160, [1, 2, 3, 0]), (80, [2, 3, 0, 2])])
def test_log_and_samples_change_with_each_key(width: int, goes: list[int]) -> None:
    """Where one of both has room, the log is seen at first: a key that shows it again would do nothing."""
    panes, seen = 0, []
    for _ in range(4):
        panes = Room(width, 24, panes=panes).next_panes
        seen.append(panes)
    assert seen == goes


def test_a_zoomed_chart_says_so_and_what_leads_back() -> None:
    series = (Series(name="train/loss", title="loss", panel="loss"),)
    assert "zoom" not in chart_title("loss", series, ChartSettings(), "").text
    zoomed = ChartSettings().zoomed(1).zoomed(1)
    assert chart_title("loss", series, zoomed, "1/3").text == "loss  zoom ×4 · 0 whole  smooth 0.9  1/3"
    assert zoomed.zoomed(0).zoom == zoomed.whole().zoom == 0


def test_paging_and_picking_go_round() -> None:
    names = ["a", "b", "c"]
    pages = Pages()
    assert pages.shown(names, 1) == ["a"]
    pages.page(1, names, 1)
    assert pages.shown(names, 1) == ["b"]
    pages.page(-1, names, 1)
    pages.page(-1, names, 1)
    assert pages.shown(names, 1) == ["c"]
    pages = Pages()
    pages.pick(1, names, 3)
    assert (pages.shown(names, 3), pages.picked_name(names)) == (["a", "b", "c"], "b")
    pages.page(1, names, 3)
    assert pages.shown(names, 3) == ["b", "c", "a"]
    assert Pages().shown([], 4) == []
