"""A configuration that is being written: plain values that need not be valid, and where each of them comes from."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from core.config.saving import compact_at
from core.config.section import Section
from core.config.shapes import UnionShape, fields_of, section_at, shapes_along
from core.config.yaml_read import read_node
from core.config.yaml_text import Place, Value, shown
from core.errors import ConfigurationError, Problem


class Unset(Enum):
    """The value that takes a field back to its default."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True)
class Draft:
    """Values of a preset, valid or not. Treated as immutable: a change makes another draft.

    `lines` counts from 1. `overrides` holds the text of each `--set` by its place. `parked` holds what a union's
    other members were given before it was switched, so that switching back brings it back.
    """

    values: dict[str, Value]
    lines: Mapping[Place, int] = field(default_factory=dict)
    file: str = ""
    overrides: Mapping[Place, str] = field(default_factory=dict)
    parked: Mapping[tuple[Place, str], dict[str, Value]] = field(default_factory=dict)

    def problem(self, place: Place, message: str, *, found: str = "", nearest: str = "") -> Problem:
        """Return a problem of the value at `place`, with the line or the `--set` that it comes from."""
        path = path_text(place)
        for length in range(len(place), -1, -1):
            if (text := self.overrides.get(place[:length])) is not None:
                return Problem(path, message, found, nearest, file=f"--set {text}")
            if length == len(place) and place not in self.lines and (text := self._override_below(place)):
                return Problem(path, message, found, nearest, file=f"--set {text}")
            if place[:length] in self.lines:
                return Problem(path, message, found, nearest, file=self.file, line=self.lines[place[:length]])
        return Problem(path, message, found, nearest, file=self.file)

    def _override_below(self, place: Place) -> str | None:
        return next((text for at, text in self.overrides.items() if place and at[: len(place)] == place), None)


def path_text(place: Place) -> str:
    """Return a place as a user writes it: names and indices between dots."""
    return ".".join(step if isinstance(step, str) and step.isidentifier() else _odd_step(step) for step in place)


def _odd_step(step: str | int) -> str:
    return str(step) if isinstance(step, int) else shown(step)


def place_of(path: str) -> Place:
    """Return the place of a path that a user wrote; parts of digits are indices."""
    return tuple(int(part) if part.isascii() and part.isdigit() and len(part) < 7 else part for part in path.split("."))


def stage_names(values: Mapping[str, Value]) -> list[str]:
    """Return the names of the stages of a pipeline, in order; none of another preset."""
    stages = values.get("pipeline") if values.get("phase") == "pipeline" else None
    names = [stage.get("name") for stage in stages or [] if isinstance(stage, dict)] if isinstance(stages, list) else []
    return [name for name in names if isinstance(name, str)]


def stage_place(values: Mapping[str, Value], place: Place) -> Place:
    """Return the place in a pipeline whose first step may be the name of a stage; any other place as it is."""
    stages = values.get("pipeline") if values.get("phase") == "pipeline" else None
    for index, stage in enumerate(stages if isinstance(stages, list) else []):
        if isinstance(stage, dict) and stage.get("name") == place[0]:
            return "pipeline", index, *place[1:]
    return place


def set_value(draft: Draft, place: Place, value: Value | Unset) -> Draft:
    """Return the draft with another value at `place`, which may lie in a section that is not there yet.

    UNSET removes the field. Setting a discriminator switches its union: what the old and the new member inherit from
    the same section stays, the rest is parked and comes back with its member; UNSET there removes the whole section,
    and None makes it empty where it may be.
    Raises: ConfigurationError where the way to `place` leads through a value that has no parts.
    """
    *_, (shape, section_values) = shapes_along(place[:-1], draft.values)
    if isinstance(shape, UnionShape) and place[-1] == shape.discriminator:
        if len(place) > 1 and (isinstance(value, Unset) or (value is None and shape.optional)):
            return _with(draft, place[:-1], value)
        if not isinstance(value, str):
            return _with(draft, place, value)
        current = section_values if isinstance(section_values, dict) else {}
        member, parked = _switched(draft, place[:-1], shape, current, value)
        return _with(replace(draft, parked=parked), place[:-1], member)
    return _with(draft, place, value)


def _with(draft: Draft, place: Place, value: Value | Unset) -> Draft:
    values, value = copy.deepcopy(draft.values), copy.deepcopy(value)
    if not place:
        assert isinstance(value, dict)
        values = value
    else:
        _put(draft, values, place, value)
    lines = {at: line for at, line in draft.lines.items() if at[: len(place)] != place or at == place}
    return replace(draft, values=values, lines=lines)


