"""All that is wrong with a draft, at once, in the words of its fields.

Three sources: values that JSON cannot carry, pydantic's errors, and the rules over several fields. pydantic names a
place by a location that also contains the tags of unions; it is turned into the path that a user writes by walking
the types. A wrong tag hides what is wrong below it, so where a tag has a nearest spelling the draft is checked a
second time as if that had been written.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.config.drafts import Draft, place_of, stage_names
from core.config.expectations import expected, one_of
from core.config.phases import run_config
from core.config.rules import cross_field_problems
from core.config.section import Section
from core.config.shapes import (
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
    inner_value,
    root_shape,
)
from core.config.yaml_read import MAX_DEPTH
from core.config.yaml_text import Place, Value, resolve_plain, shown
from core.errors import Problem

_MAX_MENDED_TAGS = 8


@dataclass(frozen=True)
class _Finding:
    place: Place
    message: str
    missing: bool = False
    nearest: str = ""
    is_tag: bool = False


def find_problems(draft: Draft) -> list[Problem]:
    """Return all that is wrong with a draft, in the order of its lines."""
    values = copy.deepcopy(draft.values)
    found = {finding.place: finding for finding in _make_fit(values)}
    findings, values = _type_findings(values)
    for finding in findings:
        found.setdefault(finding.place, finding)
    problems = [_problem(draft, finding) for finding in found.values()]
    for problem in cross_field_problems(values):
        place = place_of(problem.path)
        problems.append(draft.problem(place, problem.message, found=problem.found, nearest=problem.nearest))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _problem(draft: Draft, finding: _Finding) -> Problem:
    value: Value = draft.values
    for step in finding.place:
        value = inner_value(value, step)
    found = "" if finding.missing or not finding.place else shown(value)
    return draft.problem(finding.place, finding.message, found=found, nearest=finding.nearest)


def _make_fit(values: dict[str, Value]) -> Iterator[_Finding]:
    """Replace what JSON or a file name cannot carry, and yield where that was."""
    waiting: list[tuple[Place, dict[Any, Any] | list[Any]]] = [((), values)]
    while waiting:
        place, container = waiting.pop()
        pairs = list(container.items()) if isinstance(container, dict) else list(enumerate(container))
        for step, value in pairs:
            message = "must have text for a key" if isinstance(container, dict) and not isinstance(step, str) else ""
            message = message or _unfit(value, len(place))
            if message:
                yield _Finding((*place, step if isinstance(step, str | int) else str(step)), message)
                container[step] = None
                if not isinstance(step, str) and isinstance(container, dict):
                    del container[step]
            elif isinstance(value, dict | list):
                waiting.append(((*place, step), value))


def _unfit(value: object, depth: int) -> str:
    if isinstance(value, str):
        if "\0" in value:
            return "must not hold the character U+0000"
        return "must not hold half a surrogate pair" if any("\ud800" <= letter <= "\udfff" for letter in value) else ""
    if isinstance(value, dict | list):
        return f"is nested more than {MAX_DEPTH} deep" if depth >= MAX_DEPTH else ""
    if isinstance(value, int) and value.bit_length() > 1000:
        return "is a number of more than 300 digits"
    return "" if value is None or isinstance(value, bool | int | float) else "is no value that YAML 1.2 has"


def _type_findings(values: dict[str, Value]) -> tuple[list[_Finding], dict[str, Value]]:
    """Return what pydantic finds, and the values with the nearest spelling in the place of each wrong tag."""
    found: list[_Finding] = []
    for _ in range(_MAX_MENDED_TAGS):
        findings = list(_validated(values))
        found += findings
        wrong_tags = [finding for finding in findings if finding.is_tag and finding.nearest]
        if not wrong_tags:
            break
        values = copy.deepcopy(values)
        for finding in wrong_tags:
            within: Any = values
            for step in finding.place[:-1]:
                within = within[step]
            within[finding.place[-1]] = finding.nearest
    return found, values


def _validated(values: dict[str, Value]) -> Iterator[_Finding]:
    try:
        # JSON, because only in JSON does strict mode take an integer for a number and a list for a tuple.
        run_config.validate_json(json.dumps(values))
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            yield _finding(item["type"], item["loc"], values)


def _finding(kind: str, location: Sequence[str | int], values: dict[str, Value]) -> _Finding:
    place, shape, field, parent = _walk(location)
    if kind == "extra_forbidden":
        return _unknown_field(place, parent, values)
    if kind in ("union_tag_invalid", "union_tag_not_found") and isinstance(shape, UnionShape):
        return _wrong_tag(place, shape, values)
    if kind == "missing" and isinstance(parent, TupleShape):
        return _Finding(place[:-1], f"must be {expected(parent)}")
    if shape is None:
        return _Finding(place, "does not hold")
    if kind == "missing":
        summary = f": {field.summary}" if field else ""
        return _Finding(place, f"is missing{summary}; it must be {expected(shape)}", missing=True)
    return _wrong_value(place, shape, values)


def _walk(location: Sequence[str | int]) -> tuple[Place, Shape | None, FieldShape | None, Shape | None]:
    """Return the place, its shape, its field, and the shape that it lies in, for a location of pydantic's."""
    place: Place = ()
    shape: Shape | None = root_shape()
    field: FieldShape | None = None
    parent: Shape | None = None
    for step in location:
        if isinstance(shape, UnionShape) and isinstance(step, str) and step in shape.members:
            shape = SectionShape(shape.members[step])  # a tag, which is no part of the path
            continue
        place, parent = (*place, step), shape
        match shape:
            case SectionShape() if isinstance(step, str):
                field = fields_of(shape.section).get(step)
                shape = field.shape if field else None
            case ListShape():
                shape, field = shape.item, None
            case TupleShape() if isinstance(step, int):
                shape, field = (shape.items[step] if step < len(shape.items) else None), None
            case _:
                shape = field = None
    return place, shape, field, parent


