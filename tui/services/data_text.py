"""The pipeline of the Data screen in lines: a line a step, with what went in and came out of it. Pure."""

from __future__ import annotations

import time
from pathlib import Path

from core.config.fields import Slot
from tui.forms.form_state import FormState, shown_value, value_at
from tui.services.data_draft import Step, inspect_topic, items, kind_of, source_key
from tui.services.data_state import DataState, StepRow
from tui.services.safe_text import safe
from tui.services.styled import Line, Span, Tone, line, word
from tui.services.trial_answers import FilterCount
from tui.services.words import age_text, count_text

_SECONDS_TO_SHOW_AGE = 1.0


def pipeline_lines(state: DataState, *, is_wide: bool) -> list[Line]:
    """Return the rows of the list; where it is wide, sources with the format that was found."""
    form = state.form
    if form is None:
        return []
    return [_step_line(state, form, row.step, is_wide) if row.slot is None else field_line(form, row.slot, row.step)
            for row in state.rows()]  # fmt: skip


def _step_line(state: DataState, form: FormState, step: Step, is_wide: bool) -> Line:
    mark: Span = word("!", "bad") if _is_wrong(form, step) else word("▾" if state.opened == step else " ", "accent")
    match step.kind:
        case "source":
            return line(mark, word(source_name(form, step), "strong"), right=_source_right(state, form, step, is_wide))
        case "add_source":
            return line(word(" + add a source… ", "muted"), word("n", "accent"))
        case "filter":
            name = f"{step.index + 1} {filter_name(form, step)}"
            return line(mark, word(name, "strong"), right=_filter_right(state, step))
        case "add_filter":
            return line(word(" + add a filter…", "muted"))
        case "tokens":
            return line(mark, word("tokens  ", "strong"), word(_tokenizer(form), "muted"), right=_tokens_right(state))
        case "settings":
            return line(mark, word("settings", "strong"))


def _is_wrong(form: FormState, step: Step) -> bool:
    if step.kind in ("source", "filter"):
        return any(place[: len(step.place)] == step.place for place in form.wrong)
    return step.kind == "settings" and any(place[:2] not in (("data", "sources"), ("data", "filters"))
                                           for place in form.wrong)  # fmt: skip


def source_item(form: FormState, step: Step) -> object:
    """Return a source as it stands in the draft."""
    return value_at(form.draft.values, step.place)


def source_name(form: FormState, step: Step) -> str:
    """Return a source in a word or two."""
    item = source_item(form, step)
    if not isinstance(item, dict):
        return "(no path)"
    key = str(item.get("path") or item.get("name") or item.get("kind") or "")
    return Path(key).name or key or "(no path)"


def filter_name(form: FormState, step: Step) -> str:
    """Return a filter's kind in words; a preset that somebody wrote may have anything in its place."""
    kind = value_at(form.draft.values, (*step.place, "kind"))
    return kind.replace("_", " ") if isinstance(kind, str) and kind else "(no kind)"


def _source_right(state: DataState, form: FormState, step: Step, is_wide: bool) -> list[Span]:
    key = source_key(source_item(form, step))
    topic = inspect_topic(key)
    if topic in state.refusals:
        return [word("✗ ", "bad")]
    found = state.inspections.get(key)
    if found is None:
        return [word("… " if topic in state.waiting else "", "muted")]
    bad: list[Span] = [word(f"{found.bad_rows} bad ", "warning")] if found.bad_rows else []
    more = "" if found.is_whole else "+"
    rows = "" if found.rows is None else f"{count_text(found.rows)}{more} "
    format_words: list[Span] = [word(f"{found.says or found.format} ", "muted")] if is_wide else []
    return [word(" "), *format_words, *bad, word(rows)]


def _filter_right(state: DataState, step: Step) -> list[Span]:
    trial = state.trial
    if trial is None or step.index >= len(trial.filters):
        return [word("… " if "trial" in state.waiting else "", "muted")]
    return count_spans(trial.filters[step.index], is_old=state.is_stale)


def count_spans(found: FilterCount, *, is_old: bool = False) -> list[Span]:
    """Return what a filter left and which share it took away."""
    tone: Tone = "muted" if is_old else "plain"
    if not found.is_counted:
        return [word(" not tried ", "muted")]
    share = share_text(found.dropped, found.seen)
    return [word(f" {count_text(found.kept)} ", tone), word(f"{share:>6} ", "muted" if is_old else "warning")]


