"""A preparation that is being put together: the steps of its draft, and what can be done to them. Pure.

A step is a line of the Data screen: a source, a filter, how rows become tokens. Its fields are the rows that the form
has for that place of the configuration (core/config/fields.py).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.config.data import InstructionData, TextData
from core.config.drafts import Draft, set_value
from core.config.fields import Slot
from core.config.paths import placed
from core.config.phases import PrepareConfig
from core.config.preferences import PreferenceData, Preparable, PromptData
from core.config.presets import resolve
from core.config.shapes import fields_of
from core.config.yaml_text import Place, Value
from tui.forms.form_state import FormState, value_at
from tui.services.data_answers import DataKind
from tui.services.safe_text import safe

StepKind = Literal["source", "add_source", "filter", "add_filter", "tokens", "settings"]
DATA_KINDS: dict[DataKind, type[Preparable]] = {
    "text": TextData, "instructions": InstructionData, "preferences": PreferenceData, "prompts": PromptData,
}  # fmt: skip
_SOURCES: Place = ("data", "sources")
_FILTERS: Place = ("data", "filters")
_TOKENS = (
    "tokenizer", "template", "code_tokens", "fill_in_the_middle", "syntax", "max_tokens", "pack",
    "attend_across_documents",
)  # fmt: skip


_GREATEST_NUDGED = 1e15


@dataclass(frozen=True)
class Step:
    """A line of the pipeline; `index` counts among the sources or filters, `place` is where its fields stand."""

    kind: StepKind
    index: int = 0
    place: Place = ("data",)


def new_form(path: str) -> FormState:
    """Return a preparation of one source of documents, with a tokenizer to be trained and all else at its default."""
    source: Value = {"kind": "path", "path": path}
    values: dict[str, Value] = {
        "phase": "prepare",
        "about": {"title": safe(f"Prepare {Path(path).name}", limit=180).text},
        "data": {"kind": "text", "sources": [source], "tokenizer": {"kind": "train"}, "filters": []},
    }
    draft = Draft(values)
    form = FormState(run_stem(path), draft, draft)
    form.change(draft)
    return form


def run_stem(path: str) -> str:
    """Return the beginning of a run's name for a path: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(path).name.split(".")[0])[:40].strip("-").lower() or "data"


def kind_of(form: FormState) -> DataKind:
    """Return what is prepared: documents, or rows of one of three kinds."""
    found = value_at(form.draft.values, ("data", "kind"))
    return next((kind for kind in DATA_KINDS if kind == found), "text")


def items(form: FormState, place: Place) -> list[Any]:
    """Return the list that stands at a place of the draft, [] where there is none."""
    found = value_at(form.draft.values, place)
    return found if isinstance(found, list) else []


def steps(form: FormState) -> list[Step]:
    """Return the lines of the pipeline from sources to tokens."""
    sources = [Step("source", index, (*_SOURCES, index)) for index in range(len(items(form, _SOURCES)))]
    filters = [Step("filter", index, (*_FILTERS, index)) for index in range(len(items(form, _FILTERS)))]
    return [*sources, Step("add_source"), *filters, Step("add_filter"), Step("tokens"), Step("settings")]


def slots_of(form: FormState, step: Step) -> list[Slot]:
    """Return the rows of the form that belong to a step; of a source those that are set, unless all are asked for."""
    match step.kind:
        case "source" | "filter":
            depth = len(step.place)
            inner = [slot for slot in form.slots if slot.path[:depth] == step.place]
            return [slot for slot in inner if step.kind == "filter" or _is_shown(form, slot)]
        case "tokens" | "settings":
            wanted = step.kind == "tokens"
            return [slot for slot in form.slots if _is_plain(slot) and (slot.path[1] in _TOKENS) == wanted]
        case _:
            return []


def _is_plain(slot: Slot) -> bool:
    """Whether a row stands in data outside its lists of sources and filters."""
    return slot.path[0] == "data" and len(slot.path) > 1 and slot.path[:2] not in (_SOURCES, _FILTERS)


def _is_shown(form: FormState, slot: Slot) -> bool:
    if slot.kind == "section":
        return form.advanced
    return form.advanced or slot.is_set or slot.required or slot.kind == "union" or slot.path in form.wrong


