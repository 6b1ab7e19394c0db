"""The list of runs in words: the cells of its table and what is known of the run under the cursor."""

from __future__ import annotations

from core.run.directory import Home
from tui.services.run_list import RunRow, age_seconds
from tui.services.run_tree import TreeRow
from tui.services.safe_text import SafeText, safe
from tui.services.styled import Line, Span, line, word
from tui.services.words import age_text, count_text, state_mark, value_text

NARROW = ("", "run", "phase", "state", "step", "loss", "eval", "age")
WIDE = ("", "run", "phase", "state", "step", "loss", "eval", "tok/s", "age", "words")
RIGHT = frozenset({"step", "loss", "eval", "tok/s", "age"})


def cells(tree: TreeRow, columns: tuple[str, ...], now: float) -> tuple[Span, ...]:
    """Return the cells of a run or a stage in the order of `columns`."""
    row = tree.row
    mark, tone = state_mark(tree.word)
    by_name: dict[str, Span] = {
        "": (mark, tone),
        "run": word(_title(tree), "strong" if tone == "good" and row.state.word == "running" else "plain"),
        "phase": word(row.phase or "-"),
        "state": word(tree.word, tone),
        "step": word(_step(row)),
        "loss": _value(row.loss),
        "eval": _value(row.evaluation),
        "tok/s": word("-" if row.tokens_per_second is None else count_text(row.tokens_per_second)),
        "age": word(
            "" if not tree.has_begun else "now" if age_seconds(row, now) < 60 else age_text(age_seconds(row, now)),
            "muted",
        ),
        "words": (safe(row.state.words, limit=80), "muted"),
    }
    return tuple(by_name[name] for name in columns)


def _title(tree: TreeRow) -> str:
    """Return how the list calls a run: stages stand below it, indented, unless it is folded."""
    if tree.parent:
        return f"  {tree.title}"
    return f"{'▸' if tree.is_folded else '▾'} {tree.title}" if tree.stages else tree.title


def detail_lines(tree: TreeRow, home: Home) -> list[Line]:
    """Return what is known of one run."""
    row = tree.row
    state = row.state
    if not tree.has_begun:
        return [line(state_mark(tree.word), word(" "), word(state.words)), line(word(f"a stage of {tree.parent}"))]
    where = f"pid {state.pid} on {state.host}" if state.pid and state.host else ""
    progress = row.progress if row.progress and not row.step else ""
    lines = [
        line(state_mark(state.word), word(" "), word(state.words or state.word), right=[word(where, "muted")]),
        line(word(f"attempt {state.attempt}   step {_step(row)}   {progress}")),
        line(word(str(home.runs / row.name), "muted")),
    ]
    advice = advice_for(row)
    return [*lines, line((advice, "accent"))] if advice else lines


def advice_for(row: RunRow) -> SafeText:
    """Return what one can do about a run that is not running well; empty where nothing is to be done."""
    match row.state.word:
        case "created":
            return safe("It has not been started. r starts it.")
        case "stopped" | "preempted" | "failed" if row.stages:
            return safe("r goes on with its first stage that is not finished; o shows or hides the stages.")
        case "stopped" | "preempted":
            return safe("r goes on from its last checkpoint.")
        case "failed" | "lost":
            return safe("⏎ shows what happened; r goes on from its last checkpoint.")
        case "stalled":
            return safe("It is alive but makes no progress: ⏎ shows its log; S asks it to stop.")
        case "silent":
            return safe("Look on its own machine; from here one cannot tell whether it lives.")
        case "finished" if row.phase == "prepare":
            return safe("⏎ watches it; there, ⏎ again shows what each filter dropped, and why.")
        case _:
            return safe("")


def empty_lines(home: Home) -> list[Line]:
    """Return what to do where there are no runs."""
    return [
        line(),
        line(word("  There are no runs yet in "), word(str(home.runs), "muted")),
        line(),
        line(word("  n", "accent"), word("  choose a preset and start one; quickstart needs no download")),
        line(word("  ?", "accent"), word("  all keys of this console")),
        line(),
        line(word("  or, in a shell:  "), word("footplate run quickstart", "strong")),
    ]


def _step(row: RunRow) -> str:
    if row.step is None:
        return row.progress or "-"
    return f"{count_text(row.step)}/{count_text(row.steps)}" if row.steps else count_text(row.step)


def _value(value: float | None) -> Span:
    if value is None:
        return word("-", "muted")
    text = value_text(value)
    return word(text, "bad" if text in ("NaN", "inf", "-inf") else "plain")
