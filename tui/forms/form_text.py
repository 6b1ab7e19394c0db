"""A form in lines: one a field, and beside them what the field under the cursor means. Pure."""

from __future__ import annotations

from core.config.fields import Slot
from core.errors import Problem
from tui.forms.form_state import FormState, item_headed_by, shown_value, value_at
from tui.services.safe_text import safe
from tui.services.styled import Line, Span, Tone, line, word

_LABEL = 26


def row_lines(state: FormState, slots: list[Slot]) -> list[Line]:
    """Return a line for each of the rows."""
    return [_row(state, slot) for slot in slots]


def _row(state: FormState, slot: Slot) -> Line:
    depth = max(0, len(slot.path) - (2 if slot.kind == "union" else 1))
    indent = "  " * depth
    if slot.kind == "section":
        return line(word(f" {indent}{slot.title}", "title"))
    problems = state.wrong.get(slot.path, []) or _folded_problems(state, slot)
    mark: Span = word("!", "bad") if problems else word("•", "accent") if state.is_changed(slot) else word(" ")
    label = word(f"{indent}{slot.title}".ljust(_LABEL)[: max(_LABEL, len(indent) + 8)], _label_tone(slot))
    if problems:
        return line(mark, label, word(" "), _value(slot), word(f"  {problems[0].message}", "bad"))
    return line(mark, label, word(" "), _value(slot), *_item_spans(state, slot))


def _item_spans(state: FormState, slot: Slot) -> list[Span]:
    """Return what a row that heads an item of a list says besides: the item's name, and that it is folded."""
    item = item_headed_by(slot)
    if item is None:
        return []
    name = value_at(state.draft.values, (*item, "name"))
    title = value_at(state.draft.values, (*item, "about", "title"))
    spans = [word(f"  {name}", "accent")] if isinstance(name, str) else []
    spans += [word(f"  {title}", "muted")] if isinstance(title, str) else []
    return [*spans, word("  …", "muted")] if item in state.folded else spans


def _folded_problems(state: FormState, slot: Slot) -> list[Problem]:
    """Return what is wrong in the folded item that a row heads."""
    item = item_headed_by(slot)
    if item is None or item not in state.folded:
        return []
    return [problem for place, found in state.wrong.items() if place[: len(item)] == item for problem in found]


def _label_tone(slot: Slot) -> Tone:
    return "title" if slot.kind == "union" else "plain" if slot.is_set or slot.required else "muted"


def _value(slot: Slot) -> Span:
    text = shown_value(slot.value)
    if slot.required and not slot.is_set and slot.value is None:
        return word("(needed)", "warning")
    if slot.kind == "yaml" and isinstance(slot.value, list):
        count = len(slot.value)
        return word(f"{count} item{'' if count == 1 else 's'}", "strong" if slot.is_set else "muted")
    if slot.kind in ("choice", "union", "bool"):
        return word(f"{text} ▾", "strong" if slot.is_set else "muted")
    return word(text, "strong" if slot.is_set else "muted")


def help_lines(state: FormState, slot: Slot) -> list[tuple[str, Tone]]:
    """Return what the field means as paragraphs of (text, tone), to be wrapped by who shows them."""
    parts: list[tuple[str, Tone]] = [(slot.help or "", "plain")]
    for problem in state.wrong.get(slot.path, []):
        parts.append((_problem_words(problem, slot), "bad"))
    if slot.kind == "section":
        return parts
    parts.append((_allowed(slot), "muted"))
    parts.append((_standing(state, slot), "muted"))
    for choice, about in zip(slot.choices, slot.choice_help, strict=True):
        if about and choice == slot.value:
            parts.append((f"{shown_value(choice)}: {about}", "plain"))
    return [part for part in parts if part[0]]


def _allowed(slot: Slot) -> str:
    kinds = {
        "text": "text", "int": "whole number", "float": "number", "bool": "true or false", "choice": "one of",
        "union": "one of", "list": "list, as in [a, b]", "yaml": "list; + adds an item, ⏎ edits all as [{…}, …]",
    }  # fmt: skip
    words = kinds.get(slot.kind, "")
    if slot.kind in ("choice", "union"):
        words += " " + ", ".join(shown_value(choice) for choice in slot.choices)
    if slot.bounds:
        words += f", {slot.bounds}"
    return words + (", may be empty" if slot.optional else "")


def _standing(state: FormState, slot: Slot) -> str:
    default = "required" if slot.required else f"default {shown_value(slot.default)}"
    return f"{slot.name}: {default}" + ("" if slot.is_set or slot.required else ", not set")


def _problem_words(problem: Problem, slot: Slot) -> str:
    place = "" if problem.path == slot.name else f"{problem.path}: "
    found = f" (found {problem.found})" if problem.found else ""
    nearest = f"; did you mean {problem.nearest}?" if problem.nearest else ""
    return f"{place}{problem.message}{found}{nearest}"


def change_lines(state: FormState) -> list[Line]:
    """Return what differs from the preset, a line each."""
    changes = state.changes()
    if not changes:
        return [line(word("nothing changed yet", "muted"))]
    return [
        line(word(path, "plain"), word(f"  {before} ", "muted"), word("→ ", "muted"), (safe(after), "strong"))
        for path, before, after in changes
    ]