def _unknown_field(place: Place, parent: Shape | None, values: dict[str, Value]) -> _Finding:
    name = str(place[-1])
    if not isinstance(parent, SectionShape):
        return _Finding(place, "is not expected here")
    # At the top of a pipeline --set may mean one of its stages.
    names = [*fields_of(parent.section), *(stage_names(values) if len(place) == 1 else [])]
    nearest = nearest_of(name, names) or _elsewhere(name, values)
    allowed = "" if nearest else f"; allowed here: {', '.join(names)}"
    return _Finding(place, f"is not a field of {_section_words(place[:-1], parent.section, values)}{allowed}",
                    nearest=nearest)  # fmt: skip


def _section_words(place: Place, section: type[Section], values: dict[str, Value]) -> str:
    value: Value = values
    for step in place:
        value = inner_value(value, step)
    for name in ("kind", "phase"):
        if isinstance(value, dict) and name in value and name in fields_of(section):
            return f"{'.'.join(map(str, (*place, name)))} {value[name]}"
    return ".".join(map(str, place)) or "a preset"


def _elsewhere(name: str, values: dict[str, Value]) -> str:
    """Return the one path at which this phase has a field of this very name, or nothing."""
    root = root_shape()
    assert isinstance(root, UnionShape)
    phase = root.members.get(str(values.get(root.discriminator)))
    paths = []
    for section_name, field in fields_of(phase).items() if phase else ():
        match field.shape:
            case SectionShape():
                sections = [field.shape.section]
            case UnionShape():
                section = values.get(section_name)
                tag = section.get(field.shape.discriminator) if isinstance(section, dict) else None
                sections = [field.shape.members[tag]] if isinstance(tag, str) and tag in field.shape.members else []
            case _:
                sections = []
        paths += [f"{section_name}.{name}" for section in sections if name in fields_of(section)]
    return paths[0] if len(paths) == 1 else ""


def _wrong_tag(place: Place, shape: UnionShape, values: dict[str, Value]) -> _Finding:
    value: Value = values
    for step in place:
        value = inner_value(value, step)
    tag = value.get(shape.discriminator) if isinstance(value, dict) else None
    choices = one_of(tuple(shape.members))
    at = (*place, shape.discriminator)
    if tag is None and not (isinstance(value, dict) and shape.discriminator in value):
        return _Finding(at, f"is missing; it must be {choices}", missing=True)
    return _Finding(at, f"must be {choices}", nearest=nearest_of(tag, list(shape.members)), is_tag=True)


def _wrong_value(place: Place, shape: Shape, values: dict[str, Value]) -> _Finding:
    value: Value = values
    for step in place:
        value = inner_value(value, step)
    nearest = ""
    if isinstance(shape, ChoiceShape):
        nearest = nearest_of(value, [choice for choice in shape.choices if isinstance(choice, str)])
    message = f"must be {expected(shape)}"
    if isinstance(shape, NumberShape) and isinstance(value, str) and _is_number(value):
        message += "; write it without quotes"
    if isinstance(shape, TextShape) and isinstance(value, bool | int | float):
        message += "; put it in quotes"
    if isinstance(shape, TextShape) and isinstance(value, str) and len(value) > 60:
        message += f", but has {len(value):,}"
    return _Finding(place, message, nearest=nearest)


def _is_number(text: str) -> bool:
    value = resolve_plain(text)
    return isinstance(value, int | float) and not isinstance(value, bool)


def nearest_of(word: object, words: Sequence[str]) -> str:
    """Return the word that `word` was most likely meant to be, or nothing."""
    if not isinstance(word, str) or len(word) > 100:
        return ""
    lowered = {candidate.lower(): candidate for candidate in words}
    folded = word.strip().lower().replace("-", "_").replace(" ", "_")
    if folded in lowered:
        return lowered[folded]
    close = difflib.get_close_matches(folded, list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else ""
