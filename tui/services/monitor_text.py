"""A watched run in lines: its head, its numbers, its facts, the machine, the stages of preparation. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.run.events import Failed, Progress, Series, Stopped
from core.run.status import RunStatus
from tui.services.run_list import is_live
from tui.services.run_view import RunView
from tui.services.safe_text import safe, size_words
from tui.services.styled import Line, Span, Tone, cell_count, line, word, wrapped
from tui.services.words import count_text, duration_text, group_of, progress_bar, state_words, value_text

if TYPE_CHECKING:
    from tui.services.curves import Frame
    from tui.services.machine import GpuReading, MachineReading

_SHORT = {
    "train/learning_rate": "lr", "train/grad_norm": "|g|", "train/tokens_per_second": "tok/s", "train/loss": "loss",
    "eval/loss": "eval", "eval/perplexity": "ppl", "train/kl": "KL", "train/ended": "ended",
}  # fmt: skip


def head_lines(view: RunView, state: RunStatus | None, frame: Frame | None, width: int) -> list[Line]:
    """Return the three lines over a monitor: who and how, how far, the newest numbers."""
    name = [word(" FOOTPLATE", "title"), word("  4 Monitor   ", "strong"), word(view.name, "strong")]
    if view.phase:
        name.append(word(f" · {view.phase}", "muted"))
    return [
        line(*name, right=_state_spans(view, state)),
        _progress_line(view, state, frame, width),
        _numbers(view, frame, width),
    ]


def _state_spans(view: RunView, state: RunStatus | None) -> list[Span]:
    if state is None:
        return [word(" reading … ", "muted")]
    spans = [word(" "), state_words(state.word)]
    if is_live(state) and state.section:  # of the last heartbeat: the end may have been told since
        spans.append(word(f"  {state.section if view.ended is None else 'ending'}", "muted"))
    if is_live(state) and state.beat_seconds is not None:
        spans.append(word(f"  ♥ {duration_text(state.beat_seconds)} ago", "muted"))
    return [*spans, word(" ")]


def _progress_line(view: RunView, state: RunStatus | None, frame: Frame | None, width: int) -> Line:
    step = frame.step if frame is not None and frame.step else state.step if state and state.step else 0
    if view.steps is None:
        newest = next(reversed(view.progress.values()), None) if view.progress else None
        if newest is None:
            return line(word(f" {state.words if state else ''}", "muted"))
        pace = word("" if view.ended is not None else f"  {newest.note.partition(';')[0]}", "muted")
        return line(word(" "), *_stage_spans(view, newest, max(6, width // 6)), pace)
    share = step / view.steps if view.steps else 0.0
    spans = [
        word(f" step {step:,} / {view.steps:,}  "),
        progress_bar(share, max(8, min(40, width // 4))),
        word(f"  {share:.1%}"),
    ]
    right = []
    if frame is not None and frame.elapsed is not None:
        right.append(word(f"elapsed {duration_text(frame.elapsed)}  ", "muted"))
    if frame is not None and frame.remaining is not None and state is not None and is_live(state):
        right.append(word(f"left {duration_text(frame.remaining)} ", "strong"))
    elif state is not None and state.word in ("running", "stalled"):
        right.append(word("left … ", "muted"))
    return line(*spans, right=right)


def _numbers(view: RunView, frame: Frame | None, width: int) -> Line:
    """Return the newest values, and the pace; the series that a run declares first have room first.

    One that has no value in the newest row is left out: there is nothing to say of it, and others need the room.
    """
    found = [(series, value) for series in view.series if (value := _latest(view, frame, series)) is not None]
    numbers = [_number(series, value) for series, value in found if not math.isnan(value)]
    gap = "   " if sum(_columns(number) + 3 for number in numbers) < width else "  "
    spans: list[Span] = [word(" ")]
    for number in [*numbers, *_pace(frame)]:
        if _columns((*spans, *number)) > width:
            break
        spans += [*number, word(gap)]
    return Line(tuple(spans))


def _pace(frame: Frame | None) -> Iterator[tuple[Span, ...]]:
    if frame is not None and frame.steps_per_second:
        pace = frame.steps_per_second
        yield (word(f"{1 / pace:.3g} s/step" if pace < 1 else f"{pace:.3g} steps/s"),)
    if frame is not None and math.isfinite(frame.tokens) and frame.tokens:
        yield word("tokens ", "muted"), word(count_text(frame.tokens))


def _columns(spans: tuple[Span, ...]) -> int:
    return sum(cell_count(text.text) for text, _ in spans)


def _number(series: Series, value: float) -> tuple[Span, Span]:
    text = count_text(value) if abs(value) >= 1000 else value_text(value)
    tone: Tone = "strong" if math.isfinite(value) else "bad"
    return word(f"{_short(series)} ", "muted"), word(text, tone)


def _short(series: Series) -> str:
    group = group_of(series.name)
    if group is None and series.name.startswith("eval/"):
        group = series.name.removeprefix("eval/").replace("_", " ")
    return _SHORT.get(series.name) or (series.title if group is None else f"eval {group}")


def _latest(view: RunView, frame: Frame | None, series: Series) -> float | None:
    value = view.latest_evaluation(series.name)
    return frame.latest.get(series.name, value) if frame is not None else value


def nothing_lines() -> list[Line]:
    """Return the head and the words of a monitor that watches no run."""
    head = line(word(" FOOTPLATE", "title"), word("  4 Monitor", "strong"))
    way = line(word("  1", "accent"), word("  go to the list of runs and press ⏎ on one"))
    return [head, line(), line(word("  No run is being watched.")), line(), way]


def fact_lines(view: RunView, state: RunStatus | None) -> list[Line]:
    """Return what a person wants to know of the run: what Started told, its checkpoints, its best evaluation."""
    lines = []
    if state is not None:
        lines.append(line(word(state.words or state.word)))
    if state is not None and state.pid and is_live(state):
        lines.append(_pair("pid", f"{state.pid} on {state.host or 'this machine'}"))
    if view.resumed_step:
        lines.append(_pair("resumed at", f"{view.resumed_step:,}"))
    if view.checkpoints:
        lines.append(_pair("checkpoint", f"{view.checkpoints[-1].step:,} ({size_words(view.checkpoints[-1].bytes)})"))
    lines += [_pair(*words) for series in view.series if (words := _evaluated(view, series))]
    facts = view.started.facts if view.started else {}
    lines += [_pair(name.replace("_", " "), _fact(value)) for name, value in facts.items()]
    return lines


def _evaluated(view: RunView, series: Series) -> tuple[str, str] | None:
    """Return the best value of a series that evaluations give, and the newest where no end of it is the better one."""
    best = view.best_evaluation(series) if series.name.startswith("eval/") else None
    if best is not None:
        return f"best {_short(series)}", f"{value_text(best[1])} @ {best[0]:,}"
    newest = view.latest_evaluation(series.name)
    return None if newest is None else (_short(series), value_text(newest))


def ending_lines(view: RunView, state: RunStatus | None, width: int) -> list[Line]:
    """Return what a person must know of a run that ended badly, and what to do; [] where it did not.

    Message and hint are broken to `width` cells and take at most four lines each. Of an attempt that ended without a
    word of its own, the state has the words.
    """
    is_silent = view.ended is None or (state is not None and view.ended.attempt < state.attempt)
    if is_silent and state is not None and state.word in ("failed", "lost"):
        output = _indented(f"What it printed: footplate logs {view.name}", width, "accent")
        return [*_indented(state.words, width, "bad"), *output]
    match view.ended:
        case Failed(message=message, hint=hint, exit_code=code):
            head = f"failed with code {code}:"
            first, *rest = message.strip().splitlines() or [""]
            lines = _indented(f"{head} {first}", width, "plain")
            lines += [part for one in rest for part in _indented(one.strip(), width, "plain")]
            lines = lines[:4]
            lines[0] = line(word(f" {head}", "bad"), word(lines[0].left[1][0].text.removeprefix(head)))
            return lines + [part for one in hint.splitlines() for part in _indented(one, width, "accent")][:4]
        case Stopped(message=message) if message:
            return _indented(message, width, "warning")
        case _:
            return []


def _indented(text: str, width: int, tone: Tone) -> list[Line]:
    return [line(word(" "), *one.left) for one in wrapped(safe(text, limit=1_000), max(20, width - 2), tone)[:4]]


def stage_lines(view: RunView, width: int, height: int) -> list[Line]:
    """Return the stages of work without steps, each with its note below it.

    Where there is no room for all, the notes of earlier stages are left out, then the stages before the newest.
    """
    heads = [line(word(" "), *_stage_spans(view, one, max(6, width // 6))) for one in view.progress.values()]
    notes = [_note_lines(one.note, width) for one in view.progress.values()]
    if view.is_prepared:
        heads.append(line(word(" ⏎", "accent"), word("  what each filter dropped, and why")))
        notes.append([])
    room = max(1, height) - len(heads)
    lines: list[Line] = []
    for head, note in zip(reversed(heads), reversed(notes), strict=True):
        shown = note if len(note) <= room else note[: max(0, height - 1)] if not lines else []
        room -= len(shown)
        lines = [head, *shown, *lines]
    return lines[-max(1, height) :]


def _note_lines(note: str, width: int) -> list[Line]:
    """Return what a stage says besides: its pace, then what was dropped by rule."""
    parts = [safe(part) for part in note.split("; ") if part]
    return [line(word("    "), (safe(one.left[0][0]), "muted")) for part in parts for one in wrapped(part, width - 5)]


def _stage_spans(view: RunView, progress: Progress, width: int) -> list[Span]:
    name = word(f"{progress.stage:<18} ")
    if not progress.total:
        return [name, word(f"{count_text(progress.done)} {progress.unit}", "strong")]
    share = progress.done / progress.total
    done = f"  {share:4.0%}  {count_text(progress.done)} of {count_text(progress.total)} {progress.unit}"
    left = view.stage_seconds_left(progress.stage)
    rest = word("" if left is None else f"  {duration_text(left)} left", "strong")
    return [name, progress_bar(share, width), word(done), rest]


def machine_lines(reading: MachineReading | None, width: int) -> list[Line]:
    """Return the machine in a panel."""
    if reading is None:
        return [line(word("reading …", "muted"))]
    lines: list[Line] = []
    for index, gpu in enumerate(reading.gpus):
        lines += _gpu_lines(index, gpu, width)
    if not reading.gpus:
        lines.append(line(word("no GPU seen", "muted")))
    bar = max(6, width - 28)
    lines.append(_gauge("cpu", reading.cpu / 100, f"{reading.cpu:3.0f}% of {reading.cores} cores", bar))
    used = f"{size_words(reading.memory_used)} of {size_words(reading.memory_total)}"
    lines.append(_gauge("memory", reading.memory_used / max(1, reading.memory_total), used, bar))
    free = f"{size_words(reading.disk_free)} free"
    taken = 1 - reading.disk_free / max(1, reading.disk_total)
    lines.append(_gauge("disk", taken, free, bar))
    return lines


def machine_line(reading: MachineReading | None) -> Line:
    """Return the machine in one line."""
    if reading is None:
        return line(word(" machine: reading …", "muted"))
    spans: list[Span] = [word(" ")]
    for index, gpu in enumerate(reading.gpus):
        use = "" if gpu.utilization is None else f" {gpu.utilization:.0f}%"
        spans.append(word(f"gpu{index}{use} {size_words(gpu.memory_used or 0)}   "))
    spans.append(
        word(f"cpu {reading.cpu:.0f}%   memory {size_words(reading.memory_used)}/{size_words(reading.memory_total)}")
    )
    tone = "warning" if reading.disk_free < 2e9 else "plain"
    spans.append((safe(f"   disk {size_words(reading.disk_free)} free"), "warning" if tone == "warning" else "plain"))
    return Line(tuple(spans))


def _gpu_lines(index: int, gpu: GpuReading, width: int) -> list[Line]:
    use = (gpu.utilization or 0.0) / 100
    words = "" if gpu.utilization is None else f"{gpu.utilization:3.0f}%"
    lines = [line(word(f"{index} {gpu.name}"[:width], "muted")), _gauge("gpu", use, words, max(6, width - 28))]
    if gpu.memory_total:
        used = f"{size_words(gpu.memory_used or 0)} of {size_words(gpu.memory_total)}"
        lines.append(_gauge("", (gpu.memory_used or 0) / gpu.memory_total, used, max(6, width - 28)))
    heat = [f"{gpu.temperature:.0f} °C"] if gpu.temperature is not None else []
    power = [f"{gpu.power:.0f} W"] if gpu.power is not None else []
    return lines + ([line(word("       " + "   ".join(heat + power), "muted"))] if heat or power else [])


def _gauge(name: str, share: float, words: str, width: int) -> Line:
    return line(word(f"{name:<7}", "muted"), progress_bar(share, width), word(f" {words}"))


def _pair(name: str, words: str) -> Line:
    return line(word(f"{name} ", "muted"), word(words))


def _fact(value: str | int | float | bool) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) < 10_000_000 else count_text(value)
        case float():
            return value_text(value)
        case _:
            return value
