"""What a saved preset holds, and how an existing file takes it without losing its comments.

A file is changed where values changed and nowhere else: its other characters stay as they are, comments, blank lines
and the way numbers are written included. Every edit is checked by reading the result back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from core.config.shapes import ListShape, Shape, UnionShape, fields_of, inner_value, root_shape, section_at
from core.config.yaml_read import Entry, Node, read_node
from core.config.yaml_text import Value, block_text, entry_text
from core.errors import ConfigurationError


def compact(values: dict[str, Value], kept: Value = None) -> dict[str, Value]:
    """Return what differs from the defaults, and always the discriminators.

    A field that `kept` (what a file holds already) has stays, also where it equals its default.
    """
    result = compact_at(root_shape(), values, kept)
    assert isinstance(result, dict)
    return result


def compact_at(shape: Shape, value: Value, kept: Value = None) -> Value:
    """Return what differs from the defaults of a value of this shape; see `compact`."""
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [compact_at(shape.item, item, inner_value(kept, index)) for index, item in enumerate(value)]
    section = section_at(shape, value)
    if section is None or not isinstance(value, dict):
        return value
    fields = fields_of(section)
    ordered = [*(name for name in fields if name in value), *(name for name in value if name not in fields)]
    discriminator = shape.discriminator if isinstance(shape, UnionShape) else None
    result: dict[str, Value] = {}
    for name in ordered:
        field = fields.get(name)
        within = inner_value(kept, name)
        is_kept = isinstance(kept, dict) and name in kept
        inner = compact_at(field.shape, value[name], within) if field else value[name]
        is_default = field is not None and not field.required and same(full(field.shape, inner), field.default)
        if name == discriminator or is_kept or not is_default:
            result[name] = inner
    return result


def full(shape: Shape, value: Value) -> Value:
    """Return the value with every default below it filled in, as far as its sections are known."""
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [full(shape.item, item) for item in value]
    section = section_at(shape, value)
    if section is None or not isinstance(value, dict):
        return value
    result: dict[str, Value] = {}
    for name, field in fields_of(section).items():
        if name in value:
            result[name] = full(field.shape, value[name])
        elif not field.required:
            result[name] = field.default
    return {**result, **{name: item for name, item in value.items() if name not in result}}


def same(one: Value, other: Value) -> bool:
    """Return whether two plain values mean the same: 1 and 1.0 do, 1 and true do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other or (one != one and other != other)


def in_order(shape: Shape, value: Value) -> Value:
    """Return the value with the keys of every section in the order of its fields."""
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [in_order(shape.item, item) for item in value]
    section = section_at(shape, value)
    if section is None or not isinstance(value, dict):
        return value
    fields = fields_of(section)
    known = {name: in_order(fields[name].shape, value[name]) for name in fields if name in value}
    return {**known, **{name: item for name, item in value.items() if name not in known}}


def updated_text(text: str, values: dict[str, Value]) -> str:
    """Return the text of a preset with other values in it, its comments kept.

    Where the layout does not allow an edit in place (keys in braces, say), the values are written anew below all
    comments of the old text. Raises: ConfigurationError where `text` is not YAML.
    """
    text = text if not text or text.endswith("\n") else text + "\n"
    root = read_node(text)
    edits = list(_edits(text, root, values)) if root.kind == "mapping" and not root.in_line else []
    edited, done = "", 0
    for edit in sorted(edits, key=lambda edit: edit.start):  # stable: of two insertions the inner comes first
        edited += text[done : edit.start] + edit.text
        done = edit.end
    edited += text[done:]
    if _reads_as(edited, values):
        return edited
    return "".join(f"{comment}\n" for comment in _comments(text)) + block_text(values)


def _reads_as(text: str, values: dict[str, Value]) -> bool:
    try:
        return same(read_node(text).plain(), values)
    except ConfigurationError:
        return False


def _comments(text: str) -> list[str]:
    behind = ["#" + line.split(" #", 1)[1] for line in text.split("\n") if " #" in line.lstrip(" #")]
    return [line.strip() for line in _comment_lines(text)] + behind


def _comment_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.lstrip().startswith("#")]


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def _edits(text: str, node: Node, values: Mapping[str, Value]) -> Iterator[_Edit]:
    """Yield the edits that give a block mapping other values."""
    if not node.entries:
        return
    first = next(iter(node.entries.values()))
    indent = first.start - (text.rfind("\n", 0, first.start) + 1)
    for name, entry in node.entries.items():
        if name not in values:
            begin, end = _line_start(text, entry.start), _line_end(text, _content_end(text, entry))
            yield _Edit(begin, end, "".join(f"{line}\n" for line in _comment_lines(text[begin:end])))
        else:
            yield from _entry_edits(text, name, entry, values[name], indent)
    added = {name: value for name, value in values.items() if name not in node.entries}
    if added:
        last = max(_content_end(text, entry) for entry in node.entries.values())
        at = _line_end(text, last)
        yield _Edit(at, at, block_text(dict(added), indent))


def _entry_edits(text: str, name: str, entry: Entry, value: Value, indent: int) -> Iterator[_Edit]:
    node = entry.node
    if same(node.plain(), value):
        return
    if node.kind == "mapping" and not node.in_line and isinstance(value, dict) and value:
        yield from _edits(text, node, value)
    elif node.kind == "list" and not node.in_line and _is_list_of_sections(value) and len(value) == len(node.items):
        for item, inner in zip(node.items, value, strict=True):
            if not same(item.plain(), inner):
                yield from _edits(text, item, inner)
    elif node.in_line and not isinstance(value, dict) and _is_short(value):
        words = block_text(value).rstrip("\n")
        if node.start == node.end:  # nothing stands there: the value goes behind the colon
            at = text.index(":", entry.end) + 1
            yield _Edit(at, at, " " + words)
        else:
            yield _Edit(node.start, node.end, words)
    else:
        end = _content_end(text, entry)
        above = "".join(f"{line.strip()}\n{' ' * indent}" for line in _comment_lines(text[entry.start : end]))
        yield _Edit(entry.start, end, above + entry_text(name, value, indent).rstrip("\n"))


def _is_list_of_sections(value: Value) -> TypeGuard[list[dict[str, Value]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_short(value: Value) -> bool:
    return "\n" not in block_text(value).rstrip("\n") and not block_text(value).startswith("- ")


def _content_end(text: str, entry: Entry) -> int:
    end = max(entry.node.end, text.index(":", entry.end) + 1)
    while end > entry.end and text[end - 1] in "\r\n ":  # a block of text ends behind its blank lines
        end -= 1
    return end


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def leaves(shape: Shape, value: Value, path: str = "") -> Iterator[tuple[str, Value, Value, bool]]:
    """Yield path, value, default and whether it is required, for every field below that is no section itself."""
    section = section_at(shape, value)
    if section is None or not isinstance(value, dict):
        return
    for name, field in fields_of(section).items():
        inner = value.get(name)
        below = f"{path}.{name}" if path else name
        if section_at(field.shape, inner) is not None:
            yield from leaves(field.shape, inner, below)
        else:
            yield below, inner, field.default, field.required
