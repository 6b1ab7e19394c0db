"""What a field may hold, read from the pydantic models: the one place that walks their types.

Error texts, forms, saved presets and `--set` all need to know what stands at a path: which union, which bounds, which
default. Each walks these shapes together with the values, so that no name of a tag is ever guessed from a text.
A discriminated union is told apart by its discriminator; a plain union of scalars has no shape and is refused here.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, assert_never, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from core.config.phases import RunConfig
from core.config.section import Section
from core.config.yaml_text import Place, Value


@dataclass(frozen=True)
class Bounds:
    """Limits of a number, or of a length; None where there is none."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{_figure(self.least)} to {_figure(self.most)}"
        words = [
            (self.least, "at least"), (self.above, "above"), (self.most, "at most"), (self.below, "below"),
        ]  # fmt: skip
        return " and ".join(f"{word} {_figure(limit)}" for limit, word in words if limit is not None)


@dataclass(frozen=True)
class TextShape:
    """Text of a bounded length; with a `pattern`, a regular expression that it must match."""

    length: Bounds = Bounds()
    optional: bool = False
    pattern: str = ""


@dataclass(frozen=True)
class NumberShape:
    """A number, whole or not."""

    whole: bool
    bounds: Bounds = Bounds()
    optional: bool = False


@dataclass(frozen=True)
class BooleanShape:
    """True or false."""

    optional: bool = False


@dataclass(frozen=True)
class ChoiceShape:
    """One of a few values."""

    choices: tuple[str | int | bool, ...]
    optional: bool = False


@dataclass(frozen=True)
class ListShape:
    """A list of any length within bounds, all of one shape."""

    item: Shape
    length: Bounds = Bounds()
    optional: bool = False


@dataclass(frozen=True)
class TupleShape:
    """A list with one shape for each place."""

    items: tuple[Shape, ...]
    optional: bool = False


@dataclass(frozen=True)
class SectionShape:
    """A mapping with the fields of one section."""

    section: type[Section]
    optional: bool = False


@dataclass(frozen=True)
class UnionShape:
    """A mapping with the fields of the section that its discriminator names."""

    discriminator: str
    members: Mapping[str, type[Section]]
    optional: bool = False


Shape = TextShape | NumberShape | BooleanShape | ChoiceShape | ListShape | TupleShape | SectionShape | UnionShape


@dataclass(frozen=True)
class FieldShape:
    """A field of a section; `default` is a plain value and only means something where it is not `required`."""

    name: str
    shape: Shape
    help: str
    required: bool
    default: Value

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        return re.split(r"(?<=[.:;])\s", self.help, maxsplit=1)[0].rstrip(".:;")


