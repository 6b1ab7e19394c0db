"""What the Data screen says about the step under the cursor: the source, what a filter drops and why, figures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from core.config.fields import Slot
from tui.forms.form_state import FormState
from tui.forms.form_text import help_lines
from tui.services.data_answers import Inspection
from tui.services.data_changes import change_lines
from tui.services.data_draft import Step, inspect_topic, source_key
from tui.services.data_histogram import bar_lines, histogram_lines
from tui.services.data_state import DataState, Refusal, StepRow
from tui.services.data_text import share_text, source_item
from tui.services.safe_text import safe, safe_lines, size_words
from tui.services.styled import Line, Tone, line, word, wrapped, wrapped_lines
from tui.services.trial_answers import DroppedRow, FilterCount, Trial
from tui.services.words import count_text

_NAME = 13
_TEXT_LINES = 3
_MOST_COLUMNS = 100
_MOST_ERRORS = 5
_MOST_FILES = 200
_EMPTY = (
    ("Nothing is chosen yet.", "strong"),
    ("", "plain"),
    ("n    point at a file or a folder: JSONL, Parquet, CSV, text, web archives, dumps, plain or compressed.", "plain"),
    ("F3   begin with a preset of the phase prepare.", "plain"),
    ("", "plain"),
    ("Footplate looks at what it is, takes a sample, and shows here what each filter would drop from it and which"
     " tokens the loss would count, before anything runs.", "muted"),
)  # fmt: skip


def detail_lines(state: DataState, row: StepRow | None, width: int, *, figures: bool = False) -> list[Line]:
    """Return what is to be said about a row of the list, or with `figures` those of the sample, `width` cells wide."""
    if state.form is None or row is None:
        return wrapped_lines([line(word(text, tone)) for text, tone in _EMPTY], width)  # type: ignore[arg-type]
    if figures:
        return figure_lines(state, width)
    lines = [] if row.slot is None else [*_field_lines(state.form, row.slot, width), line()]
    match row.step.kind:
        case "source":
            lines += _source_lines(state, state.form, row.step, width)
        case "filter":
            lines += _filter_lines(state, row.step, width)
        case "add_source":
            lines += _words("⏎ or n: point at a file or a folder. Sources are taken in this order; how much of each"
                            " is said by data.mix among the settings.", width)  # fmt: skip
        case "add_filter":
            lines += _words("⏎: choose what leaves documents out, or masks something in them. Filters work from the"
                            " first to the last; J and K move one, del takes one out.", width)  # fmt: skip
        case "tokens" | "settings":
            lines += [*refused_lines(state.refusals.get("tokens"), width), *figure_lines(state, width)]
    return lines


def _words(text: str, width: int) -> list[Line]:
    return wrapped(safe(text), width)


def _field_lines(form: FormState, slot: Slot, width: int) -> list[Line]:
    return wrapped_lines([line(word(text, tone)) for text, tone in help_lines(form, slot)], width)


def refused_lines(refusal: Refusal | None, width: int) -> list[Line]:
    """Return the message and the hint of an error."""
    if refusal is None:
        return []
    lines = [line((part, "bad")) for part in safe_lines(f"✗ {refusal.message}", lines=10)]
    lines += [line((part, "plain")) for part in safe_lines(refusal.hint, lines=5) if part]
    return [*wrapped_lines(lines, width), line()]


def _pair(name: str, value: object, tone: Tone = "plain") -> Line:
    return line(word(f"{name:<{_NAME}} ", "muted"), word(value, tone))


def _source_lines(state: DataState, form: FormState, step: Step, width: int) -> list[Line]:
    key = source_key(source_item(form, step))
    topic = inspect_topic(key)
    if (refusal := state.refusals.get(topic)) is not None:
        return refused_lines(refusal, width)
    found = state.inspections.get(key)
    if found is None:
        return [line(word("looking at it …" if topic in state.waiting else "not looked at yet", "muted"))]
    return _inspection_lines(found, width)


def _inspection_lines(found: Inspection, width: int) -> list[Line]:
    more = "" if found.is_whole else " or more"
    lines = [_pair("format", found.format)]
    if found.says:
        lines.append(_pair("rows say", found.says.replace("_", " ")))
    if found.rows is not None:
        lines.append(_pair("rows", count_text(found.rows) + more))
    if found.documents is not None:
        lines.append(_pair("conversations" if found.says else "documents", count_text(found.documents) + more))
    if not found.is_whole:
        lines.append(_pair("", "not read to its end", "muted"))
    lines.append(_bad_line("bad rows", found.bad_rows))
    if found.unusable_rows:
        lines.append(_bad_line("unusable", found.unusable_rows))
    lines += [_pair("mended", f"{what.replace('_', ' ')} {count_text(count)}") for what, count in found.repaired]
    if found.bytes:
        lines.append(_pair("size", size_words(found.bytes)))
    lines += _error_lines(found.errors, width)
    return lines + _column_lines(found, width) + _file_lines(found)


def _error_lines(errors: Iterable[str], width: int) -> list[Line]:
    """Return what is wrong with rows; of a place its file's name is enough."""
    short = (re.sub(r"^/(?:[^/:]*/)*", "", error) for error in errors)
    return [part for error in short for part in wrapped(safe(f"! {error}", limit=300), width, "warning")]


