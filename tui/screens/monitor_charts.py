"""From a frame of numbers to what each chart shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.run.events import Series
from tui.screens.dialogs import Option
from tui.services.curves import UNSMOOTHED, CurveRequest, Frame, SeriesCurve, XAxis
from tui.services.run_view import RunView
from tui.services.safe_text import SafeText, safe
from tui.services.styled import Tone
from tui.services.words import duration_text, value_text
from tui.widgets.plot import ChartData, Curve

SMOOTHINGS = (0.0, 0.5, 0.9, 0.97, 0.99)
AXES: tuple[XAxis, ...] = ("step", "tokens", "time")
_TONES: tuple[Tone, ...] = ("first", "second", "third", "accent", "good")


@dataclass(frozen=True)
class ChartSettings:
    """How a monitor shows its charts; `zoom` counts halvings of the x range, `cursor` is an x."""

    x: XAxis = "step"
    smoothing: float = 0.9
    logarithmic: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()
    zoom: int = 0
    cursor: float | None = None

    def next_axis(self) -> ChartSettings:
        """Return the settings with the next x axis; zoom and cursor belong to the old one."""
        return replace(self.whole(), x=AXES[(AXES.index(self.x) + 1) % len(AXES)])

    def whole(self) -> ChartSettings:
        """Return the settings without what is a place in one run's x range: zoom and cursor."""
        return replace(self, zoom=0, cursor=None)

    def next_smoothing(self) -> ChartSettings:
        """Return the settings with the next strength of smoothing."""
        return replace(self, smoothing=SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)])

    def zoomed(self, by: int) -> ChartSettings:
        """Return the settings zoomed in or out, all the way out by 0."""
        return replace(self, zoom=max(0, min(16, self.zoom + by)) if by else 0)

    def toggled_cursor(self, frame: Frame) -> ChartSettings:
        """Return the settings with a cursor at the newest value, or without one."""
        return replace(self, cursor=min(frame.newest, frame.last) if self.cursor is None else None)

    def moved_cursor(self, by: int, frame: Frame, columns: int) -> ChartSettings:
        """Return the settings with the cursor `by` columns further, inside what there is to read."""
        if self.cursor is None:
            return self
        column = (frame.last - frame.first) / max(1, columns - 1)
        at = min(max(frame.first, self.cursor + by * column), min(frame.last, frame.newest))
        return replace(self, cursor=at)


@dataclass
class Pages:
    """Which charts are in sight, and which one keys act on; both count panels."""

    first: int = 0
    picked: int = 0

    def shown(self, names: list[str], count: int) -> list[str]:
        """Return the panels in sight, first the large one; a single one is the picked one."""
        if not names:
            return []
        first = self.picked if count == 1 else self.first
        return [names[(first + index) % len(names)] for index in range(min(count, len(names)))]

    def picked_name(self, names: list[str]) -> str:
        """Return the panel that keys act on."""
        return names[self.picked % len(names)] if names else ""

    def pick(self, by: int, names: list[str], count: int) -> None:
        """Pick the next panel, and bring it in sight."""
        if names:
            self.picked = (self.picked + by) % len(names)
            if self.picked_name(names) not in self.shown(names, count):
                self.first = self.picked

    def page(self, by: int, names: list[str], count: int) -> None:
        """Bring the next panel to the large place."""
        if names:
            self.first = ((self.first if count > 1 else self.picked) + by) % len(names)
            self.picked = self.first

    def choose(self, name: str, names: list[str]) -> None:
        """Bring a panel to the large place."""
        if name in names:
            self.first = self.picked = names.index(name)


def curve_request(
    view: RunView, shown: list[tuple[str, int]], settings: ChartSettings, frame: Frame | None
) -> CurveRequest:
    """Return what the feed has to make for the shown panels: (panel, columns of its chart)."""
    panels = view.panels()
    return CurveRequest(
        panels=tuple((name, tuple(one.name for one in panels.get(name, ())), columns) for name, columns in shown),
        x=settings.x,
        smoothing=settings.smoothing,
        zoom=zoomed(settings, frame),
        cursor=settings.cursor,
        planned=view.steps,
    )


def zoomed(settings: ChartSettings, frame: Frame | None) -> tuple[float, float] | None:
    """Return the x range of the zoom: around the cursor, else up to the newest value; None without a zoom."""
    if not settings.zoom or frame is None or frame.newest <= 0:
        return None
    whole = frame.newest
    span = whole / 2**settings.zoom
    centre = settings.cursor if settings.cursor is not None else whole - span / 2
    first = min(max(0.0, centre - span / 2), max(0.0, whole - span))
    return first, first + span


def chart_data(
    panel: str, series: tuple[Series, ...], frame: Frame, settings: ChartSettings, clip: float | None
) -> ChartData:
    """Return what the chart of a panel shows."""
    curves = frame.panels.get(panel, ())
    titles = {one.name: one.title for one in series}
    is_gradient = any(one.name.endswith("grad_norm") for one in series)
    return ChartData(
        curves=tuple(_curve(curve, titles.get(curve.name, curve.name), index) for index, curve in enumerate(curves)),
        first=frame.first,
        last=frame.last,
        x_title=safe(_axis_title(settings)),
        logarithmic=panel in settings.logarithmic,
        full=panel in settings.full,
        levels=((clip, "warning"),) if is_gradient and clip is not None else (),
        cursor=settings.cursor,
    )


def _curve(curve: SeriesCurve, title: str, index: int) -> Curve:
    return Curve(safe(title, limit=40), _TONES[index % len(_TONES)], curve.x, curve.y, curve.raw, curve.odd)


def _axis_title(settings: ChartSettings) -> str:
    return {"step": "step", "tokens": "tokens", "time": "seconds"}[settings.x]


def panel_options(panels: dict[str, tuple[Series, ...]]) -> list[Option]:
    """Return the panels as a menu, each with what it draws."""
    return [
        Option(name, safe(name, limit=50), safe(", ".join(one.title for one in series), limit=200))
        for name, series in panels.items()
    ]


def chart_title(panel: str, series: tuple[Series, ...], settings: ChartSettings, place: str) -> SafeText:
    """Return the words over a chart."""
    unit = next((f" ({one.unit})" for one in series if one.unit), "")
    words = [f"{panel}{unit}"]
    if settings.zoom:
        words.append(f"zoom ×{2**settings.zoom:,} · 0 whole")
    if panel in settings.logarithmic:
        words.append("log y")
    if settings.smoothing and not all(one.name in UNSMOOTHED for one in series):
        words.append(f"smooth {settings.smoothing:g}")
    return safe("  ".join([*words, place] if place else words), limit=80)


def cursor_words(frame: Frame, series: tuple[Series, ...], settings: ChartSettings) -> SafeText:
    """Return the exact values under the cursor."""
    if settings.cursor is None or frame.cursor_step is None:
        return safe("")
    at = f"step {frame.cursor_step:,}"
    if settings.x == "time":
        at += f" ({duration_text(settings.cursor)})"
    values = [
        f"{one.title} {value_text(frame.cursor_values[one.name])}" for one in series if one.name in frame.cursor_values
    ]
    return safe("  ".join([at, *values]), limit=120)