def shape_of(annotation: Any, metadata: Sequence[object] = (), discriminator: str | None = None) -> Shape:
    """Return the shape of an annotation. TypeError where it is none that a configuration may have."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        infos = [item for item in extra if isinstance(item, FieldInfo)]
        tags = [info.discriminator for info in infos if isinstance(info.discriminator, str)]
        constraints = [constraint for info in infos for constraint in info.metadata]
        plain = [item for item in extra if not isinstance(item, FieldInfo)]
        return shape_of(inner, [*metadata, *constraints, *plain], tags[0] if tags else discriminator)
    if get_origin(annotation) in (Union, types.UnionType):
        return _union_shape(get_args(annotation), metadata, discriminator)
    if get_origin(annotation) is Literal:
        return ChoiceShape(get_args(annotation))
    if get_origin(annotation) is list:
        return ListShape(shape_of(get_args(annotation)[0]), _length(metadata))
    if get_origin(annotation) is tuple:
        return TupleShape(tuple(shape_of(item) for item in get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return SectionShape(annotation)
    scalars: dict[Any, Shape] = {
        str: TextShape(_length(metadata), pattern=_pattern(metadata)),
        bool: BooleanShape(),
        int: NumberShape(True, _bounds(metadata)),
        float: NumberShape(False, _bounds(metadata)),
    }
    if annotation not in scalars:
        raise TypeError(f"a configuration cannot hold {annotation}")
    return scalars[annotation]


def _union_shape(members: Sequence[Any], metadata: Sequence[object], discriminator: str | None) -> Shape:
    present = [member for member in members if member is not type(None)]
    optional = len(present) < len(members)
    if len(present) == 1:
        return replace(shape_of(present[0], metadata, discriminator), optional=optional)
    if discriminator is None:
        raise TypeError(f"a configuration cannot hold a union without a discriminator: {members}")
    tags: dict[str, type[Section]] = {}
    for member in present:
        for tag in get_args(member.model_fields[discriminator].annotation):
            tags[tag] = member
    return UnionShape(discriminator, types.MappingProxyType(tags), optional)


def _bounds(metadata: Sequence[Any]) -> Bounds:
    bounds = Bounds()
    for item in metadata:
        match item:
            case annotated_types.Ge():
                bounds = replace(bounds, least=_limit(item.ge))
            case annotated_types.Gt():
                bounds = replace(bounds, above=_limit(item.gt))
            case annotated_types.Le():
                bounds = replace(bounds, most=_limit(item.le))
            case annotated_types.Lt():
                bounds = replace(bounds, below=_limit(item.lt))
    return bounds


def _length(metadata: Sequence[Any]) -> Bounds:
    bounds = Bounds()
    for item in metadata:
        match item:
            case annotated_types.MinLen():
                bounds = replace(bounds, least=item.min_length)
            case annotated_types.MaxLen():
                bounds = replace(bounds, most=item.max_length)
    return bounds


def _pattern(metadata: Sequence[object]) -> str:
    # pydantic has no class of its own for it that could be matched.
    found = (getattr(item, "pattern", None) for item in metadata)
    return next((pattern for pattern in found if isinstance(pattern, str)), "")


def _limit(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def _figure(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


@lru_cache(maxsize=1)
def root_shape() -> Shape:
    """Return the shape of a whole configuration: the union of the phases."""
    return shape_of(RunConfig)


@lru_cache(maxsize=256)
def fields_of(section: type[Section]) -> Mapping[str, FieldShape]:
    """Return the fields of a section in the order of forms and saved presets.

    The discriminator comes first, then a name, then what has no default, then the section's own fields, then those that
    it shares.
    """
    inherited = {name for base in section.__mro__[1:] if issubclass(base, Section) for name in base.model_fields}
    fields = [_field(name, info) for name, info in section.model_fields.items()]
    order = {name: index for index, name in enumerate(("phase", "kind", "name", "about", "model", "data"))}

    def place(field: FieldShape) -> tuple[int, bool, bool]:
        return order.get(field.name, len(order)), not field.required, field.name in inherited

    return types.MappingProxyType({field.name: field for field in sorted(fields, key=place)})


def _field(name: str, info: FieldInfo) -> FieldShape:
    tag = info.discriminator if isinstance(info.discriminator, str) else None
    shape = shape_of(info.annotation, info.metadata, tag)
    default: Value = None if info.is_required() else to_jsonable_python(info.get_default(call_default_factory=True))
    return FieldShape(name, shape, " ".join((info.description or "").split()), info.is_required(), default)


def section_at(shape: Shape, value: Value | None) -> type[Section] | None:
    """Return the section that a value at `shape` has, by its discriminator, or None where it is none or unknown."""
    match shape:
        case SectionShape():
            return shape.section
        case UnionShape():
            tag = value.get(shape.discriminator) if isinstance(value, dict) else None
            return shape.members.get(tag) if isinstance(tag, str) else None
        case TextShape() | NumberShape() | BooleanShape() | ChoiceShape() | ListShape() | TupleShape():
            return None
        case _:
            assert_never(shape)


def shapes_along(place: Place, values: Value) -> Iterator[tuple[Shape | None, Value]]:
    """Yield the shape and the value at the root and after each step of `place`; None where nothing is known there."""
    shape: Shape | None = root_shape()
    value: Value = values
    yield shape, value
    for step in place:
        shape = None if shape is None else _inner(shape, value, step)
        value = inner_value(value, step)
        yield shape, value


def _inner(shape: Shape, value: Value, step: str | int) -> Shape | None:
    if isinstance(step, int):
        if isinstance(shape, ListShape):
            return shape.item
        return shape.items[step] if isinstance(shape, TupleShape) and 0 <= step < len(shape.items) else None
    section = section_at(shape, value)
    if section is not None:
        field = fields_of(section).get(step)
        return field.shape if field else None
    if isinstance(shape, UnionShape) and step == shape.discriminator:
        return ChoiceShape(tuple(shape.members))
    return None


def inner_value(value: Value, step: str | int) -> Value:
    """Return what stands at a key or an index, or None where there is no such thing."""
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return None