def _bad_line(name: str, count: int) -> Line:
    tone: Tone = "bad" if count else "good"
    return line(word(f"{name:<{_NAME}} ", "muted"), word(count_text(count), tone))


def _column_lines(found: Inspection, width: int) -> list[Line]:
    if not found.columns:
        return []
    lines = [line(), line(word("columns", "title"))]
    longest = min(24, max(len(safe(column.name)) for column in found.columns))
    for column in found.columns[:_MOST_COLUMNS]:
        name = safe(column.name, limit=longest).text[:longest].ljust(longest + 1)
        example = safe(column.example, limit=max(8, width))
        lines.append(line(word(name, "accent"), word(f"{column.type}  ", "muted"), example))
    if len(found.columns) > _MOST_COLUMNS:
        lines.append(line(word(f"… {len(found.columns)} columns in all", "muted")))
    return lines


def _file_lines(found: Inspection) -> list[Line]:
    lines: list[Line] = []
    if len(found.files) > 1:
        lines += [line(), line(word(f"{len(found.files)} files", "title"))]
        for path, form, rows in found.files[:_MOST_FILES]:
            right = word(f" {form} {count_text(rows)}", "muted")
            lines.append(line(safe(Path(path).name, limit=60), right=[right]))
        if len(found.files) > _MOST_FILES:
            lines.append(line(word(f"… {len(found.files)} files in all", "muted")))
    if found.left_out:
        lines += [line(), line(word("not read", "title"))]
        lines += [
            line((safe(Path(what).name, limit=60), "plain"), word(f"  {reason}", "muted"))
            for what, reason in found.left_out[:_MOST_FILES]
        ]
        if len(found.left_out) > _MOST_FILES:
            lines.append(line(word(f"… {len(found.left_out)} in all", "muted")))
    return lines


def _filter_lines(state: DataState, step: Step, width: int) -> list[Line]:
    refusal = state.refusals.get("trial")
    trial = state.trial
    if refusal is not None or trial is None or step.index >= len(trial.filters):
        words = "trying it on the sample …" if "trial" in state.waiting else "not tried"
        return refused_lines(refusal, width) or [line(word(words, "muted"))]
    return filter_lines(trial, step.index, width)


def filter_lines(trial: Trial, index: int, width: int) -> list[Line]:
    """Return what a filter did: how much of what came in went on, its rules, documents that it dropped or changed."""
    lines = _count_lines(trial.filters[index])
    examples = [one for one in trial.dropped if one.filter == index]
    if examples:
        lines += [line(), line(word("dropped, and why", "title"))]
        lines += [part for one in examples for part in _dropped_lines(one, width)]
    return lines + change_lines(trial.changed, index, width)