def share_text(dropped: int, seen: int) -> str:
    """Return what a filter took away: -3.5%, or nothing where it took nothing."""
    return f"-{100 * dropped / seen:.1f}%" if seen and dropped else "0%" if seen else "–"


def _tokenizer(form: FormState) -> str:
    found = value_at(form.draft.values, ("data", "tokenizer"))
    if not isinstance(found, dict):
        return "the model's own"
    kind = found.get("kind")
    if kind == "load":
        return Path(str(found.get("path", ""))).name
    return f"trained, {found.get('vocabulary_size', 4096)}" if kind == "train" else "the model's own"


def _tokens_right(state: DataState) -> list[Span]:
    estimate = state.trial.estimate if state.trial is not None else None
    if estimate is None or estimate.tokens is None:
        return []
    return [word(f" ≈ {count_text(estimate.tokens)} tok ", "muted" if state.is_stale else "plain")]


def field_line(form: FormState, slot: Slot, step: Step) -> Line:
    """Return one field of an open step."""
    depth = len(slot.path) - len(step.place) - 1
    indent = "   " + "  " * max(0, depth)
    title = "kind" if slot.path == (*step.place, "kind") else slot.title
    wrong = form.wrong.get(slot.path, [])
    value = "(needed)" if slot.required and not slot.is_set and slot.value is None else shown_value(slot.value)
    if slot.kind == "section":
        return line(word(f"{indent}{title}:", "title"))
    if slot.kind in ("choice", "union", "bool"):
        value += " ▾"
    tone: Tone = "bad" if wrong else "strong" if slot.is_set else "muted"
    return line(word("!" if wrong else " ", "bad"), word(f"{indent[1:]}{title}  "), (safe(value, limit=200), tone))


def head_line(state: DataState) -> Line:
    """Return the first line of the screen: what is prepared, and how the figures are."""
    left = [word(" FOOTPLATE", "title"), word("  2 Data   ", "strong")]
    if state.form is None:
        return line(*left)
    form = state.form
    kind = {"text": "documents"}.get(kind_of(form), kind_of(form))
    count = len(items(form, ("data", "sources")))
    left.append(word(f"{form.name}  {kind}" + (f" of {count} sources" if count != 1 else ""), "plain"))
    return line(*left, right=[word(" "), *figures(state), word(" ")])


def figures(state: DataState) -> list[Span]:
    """Return in a few words how the figures stand: wrong values, being counted, how old."""
    form = state.form
    if form is not None and form.problem_count:
        count = form.problem_count
        return [word(f"{count} wrong value{'s' if count != 1 else ''}", "bad")]
    if "trial" in state.waiting or state.is_stale:
        age = time.monotonic() - state.trial_at
        old = f", figures {age_text(age)} old" if state.trial is not None and age >= _SECONDS_TO_SHOW_AGE else ""
        return [word(f"counting …{_done(state)}{old}", "warning")]
    if "trial" in state.refusals:
        return [word("the trial failed", "bad")]
    if state.waiting:
        return [word(f"asking …{_done(state)}", "muted")]
    if state.trial is None:
        return []
    which = "" if state.trial.is_all else " of a sample"
    if not state.trial.rows and (count := state.trial.bad_rows):
        return [word(f"no documents, {count_text(count)} bad row{'s' if count != 1 else ''}", "bad")]
    return [word(f"{count_text(state.trial.kept)} of {count_text(state.trial.rows)} kept{which}", "good")]


def _done(state: DataState) -> str:
    progress = state.progress
    if progress is None or not progress.done:
        return ""
    total = f"/{count_text(progress.total)}" if progress.total else ""
    return f" {progress.stage} {count_text(progress.done)}{total}"


def row_title(state: DataState, row: StepRow) -> str:
    """Return what the detail is about."""
    form = state.form
    if form is None:
        return "how to begin"
    if row.slot is not None and row.step.kind not in ("filter", "source"):
        return row.slot.title
    match row.step.kind:
        case "source":
            return source_name(form, row.step)
        case "filter":
            return filter_name(form, row.step)
        case "add_source":
            return "add a source"
        case "add_filter":
            return "add a filter"
        case "tokens":
            return "tokens"
        case "settings":
            return "settings"