def _put(draft: Draft, values: dict[str, Value], place: Place, value: Value | Unset) -> None:
    within: Value = values
    for index, step in enumerate(place[:-1]):
        if isinstance(within, dict) and isinstance(step, str):
            if within.get(step) is None:
                within[step] = _beginning(place[: index + 1], values)
            within = within[step]
        elif isinstance(within, list) and isinstance(step, int) and step < len(within):
            within = within[step]
        else:
            raise ConfigurationError([_no_way(draft, place, place[:index], within)])
    last = place[-1]
    if isinstance(within, dict) and isinstance(last, str):
        if isinstance(value, Unset):
            within.pop(last, None)
        else:
            within[last] = value
    elif isinstance(within, list) and isinstance(last, int) and last < len(within) + (not isinstance(value, Unset)):
        within[last : last + 1] = [] if isinstance(value, Unset) else [value]
    else:
        raise ConfigurationError([_no_way(draft, place, place[:-1], within)])


def _beginning(place: Place, values: dict[str, Value]) -> Value:
    """Return what a section that is not there yet begins with: its default, of which the discriminator is stated."""
    *_, (shape, within), _ = [*shapes_along(place, values)]
    section = section_at(shape, within) if shape is not None else None
    field = fields_of(section).get(str(place[-1])) if section is not None else None
    if field is None or not isinstance(field.default, dict):
        return {}
    return compact_at(field.shape, copy.deepcopy(field.default))


def _no_way(draft: Draft, place: Place, reached: Place, within: Value) -> Problem:
    message = f"cannot be set: {path_text(reached) or 'the preset'} is {shown(within)}"
    return draft.problem(place, message)


def _switched(
    draft: Draft, place: Place, shape: UnionShape, current: dict[str, Value], tag: str
) -> tuple[dict[str, Value], dict[tuple[Place, str], dict[str, Value]]]:
    parked = dict(draft.parked)
    old_tag = current.get(shape.discriminator)
    if old_tag == tag:
        return current, parked
    if isinstance(old_tag, str):
        parked[place, old_tag] = current
    returning = parked.pop((place, tag), {})
    shared = _shared(section_at(shape, current), shape.members.get(tag))
    kept = {name: value for name, value in current.items() if name in shared} if shared is not None else current
    return copy.deepcopy({**returning, **kept, shape.discriminator: tag}), parked


def _shared(old: type[Section] | None, new: type[Section] | None) -> set[str] | None:
    """Return the fields that both inherit from one section, or None where either is unknown and all is kept."""
    if old is None or new is None:
        return None
    common = [base for base in old.__mro__ if issubclass(base, Section) and issubclass(new, base)]
    return {name for base in common for name in fields_of(base)}


def override(draft: Draft, texts: Sequence[str]) -> tuple[Draft, list[Problem]]:
    """Return the draft with `section.field=VALUE` applied, and what is wrong with those that cannot be applied.

    In a pipeline `stage.section.field=VALUE` reaches the stage of that name. VALUE is YAML 1.2. Discriminators are set
    first, so that the order of the texts does not matter to a switch; what the preset gave to a field that the new
    member lacks goes away with the old member.
    """
    problems: list[Problem] = []
    parsed: list[tuple[str, Place, Value]] = []
    for text in texts:
        path, sign, right = text.partition("=")
        if not sign or not all(path.split(".")):
            problems.append(Problem("", "must read section.field=VALUE", file=f"--set {_short(text)}"))
            continue
        try:
            value = read_node(right or "null").plain()
        except ConfigurationError as error:
            words = "; ".join(problem.message for problem in error.problems)
            problems.append(Problem(path_text(place_of(path)), f"the value {words}", file=f"--set {_short(text)}"))
            continue
        parsed.append((_short(text), stage_place(draft.values, place_of(path)), value))
    for text, place, value in sorted(parsed, key=lambda item: _order(item[1])):
        draft = replace(draft, overrides={**draft.overrides, place: text})
        try:
            draft = set_value(draft, place, value)
        except ConfigurationError as error:
            problems += error.problems
    return draft, problems


def _order(place: Place) -> tuple[bool, int]:
    is_discriminator = place[-1] in ("kind", "phase")
    return not is_discriminator, len(place) if is_discriminator else 0


def _short(text: str) -> str:
    plain = "".join(character if character.isprintable() else "�" for character in text)
    return plain if len(plain) <= 80 else plain[:80] + "…"
