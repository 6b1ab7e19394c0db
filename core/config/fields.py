"""A configuration as the rows of a form: what stands where, what may stand there, and texts to and from values.

`rows` is pure and cheap, and is computed anew after every change of the draft (core/config/drafts.py: `set_value`).
The draft may be invalid; a row shows the value that it holds, whatever that is. What is wrong comes from
core/config/presets.py: `problems`, and `problems_by_slot` says beside which row each of them belongs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from core.config.drafts import UNSET, Draft, Unset, path_text, place_of
from core.config.section import Section
from core.config.shapes import (
    BooleanShape,
    ChoiceShape,
    FieldShape,
    ListShape,
    NumberShape,
    SectionShape,
    Shape,
    TextShape,
    TupleShape,
    UnionShape,
    fields_of,
    section_at,
    shape_of,
)
from core.config.yaml_read import read_node
from core.config.yaml_text import Place, Value, block_text, resolve_plain, scalar_text
from core.errors import ConfigurationError, Problem

SlotKind = Literal["section", "union", "text", "int", "float", "bool", "choice", "list", "yaml", "unknown"]


@dataclass(frozen=True)
class Slot:
    """One row of a form.

    `kind`: section is a heading; union the discriminator of what follows, with `choices` its tags; list a list of
    scalars; yaml a list of sections, which also has rows of its own below; unknown a key that is no field.
    `choices` are Python values, None among them where the field may be empty; `choice_help` goes with them.
    `value` is what the draft holds, or the default where the field is not set. `required` fields have no default.
    """

    path: Place
    title: str
    help: str
    kind: SlotKind
    bounds: str
    choices: tuple[str | int | bool | None, ...]
    choice_help: tuple[str, ...]
    default: Value
    required: bool
    optional: bool
    value: Value
    is_set: bool

    @property
    def name(self) -> str:
        """The path as a user writes it."""
        return path_text(self.path)


def rows(annotation: Any, draft: Draft) -> list[Slot]:
    """Return the rows of a form for a section type or a union (RunConfig: a whole preset), in order."""
    root = FieldShape("", shape_of(annotation), "", True, None)
    return list(_rows((), root, draft.values, True))


def _rows(path: Place, field: FieldShape, value: Value, is_set: bool) -> Iterator[Slot]:
    """Yield the row of a field, if it has one, and those below it."""
    shape = field.shape
    if path or isinstance(shape, UnionShape):
        yield _slot(path, field, value, is_set)
    if isinstance(shape, ListShape) and isinstance(shape.item, UnionShape | SectionShape) and isinstance(value, list):
        for index, item in enumerate(value):
            about = FieldShape(f"{field.name} {index + 1}", shape.item, field.help, True, None)
            yield from _rows((*path, index), about, item, is_set)
    section = section_at(shape, value)
    if section is None or not isinstance(value, dict):
        return
    discriminator = shape.discriminator if isinstance(shape, UnionShape) else None
    fields = fields_of(section)
    for name, inner in fields.items():
        if name != discriminator:
            has = name in value
            yield from _rows((*path, name), inner, value[name] if has else inner.default, is_set and has)
    for name in value:
        if name not in fields:
            words = f"No field of {section.__name__}; take it out."
            yield Slot((*path, name), name, words, "unknown", "", (), (), None, False, False, value[name], True)


def _slot(path: Place, field: FieldShape, value: Value, is_set: bool) -> Slot:
    shape = field.shape
    kind, bounds = _kind_and_bounds(shape)
    choices, choice_help = _choices(shape)
    title = field.name.replace("_", " ")
    default = field.default
    if isinstance(shape, UnionShape):
        path = (*path, shape.discriminator)
        title = title or shape.discriminator
        value, default = _tag(shape, value), _tag(shape, default)
    return Slot(path, title, field.help, kind, bounds, choices, choice_help, default, field.required,
                shape.optional, value, (is_set and value is not None) or (is_set and shape.optional))  # fmt: skip


def _tag(shape: UnionShape, value: Value) -> Value:
    return value.get(shape.discriminator) if isinstance(value, dict) else value


def _kind_and_bounds(shape: Shape) -> tuple[SlotKind, str]:
    match shape:
        case TextShape():
            length = f"{shape.length} characters" if str(shape.length) else ""
            return "text", length or (f"matches {shape.pattern}" if shape.pattern else "")
        case NumberShape():
            return "int" if shape.whole else "float", str(shape.bounds)
        case BooleanShape():
            return "bool", ""
        case ChoiceShape():
            return "choice", ""
        case ListShape():
            has_sections = isinstance(shape.item, UnionShape | SectionShape)
            return "yaml" if has_sections else "list", f"{shape.length} items" if str(shape.length) else ""
        case TupleShape():
            return "list", f"{len(shape.items)} items"
        case SectionShape():
            return "section", ""
        case UnionShape():
            return "union", ""
        case _:
            assert_never(shape)


def _choices(shape: Shape) -> tuple[tuple[str | int | bool | None, ...], tuple[str, ...]]:
    choices: tuple[str | int | bool | None, ...]
    words: tuple[str, ...]
    match shape:
        case BooleanShape():
            choices, words = (True, False), ("", "")
        case ChoiceShape():
            choices, words = shape.choices, ("",) * len(shape.choices)
        case UnionShape():
            choices, words = tuple(shape.members), tuple(_about(member) for member in shape.members.values())
        case _:
            return (), ()
    return ((None, *choices), ("Empty", *words)) if shape.optional else (choices, words)


def _about(section: type[Section]) -> str:
    return " ".join((inspect.getdoc(section) or "").split())


def format_value(value: Value) -> str:
    """Return a value as the text of an editor: text as it is, nothing as "", the rest as YAML 1.2."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return block_text(value).rstrip("\n") if isinstance(value, list | dict) else scalar_text(value)


