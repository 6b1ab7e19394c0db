"""Numbers, times, states and events in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import assert_never

from core.run.events import (
    GROUP_LOSS,
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Metrics,
    Notice,
    Paused,
    Progress,
    RequestHandled,
    Resumed,
    Sampled,
    Started,
    Stopped,
)
from tui.services.safe_text import safe, size_words
from tui.services.styled import Line, Span, Tone, line, word

STATES: dict[str, tuple[str, Tone]] = {
    "created": ("○", "muted"),
    "running": ("●", "good"),
    "finished": ("✓", "good"),
    "stopped": ("■", "warning"),
    "preempted": ("■", "warning"),
    "failed": ("✗", "bad"),
    "stalled": ("!", "warning"),
    "lost": ("✗", "bad"),
    "silent": ("?", "warning"),
    "waiting": ("·", "muted"),
}
"""Mark and tone of every status word; the word always stands beside its mark."""
_LEVELS: dict[str, Tone] = {"info": "plain", "warning": "warning", "error": "bad"}


def state_mark(state: str) -> Span:
    """Return the mark of a status word."""
    mark, tone = STATES.get(state, ("?", "warning"))
    return word(mark, tone)


def state_words(state: str) -> Span:
    """Return mark and word of a status."""
    mark, tone = STATES.get(state, ("?", "warning"))
    return word(f"{mark} {state}", tone)


def count_text(value: float) -> str:
    """Return a count for a person: 950, 12,000, 1.25M."""
    if not math.isfinite(value):
        return value_text(value)
    if abs(value) < 100_000:
        return f"{value:,.0f}"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:,.0f}"


def group_of(series: str) -> str | None:
    """Return the group of sources whose held-out loss a series is, None for any other series."""
    return series.removeprefix(GROUP_LOSS) if series.startswith(GROUP_LOSS) else None


def value_text(value: float) -> str:
    """Return a measured value with four digits: 1.842, 1.63e-05, NaN."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return f"{value:.2e}"


def duration_text(seconds: float) -> str:
    """Return a span of time: 42 s, 3:05, 2:14:07, 3 d 4 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def age_text(seconds: float) -> str:
    """Return how long ago something was, shortly: 12s, 5m, 3h, 2d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"


def clock_text(wall: str) -> str:
    """Return the time of day of an event's `wall` in this machine's zone."""
    try:
        moment = datetime.fromisoformat(wall)
    except ValueError:
        return "--:--:--"
    return moment.astimezone().strftime("%H:%M:%S")


def seconds_of(wall: str) -> float:
    """Return an event's `wall` as seconds since 1970, NaN where it is no time."""
    try:
        moment = datetime.fromisoformat(wall)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def event_line(event: AnyEvent) -> Line:
    """Return an event as one line of the log."""
    text, tone = event_words(event)
    return line(word(clock_text(event.wall), "muted"), word(" "), word(text, tone))


def event_words(event: AnyEvent) -> tuple[str, Tone]:
    """Return what happened, in words that still have to be made safe, and how it should look."""
    match event:
        case Notice():
            at = f" (step {event.step:,})" if event.step is not None else ""
            return f"{event.level}: {event.message}{at}", _LEVELS[event.level]
        case Failed():
            return f"failed with code {event.exit_code}: {event.message}" + _hint(event.hint), "bad"
        case Stopped():
            return f"stopped at step {event.step:,} ({event.reason}){_hint(event.message)}", "warning"
        case Finished():
            return "finished" + (f" at step {event.step:,}" if event.step is not None else ""), "good"
        case Paused():
            return f"paused: {event.reason}", "warning"
        case RequestHandled():
            answer = "done" if event.accepted else "refused"
            return f"{event.verb} {answer}{_hint(event.message)}", "plain" if event.accepted else "warning"
        case _:
            return _work_words(event), "plain"


def _work_words(
    event: Started | Resumed | Progress | Metrics | Evaluated | Sampled | CheckpointSaved,
) -> str:
    match event:
        case Started():
            steps = f", {event.steps:,} steps" if event.steps is not None else ""
            return f"attempt {event.attempt} started: {event.phase}{steps}"
        case Resumed():
            exact = "" if event.exact else ", not exact"
            place = f" at step {event.step:,} from {event.checkpoint}" if event.checkpoint else ""
            return f"resumed{place}{exact}" + _hint("; ".join(event.notes))
        case Progress():
            total = f" of {count_text(event.total)}" if event.total else ""
            return f"{event.stage}: {count_text(event.done)}{total} {event.unit}{_hint(event.note)}"
        case Evaluated():
            values = "  ".join(f"{name} {value_text(value)}" for name, value in event.values.items())
            return f"evaluated at step {event.step:,}: {values}  ({event.seconds:.1f} s)"
        case Sampled():
            return f"sample at step {event.step:,}: {event.text[:200]}"
        case CheckpointSaved():
            return f"checkpoint {event.name} saved ({size_words(event.bytes)}, {event.seconds:.1f} s)"
        case Metrics():
            return f"step {event.step:,}: " + "  ".join(f"{k} {value_text(v)}" for k, v in event.values.items())
        case _:
            assert_never(event)


def _hint(text: str) -> str:
    return f": {text}" if text else ""


def progress_bar(share: float, width: int) -> Span:
    """Return a bar of `width` cells that is filled by `share` of it."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    bar = "█" * full + ("" if part == 0 else " ▏▎▍▌▋▊▉"[part])
    return (safe(bar.ljust(width, "·")), "first")
