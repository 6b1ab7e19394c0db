"""What a value must be, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from core.config.shapes import (
    BooleanShape,
    Bounds,
    ChoiceShape,
    ListShape,
    NumberShape,
    SectionShape,
    Shape,
    TextShape,
    TupleShape,
    UnionShape,
    fields_of,
)
from core.config.yaml_text import scalar_text


def expected(shape: Shape) -> str:
    """Return what a value of this shape must be, to be put behind "must be"."""
    return _expected(shape) + (" or empty (null)" if shape.optional else "")


def _expected(shape: Shape) -> str:
    match shape:
        case TextShape():
            length = f" of {shape.length} characters" if str(shape.length) else ""
            return f"text{length}" + (f" that matches {shape.pattern}" if shape.pattern else "")
        case NumberShape():
            return f"a {'whole ' if shape.whole else ''}number{_behind(shape.bounds)}"
        case BooleanShape():
            return "true or false, without quotes"
        case ChoiceShape():
            return one_of(shape.choices)
        case ListShape():
            return f"a list of {shape.length} items" if str(shape.length) else "a list"
        case TupleShape():
            return f"a list of {len(shape.items)} items"
        case SectionShape():
            return f"a section with the fields {', '.join(fields_of(shape.section))}"
        case UnionShape():
            return f"a section with {shape.discriminator}: {one_of(tuple(shape.members))}"
        case _:
            assert_never(shape)


def _behind(bounds: Bounds) -> str:
    text = str(bounds)
    return (f" from {text}" if text[:1].isdigit() or text[:1] == "-" else f", {text}") if text else ""


def one_of(choices: Sequence[str | int | bool]) -> str:
    """Return the choices in words."""
    words = [choice if isinstance(choice, str) else scalar_text(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