def parse_value(slot: Slot, text: str) -> Value | Unset:
    """Return the value that a user means by `text` in this row; the reverse of format_value.

    Text that is no value of the row's kind comes back as text, so that the draft holds what was typed and checking it
    says what is wrong. An empty text is null where the field may be empty, and UNSET (the default) elsewhere, other
    than in a row of text. Raises: ConfigurationError where a list is no YAML.
    """
    match slot.kind:
        case "text":
            return None if slot.optional and not text else text
        case "int" | "float" | "bool":
            stripped = text.strip()
            if not stripped:
                return None if slot.optional else UNSET
            value = resolve_plain(stripped) if len(stripped) <= 300 else stripped
            return text if isinstance(value, list | dict) else value
        case "choice" | "union":
            if not text.strip():
                return None if slot.optional else UNSET
            return next((item for item in slot.choices if item is not None and _is_choice(item, text)), text)
        case "list" | "yaml" | "unknown":
            if not text.strip():
                return None if slot.optional else UNSET
            try:
                return read_node(text).plain()
            except ConfigurationError as error:
                wrong = [Problem(slot.name, problem.message, problem.found) for problem in error.problems]
                raise ConfigurationError(wrong) from None
        case "section":
            raise AssertionError("a heading has no value")
        case _:
            assert_never(slot.kind)


def _is_choice(choice: str | int | bool, text: str) -> bool:
    return text.strip() == (choice if isinstance(choice, str) else scalar_text(choice))


def problems_by_slot(slots: Sequence[Slot], problems: Sequence[Problem]) -> Mapping[Place, list[Problem]]:
    """Return the problems by the path of the row beside which they belong; those that have none lie under ()."""
    paths = {slot.path for slot in slots}
    tags = {slot.path[:-1]: slot.path for slot in slots if slot.kind == "union"}
    found: dict[Place, list[Problem]] = {}
    for problem in problems:
        place = place_of(problem.path) if problem.path else ()
        starts = [place[:length] for length in range(len(place), -1, -1)]
        at = next((start if start in paths else tags[start] for start in starts if start in paths or start in tags), ())
        found.setdefault(at, []).append(problem)
    return found


def matches(slot: Slot, words: str) -> bool:
    """Return whether every word of a filter stands in the row's path or help, whatever the case."""
    place = f"{slot.name} {slot.title} {slot.help}".lower()
    return all(word in place for word in re.split(r"\s+", words.lower().strip()))