def _count_lines(found: FilterCount) -> list[Line]:
    if not found.is_counted:
        return [line(word("not tried on the sample: ", "warning"), word(found.note or "it needs the whole"))]
    lines = [
        line(word(f"{count_text(found.seen)} in → ", "muted"), word(f"{count_text(found.kept)} kept", "good"),
             word(f"  {count_text(found.dropped)} dropped {share_text(found.dropped, found.seen)}",
                  "warning" if found.dropped else "muted")),
    ]  # fmt: skip
    lines += bar_lines([(rule_words(name), count) for name, count in found.rules], found.seen)
    if changes := sum(count for _, count in found.changed):
        lines.append(line(word(f"{count_text(changes)} change{'' if changes == 1 else 's'}", "accent")))
    return lines + bar_lines([(rule_words(name), count) for name, count in found.changed], changes)


def rule_words(rule: str) -> str:
    """Return a rule's name without that of its filter, in words."""
    return rule.rpartition(".")[2].replace("_", " ")


def _dropped_lines(one: DroppedRow, width: int) -> list[Line]:
    rule = word(f"{rule_words(one.rule)} ", "warning")
    value = re.sub(r"^as /(?:[^/]*/)*", "as ", one.value)  # of the place of a double its file's name is enough
    head = line(word("✗ ", "bad"), rule, (safe(value, limit=120), "strong"))
    text = " ".join(one.text.split())[: _TEXT_LINES * max(1, width)]
    body = wrapped(safe(text), max(1, width - 2), "plain")[:_TEXT_LINES]
    place = line(word("  "), (safe(Path(one.place).name, limit=200), "muted"))
    return [head, place, *[line(word("│ ", "muted"), *part.left) for part in body]]


def figure_lines(state: DataState, width: int) -> list[Line]:
    """Return the estimate for the whole, and lengths and languages of what is kept of the sample."""
    trial = state.trial
    if (refusal := state.refusals.get("trial")) is not None:
        return refused_lines(refusal, width)
    if trial is None:
        waits = "trial" in state.waiting
        return [line(word("taking a sample …" if waits else "There are no figures yet.", "muted"))]
    lines = estimate_lines(trial, width, is_old=state.is_stale)
    if trial.bad_rows:
        lines += [_bad_line("bad rows", trial.bad_rows), *_error_lines(trial.errors[:_MOST_ERRORS], width)]
    if trial.lengths is not None and trial.lengths.counts:
        lines += [line(), line(word("characters a document, of those kept", "title"))]
        lines += histogram_lines(trial.lengths, width)
    if trial.languages:
        lines += [line(), line(word("languages of the sample", "title"))]
        lines += bar_lines(_most(trial.languages, 12), sum(count for _, count in trial.languages))
    return lines


def _most(pairs: Iterable[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    ordered = sorted(pairs, key=lambda pair: -pair[1])
    rest = sum(count for _, count in ordered[limit:])
    return ordered[:limit] + ([("others", rest)] if rest else [])


def estimate_lines(trial: Trial, width: int, *, is_old: bool) -> list[Line]:
    """Return what the whole is likely to come to; where the sample is all, the documents are not repeated."""
    share = f"{100 * trial.kept / trial.rows:.1f}%" if trial.rows else "–"
    tone: Tone = "muted" if is_old else "plain"
    which = "all" if trial.is_all else "sample"
    lines = [_pair(which, f"{count_text(trial.kept)} of {count_text(trial.rows)} kept ({share})", tone)]
    estimate = trial.estimate
    if estimate is None or estimate.documents is None:
        return lines + wrapped(safe("What the whole comes to is known only once all is read."), width, "muted")
    about = "" if estimate.is_exact else "≈ "
    if not trial.is_all:
        lines.append(_pair("the whole", f"{about}{count_text(round(estimate.documents))} kept", tone))
    if estimate.tokens is not None:
        disk = "" if estimate.bytes is None else f", {size_words(estimate.bytes)} on disk"
        lines.append(_pair("tokens", f"≈ {count_text(round(estimate.tokens))}{disk}", tone))
    if estimate.stands_in:
        lines.append(_pair("", "by a stand-in for your tokenizer", "warning"))
    return lines
