"""`data filter-report`: what filters dropped and changed, by rule, in a finished run or on a sample."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config.presets import list_presets
from core.data.cleaning.report import REPORT
from core.data.filter_choice import usual_filters, with_filters_of
from core.data.subject import columns_from, find_subject
from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.runs import list_runs
from tui.commands.context import Context
from tui.commands.data_preview import Window
from tui.commands.display import write
from tui.commands.output import fitted, folded, shown, table
from tui.commands.query import ask
from tui.services.safe_text import safe_lines, size_words
from tui.services.words import count_text

SAMPLE = 1_000
_SECONDS = 3600
"""A language model that judges a sample on a CPU says nothing for minutes."""
_LINES = 12
_CHARACTERS = 1_200
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class Wanted:
    """What to try, on how much, and what to show of it."""

    filters: str | None = None
    sample: int | None = None
    rule: str | None = None
    rows: int = 10
    window: Window = field(default_factory=Window)
    """What a path's rows look like."""

    def check(self) -> None:
        """Raise UsageError for what cannot be meant."""
        if self.sample is not None and not 1 <= self.sample <= 100_000:
            raise UsageError(f"--sample {self.sample}", hint="From 1 to 100,000.")
        if not 1 <= self.rows <= _MOST_ROWS:
            raise UsageError(f"--rows {self.rows}", hint=f"From 1 to {_MOST_ROWS:,}.")
        if self.rule == "":
            raise UsageError("--show is empty", hint="Name a rule of the report.")


def filter_report(text: str, wanted: Wanted, context: Context, *, as_json: bool) -> int:
    """Print the report, or with a rule the documents that it dropped; with --json one object, or one a document.

    Raises: UsageError where there is no such run, preset or path; DataError where data or report cannot be used.
    """
    wanted.check()
    run = _run(text, context)
    question, words = (_about_run(run, wanted), "") if run is not None else _about_sample(text, wanted, context)
    most = {"dropped": wanted.rows, "changed": wanted.rows} if wanted.rule is not None else {"dropped": 0, "changed": 0}
    asked = {"verb": "filter_report", **question, "rule": wanted.rule, **most}
    answer = ask(asked, context, seconds=_SECONDS, progress=_telling(context))
    del answer["type"]
    if wanted.rule is not None:
        rows = [(row, _dropped_lines) for row in answer["dropped"]]
        rows += [(row, _changed_lines) for row in answer.get("changed", ())]
        for row, lines_of in rows:
            lines = [json.dumps(row)] if as_json else lines_of(row, context)
            write(context, "".join(f"{line}\n" for line in lines))
    else:
        del answer["dropped"]
        answer.pop("changed", None)
        lines = [json.dumps(answer)] if as_json else list(_lines(answer))
        write(context, "".join(f"{line}\n" for line in lines))
    _tell(answer, words, wanted, context)
    return 0


def _run(text: str, context: Context) -> RunDirectory | None:
    """Return the run that is meant: one that has a report, unless a preset has this name and no run."""
    if os.sep in text:
        run = RunDirectory(Path(text).expanduser().absolute())
        return run if run.config.is_file() else None
    runs = {run.name: run for run in list_runs(context.home)}
    if text in runs:
        is_preset = any(entry.name == text for entry in list_presets(context.home.presets))
        return None if is_preset and not (runs[text].data / REPORT).is_file() else runs[text]
    begun = [run for name, run in runs.items() if text and name.startswith(text)]
    is_else = Path(text).exists() or any(entry.name == text for entry in list_presets(context.home.presets))
    return begun[0] if len(begun) == 1 and not is_else else None


def _about_run(run: RunDirectory, wanted: Wanted) -> dict[str, Any]:
    if wanted.filters is not None or wanted.sample is not None or wanted.window != Window():
        raise UsageError(
            f"{run.name} is a run, which has its filters behind it",
            hint="Leave --filters, --sample, --format and --column out, or name its preset to try others.",
        )
    return {"run": str(run.path)}


def _about_sample(text: str, wanted: Wanted, context: Context) -> tuple[dict[str, Any], str]:
    columns = columns_from(wanted.window.columns)
    subject = find_subject(text, context.home, Path.cwd(), shape=wanted.window.shape, columns=columns)
    data, words = subject.data, ""
    if wanted.filters is not None:
        data = with_filters_of(data, Path(wanted.filters).expanduser())
    elif not data.filters:
        data = data.model_copy(update={"filters": usual_filters(data)})
        whose = "The preset has no filters" if subject.preset else "No filters were named"
        words = f"{whose}: these are the usual ones. --filters FILE tries others."
    seed = {} if subject.seed is None else {"seed": subject.seed}
    return {"data": data.model_dump(mode="json"), "sample": wanted.sample or SAMPLE, **seed}, words