def add(form: FormState, step: Step, item: dict[str, Value]) -> None:
    """Add a source or a filter behind the last one."""
    place = _SOURCES if step.kind in ("source", "add_source") else _FILTERS
    _put(form, place, [*items(form, place), item])


def remove(form: FormState, step: Step) -> None:
    """Take a source or a filter out."""
    place = step.place[:-1]
    _put(form, place, [item for index, item in enumerate(items(form, place)) if index != step.index])


def move(form: FormState, step: Step, by: int) -> int:
    """Put a source or a filter before or behind its neighbour and return where it is now."""
    place = step.place[:-1]
    there, wanted = items(form, place), step.index + by
    if not 0 <= wanted < len(there):
        return step.index
    moved = list(there)
    moved[step.index], moved[wanted] = moved[wanted], moved[step.index]
    _put(form, place, moved)
    return wanted


def take_kind(form: FormState, kind: DataKind) -> None:
    """Prepare documents, or rows of a kind, of the same sources through the same filters."""
    section = DATA_KINDS[kind]
    data = value_at(form.draft.values, ("data",))
    kept = {name: value for name, value in data.items() if name in fields_of(section)} if isinstance(data, dict) else {}
    tokenizer = kept.get("tokenizer")
    if kind == "text" and (not isinstance(tokenizer, dict) or tokenizer.get("kind") == "model"):
        kept["tokenizer"] = {"kind": "train"}
    if kind != "text" and tokenizer == {"kind": "train"}:  # nobody chose it
        kept["tokenizer"] = {"kind": "load", "path": "smollm2"}
    form.change(set_value(form.draft, ("data",), {**kept, "kind": kind}))


def _put(form: FormState, place: Place, value: list[Any]) -> None:
    form.change(set_value(form.draft, place, value))


def question_data(form: FormState, folder: Path) -> dict[str, Any]:
    """Return the data section for a question, with absolute paths.

    Raises: ConfigurationError where the draft does not hold, or names a path that is not there.
    """
    config = placed(resolve(form.draft), folder)
    data: dict[str, Any] = json.loads(config.model_dump_json())["data"]
    return data


def question_training(form: FormState) -> dict[str, Any]:
    """Return what a question about tokens needs besides the data section.

    That is the seed by which documents are cut in three, or answers damaged.
    Raises: ConfigurationError where the draft does not hold.
    """
    config = resolve(form.draft)
    match config:
        case PrepareConfig(data=TextData() as text):
            has_chance = text.fill_in_the_middle.rate > 0
        case PrepareConfig(data=PreferenceData() as pairs):
            has_chance = pairs.damage.rule != "none"
        case _:
            has_chance = False
    return {"seed": config.seed} if has_chance and isinstance(config, PrepareConfig) else {}


def source_key(item: object) -> str:
    """Return what tells a source of the draft from others: all of it but how much is taken."""
    kept = {name: value for name, value in item.items() if name != "share"} if isinstance(item, dict) else item
    return json.dumps(kept, sort_keys=True)


def inspect_topic(key: str) -> str:
    """Return the topic of the question what a source is."""
    return f"inspect {key}"


def placed_source(item: object, folder: Path) -> dict[str, Any] | None:
    """Return a source of the draft with an absolute path, for a question; None where it names nothing yet."""
    if not isinstance(item, dict):
        return None
    path, name = item.get("path"), item.get("name")
    if isinstance(path, str) and path:
        return {**item, "path": str((folder / Path(path).expanduser()).absolute())}
    is_library = item.get("kind") in ("standard_library", "functions")
    return dict(item) if is_library or (isinstance(name, str) and name) else None


def nudged(value: float, by: int) -> float:
    """Return a number one step up or down: a tenth of its power of ten, so 0.12 → 0.13, 250 → 260, 1 → 1.1 or 2.

    What is not finite, or beyond 1e15, stays as it is.
    """
    if not -_GREATEST_NUDGED < value < _GREATEST_NUDGED:  # nor NaN
        return value
    size = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.1
    if isinstance(value, int):
        return value + by * max(1, round(size))
    return round(value + by * size, 12)
