"""The list of runs in words: the cells of its table and what is known of the run under the cursor."""

from __future__ import annotations

from core.errors import ExitCode
from core.run.directory import Home
from tui.services.run_list import RunRow, age_seconds, is_live
from tui.services.run_tree import TreeRow
from tui.services.safe_text import SafeText, safe
from tui.services.styled import Line, Span, line, word, wrapped
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


def detail_lines(tree: TreeRow, home: Home, width: int = 0) -> list[Line]:
    """Return what is known of one run, in four lines; why it failed goes on in a second one where `width` asks it."""
    row = tree.row
    state = row.state
    if not tree.has_begun:
        return [line(state_mark(tree.word), word(" "), word(state.words)), line(word(f"a stage of {tree.parent}"))]
    where = f"pid {state.pid} on {state.host}" if state.pid and state.host and is_live(state) else ""
    words = wrapped(safe(state.words or state.word), width - 2)[:2] if width > 20 else [line(word(state.words))]
    lines = [line(state_mark(state.word), word(" "), *words[0].left, right=[word(where, "muted")])]
    lines += [line(word("  "), *one.left) for one in words[1:]]
    progress = row.progress or "-" if row.step is None else f"step {_step(row)}"
    inexact = word("" if row.exact else "   not exact: a resume was allowed to differ", "warning")
    lines.append(line(word(f"attempt {state.attempt}   {progress}"), inexact))
    if len(words) == 1:
        lines.append(line(word(str(home.runs / row.name), "muted")))
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
            return safe(f"{_resuming(row)}.")
        case "failed" if row.state.exit_code == ExitCode.CHECKPOINT:
            return safe("⏎ shows what is wrong and what to do; as it is, r will be refused again.")
        case "failed" | "lost":
            return safe(f"⏎ shows what happened; {_resuming(row)}.")
        case "stalled":
            return safe("It is alive but makes no progress: ⏎ shows its log; S asks it to stop.")
        case "silent":
            return safe("Look on its own machine; from here one cannot tell whether it lives.")
        case "finished" if row.phase == "prepare":
            return safe("⏎ watches it; there, ⏎ again shows what each filter dropped, and why.")
        case _:
            return safe("")


def _resuming(row: RunRow) -> str:
    if row.has_checkpoint:
        return "r goes on from its last checkpoint"
    return "r goes on with what is done" if row.phase == "prepare" else "r starts it again; it has no checkpoint yet"


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