def _telling(context: Context) -> Any:
    said: list[str] = []

    def tell(progress: Mapping[str, Any]) -> None:
        stage = shown(str(progress.get("stage", "")))
        if context.draws and stage not in said:
            said.append(stage)
            context.say(f"{stage} ...")

    return tell


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    rows: list[tuple[str, str, str, str, str, str]] = []
    for one in answer["filters"]:
        counts = one["counts"]
        dropped = sum(counts["dropped"].values())
        limit = f"at most {one['threshold']:.6g}" if one.get("threshold") is not None else ""
        rows.append((one["filter"], f"{counts['input']:,}", f"{dropped:,}", _share(dropped, counts["input"]),
                     f"{counts['kept']:,}", limit))  # fmt: skip
        rows += [(f"  {rule}", "", f"{count:,}", _share(count, counts["input"]), "", "")
                 for rule, count in counts["dropped"].items()]  # fmt: skip
        rows += [(f"  {rule}", "", "", "", "", f"{count:,} changed") for rule, count in counts["changed"].items()]
    gone = answer["documents"] - answer["kept"]
    rows.append(("all", f"{answer['documents']:,}", f"{gone:,}", _share(gone, answer["documents"]),
                 f"{answer['kept']:,}", ""))  # fmt: skip
    yield from table(("filter", "came in", "dropped", "", "kept", ""), rows, right=frozenset({1, 2, 3, 4}))
    if languages := answer.get("languages"):
        total = sum(languages.values())
        shares = [f"{name} {_share(count, total)}" for name, count in list(languages.items())[:8]]
        yield ""
        yield f"languages: {', '.join(shares)}"
    if guess := answer.get("estimate"):
        about = "" if guess["exact"] else "about "
        yield (
            f"what stays of the whole: {about}{count_text(guess['documents'])} documents, about "
            f"{count_text(guess['tokens'])} tokens, {size_words(guess['bytes'])} on disk"
        )
    if sources := answer.get("sources"):
        yield ""
        each = [
            (f"{one['rows']:,}", f"{sum(one['bad'].values()):,}", f"{one['documents']:,}", f"{one['kept']:,}",
             one["format"] or "documents", one["source"])
            for one in sources
        ]  # fmt: skip
        head = ("rows", "bad", "documents", "kept", "format", "source")
        columns = shutil.get_terminal_size().columns
        yield from fitted(table(head, each, right=frozenset({0, 1, 2, 3})), columns - 1)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _dropped_lines(row: dict[str, Any], context: Context) -> list[str]:
    head = shown(f"{row['rule']}  {row['value']}  {row['place']}")
    width = max(20, shutil.get_terminal_size().columns - 3)
    text = row["text"][:_CHARACTERS]
    lines = [line for part in safe_lines(text) for line in folded(part.text, width)]
    is_cut = len(lines) > _LINES or len(text) < row["characters"]
    rest = [f"  ... {row['characters']:,} characters in all"] if is_cut else []
    bold = f"\x1b[1m{head}\x1b[m" if context.colours else head
    return [bold, *(f"  {line}".rstrip() for line in lines[:_LINES]), *rest, ""]


def _changed_lines(row: dict[str, Any], context: Context) -> list[str]:
    head = shown(f"{', '.join(f'{rule} {count:,}' for rule, count in row['counts'].items())}  {row['place']}")
    width = max(20, shutil.get_terminal_size().columns - 5)
    lines = [f"\x1b[1m{head}\x1b[m" if context.colours else head]
    for one in row["lines"]:
        for mark, text in (("-", one["before"]), ("+", one["after"])):
            parts = [line for part in safe_lines(text) for line in folded(part.text, width)]
            lines += [f"  {mark if number == 0 else ' '} {part}".rstrip() for number, part in enumerate(parts)]
    return [*lines, ""]


def _tell(answer: dict[str, Any], words: str, wanted: Wanted, context: Context) -> None:
    for error in answer.get("errors", ())[:5]:
        context.say(f"! {shown(error)}")
    if bad := answer.get("bad_rows"):
        context.say(f"{bad:,} bad row(s).")
    if words:
        context.say(words)
    if answer.get("complete") is False:
        context.say(f"Tried on the first {answer['documents']:,} documents; duplicates of others are not found.")
    if wanted.rule is not None:
        count = sum(one["counts"]["dropped"].get(wanted.rule, 0) for one in answer["filters"])
        if count or not answer.get("changed"):
            context.say(f"{len(answer['dropped']):,} of {count:,} documents that {shown(wanted.rule)} dropped.")
        else:
            changes = sum(one["counts"]["changed"].get(wanted.rule, 0) for one in answer["filters"])
            words = f"{changes:,} times in the sample"
            context.say(
                f"{len(answer['changed']):,} documents in which {shown(wanted.rule)} changed something, {words}."
            )
    elif answer["kept"] < answer["documents"] or any(one["counts"]["changed"] for one in answer["filters"]):
        context.say("See what a rule dropped or changed: --show RULE")
