from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.strip import Strip

from tui.services.safe_text import safe
from tui.widgets.chart import ChartView
from tui.widgets.lines import changed_regions
from tui.widgets.plot import ChartData, Curve, Look, column_of, draw, fitting_range
from tui.widgets.ticks import number_text, rounded, tick_values


def data(y: list[float], **changes: object) -> ChartData:
    x = np.arange(len(y), dtype=float)
    curve = Curve(safe("train"), "first", x, np.array(y, dtype=float))
    values: dict[str, object] = {"first": 0.0, "last": float(max(1, len(y) - 1)), "x_title": safe("step"), **changes}
    return ChartData((curve,), **values)  # type: ignore[arg-type]


def text_of(chart: ChartData, width: int = 60, height: int = 12, look: Look = Look()) -> list[str]:  # noqa: B008
    return [
        "".join(part.text for part, _ in line.left)
        for line in draw(chart, fitting_range(chart, None), width, height, look)
    ]


ODD = [float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e308, -1e308, 5e-324, 1.0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(ODD) | st.floats(-1e3, 1e3), max_size=40), st.booleans(), st.booleans(),
    st.integers(0, 90), st.integers(0, 20), st.sampled_from(["braille", "ascii"]), st.booleans(),
)  # fmt: skip
def test_nothing_makes_a_chart_raise(
    values: list[float], logarithmic: bool, full: bool, width: int, height: int, charset: str, colored: bool
) -> None:
    chart = data(values, logarithmic=logarithmic, full=full, cursor=0.0, levels=((1.0, "warning"),))
    lines = text_of(chart, width, height, Look(charset, colored))  # type: ignore[arg-type]
    assert all(len(line) <= max(width, 20) for line in lines)


def test_a_falling_line_falls() -> None:
    lines = text_of(data([float(100 - index) for index in range(101)]), look=Look("ascii", False))
    columns = [line[8:].find("A") for line in lines[:-1]]
    seen = [column for column in columns if column >= 0]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] > 40


def test_values_that_are_not_finite_stand_on_the_top_row() -> None:
    x = np.arange(101.0)
    curve = Curve(safe("t"), "first", x, np.where(x == 50, np.nan, x), None, (50.0,))
    chart = ChartData((curve,), 0.0, 100.0, safe("step"))
    top = text_of(chart)[0]
    assert top[8 + column_of(50.0, chart, 52)] == "×"


def test_a_spike_beyond_the_range_touches_the_edge() -> None:
    values = [1.0 + 0.01 * (index % 7) for index in range(400)]
    values[200] = 1e6
    chart = data(values)
    y_range = fitting_range(chart, None)
    assert y_range is not None
    assert y_range[1] < 2
    assert text_of(chart, look=Look("ascii", False))[0][8 + column_of(200.0, chart, 52)] == "A"


def test_a_logarithmic_axis_is_a_true_one() -> None:
    """A straight line from 1 to 10,000 in the exponent passes 100 half way up."""
    chart = data([10 ** (index / 25) for index in range(101)], logarithmic=True)
    lines = text_of(chart, 60, 22, Look("ascii", False))
    labels = {line[:7].strip(): row for row, line in enumerate(lines) if line[:7].strip()}
    assert {"1", "100", "10k"} <= set(labels)
    middle = (labels["1"] + labels["10k"]) / 2
    assert abs(labels["100"] - middle) <= 1
    half = next(row for row, line in enumerate(lines) if line[8 + column_of(50.0, chart, 52)] == "A")
    assert abs(half - middle) <= 1


def test_the_range_stays_while_the_values_fit_in_it() -> None:
    first = fitting_range(data([1.0, 2.0, 3.0]), None)
    assert first is not None
    assert fitting_range(data([1.2, 2.0, 2.9]), first) == first
    assert fitting_range(data([1.0, 2.0, 30.0]), first) != first
    assert fitting_range(data([2.0, 2.1]), first) != first  # less than 60 % of it is needed


def test_a_constant_is_a_line_and_not_noise() -> None:
    lines = text_of(data([0.1] * 50), look=Look("ascii", False))
    assert sum("A" in line for line in lines) == 1


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e9))
def test_rounded_ranges_hold_their_values(low: float, span: float) -> None:
    bottom, top = rounded(low, low + span)
    assert bottom <= low * (1 + 1e-12 * (1 if low > 0 else -1)) + 1e-12
    assert top >= low + span - abs(low + span) * 1e-9
    assert 1 <= len(tick_values((bottom, top), 4, logarithmic=False)) <= 50


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.5, "1.5"),
        (12_000, "12k"),
        (1e6, "1.00e6"),
        (1.63e-5, "1.63e-5"),
        (float("nan"), "NaN"),
        (-0.25, "-0.25"),
    ],
)
def test_number_text(value: float, text: str) -> None:
    assert number_text(value) == text


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_fit_their_seven_columns(value: float) -> None:
    assert len(number_text(value)) <= 7


def strips(*texts: str) -> list[Strip]:
    return [Strip([Segment(text)]) for text in texts]


def test_only_lines_that_differ_are_sent() -> None:
    regions = changed_regions(strips("a", "b", "c", "d", "e"), strips("a", "x", "y", "d", "z"), 10)
    assert [(region.y, region.height) for region in regions] == [(1, 2), (4, 1)]


class _Chart(App[None]):
    def compose(self) -> ComposeResult:
        yield ChartView(id="chart")


async def test_the_same_picture_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    built = itertools.count()
    monkeypatch.setattr("tui.widgets.chart.draw", lambda *arguments: (next(built), draw(*arguments))[1])
    app = _Chart()
    async with app.run_test(size=(80, 20)) as pilot:
        chart = app.query_one(ChartView)
        for shift in (0.0, 1e-9, 2e-9, 0.5):
            chart.show(safe("t"), data([1.0 + shift, 2.0, 3.0]))
            chart.draw_now()
            await pilot.pause()
    assert next(built) == 2  # a billionth moves no dot, a half does


async def test_a_chart_that_cannot_be_drawn_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise ValueError("[/] \x1b[2J")

    monkeypatch.setattr("tui.widgets.chart.draw", stumble)
    app = _Chart()
    async with app.run_test(size=(80, 20)) as pilot:
        chart = app.query_one(ChartView)
        chart.show(safe("t"), data([1.0, 2.0]))
        chart.draw_now()
        await pilot.pause()
        first = "".join(segment.text for segment in chart.render_line(0))
        assert "This chart cannot be drawn: ValueError" in first
        assert "\x1b" not in first
