"""YAML 1.2 text as plain values, with the line and the place in the text of each.

Only what JSON can say is read: mappings with text for keys, lists, text, numbers, true, false and null, by the core
schema of YAML 1.2 (so `3e-4` is a number, `no` and `2024-01-01` are text). Anchors, aliases, tags, directives,
duplicate keys and a second document are refused, each with its line; nothing is ever constructed from a tag.
The events of ruamel.yaml are read one by one without recursion, so that no nesting is too deep to be refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from core.config.yaml_text import FLOAT, Place, Value, resolve_plain, shown, shown_name
from core.errors import ConfigurationError, Problem

MAX_CHARACTERS = 2**20
MAX_DEPTH = 32
MAX_NODES = 20_000  # A list in brackets of 500,000 items takes half a minute to read, 20,000 one second.
MAX_PROBLEMS = 100
MAX_DIGITS = 300  # Python refuses to read integers of more than 4,300 digits, JSON readers far shorter ones.

_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""A character beyond U+FFFF as JSON escapes it, which is YAML too: "\\ud83d\\ude00"."""


@dataclass
class Node:
    """A value where it stands in the text; `line` counts from 1, `start` and `end` are offsets of characters."""

    kind: Literal["scalar", "mapping", "list"]
    line: int
    start: int
    end: int
    in_line: bool
    value: Value = None
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)

    def plain(self) -> Value:
        """Return the value without its places."""
        if self.kind == "mapping":
            return {key: entry.node.plain() for key, entry in self.entries.items()}
        return [item.plain() for item in self.items] if self.kind == "list" else self.value


@dataclass
class Entry:
    """A key of a mapping and its value; `start` and `end` are the offsets of the key."""

    line: int
    start: int
    end: int
    node: Node


def read_node(text: str, file: str = "") -> Node:
    """Return the one document of `text`. ConfigurationError names every line that cannot be read."""
    if len(text) > MAX_CHARACTERS:
        message = f"is too large: {len(text):,} characters, at most {MAX_CHARACTERS:,} are read"
        raise ConfigurationError([Problem("", message, file=file)])
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
            if len(builder.problems) >= MAX_PROBLEMS:
                break
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(str(error.problem or error.context or "cannot be read").split())
        builder.report(f"is not YAML: {words}", line=mark.line + 1 if mark else None)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.report(f"holds the character U+{error.character:04X}, which YAML does not allow", line=line)
    except (YAMLError, ValueError, OverflowError, IndexError) as error:
        # ruamel's scanner lets some errors of Python out, such as that of chr() for "\\U99999999".
        builder.report(f"is not YAML that a preset may be: {' '.join(str(error).split())}", line=builder.line)
    if builder.problems:
        raise ConfigurationError(builder.problems)
    return builder.root or Node("scalar", 1, 0, 0, in_line=True)


def lines_of(root: Node) -> dict[Place, int]:
    """Return the line of each key and list item; the root's line is that of its first key."""
    lines: dict[Place, int] = {(): root.line}
    waiting: list[tuple[Place, Node]] = [((), root)]
    while waiting:
        place, node = waiting.pop()
        for key, entry in node.entries.items():
            lines[*place, key] = entry.line
            waiting.append(((*place, key), entry.node))
        for index, item in enumerate(node.items):
            lines[*place, index] = item.line
            waiting.append(((*place, index), item))
    return lines


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


@dataclass
class _Open:
    node: Node
    key: tuple[str, int, int, int] | None = None  # the key that waits for its value: name, line, start, end


class _Builder:
    """Takes events, one at a time; what cannot be taken becomes a problem and reading goes on."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.line = 1
        self._nodes = 0
        self._open: list[_Open] = []

    def report(self, message: str, *, line: int | None, found: str = "") -> None:
        """Note what is wrong, at a line."""
        self.problems.append(Problem("", message, found=found, file=self.file, line=line))

    def take(self, event: Event) -> None:
        """Take the next event."""
        self.line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            if event.version or event.tags:
                self.report("has a % directive; leave it out", line=self.line)
            if self.root is not None:
                raise YAMLError("there is a second document; a preset is one")
        elif isinstance(event, AliasEvent):
            self.report("uses an alias; write the value out", line=self.line, found=f"*{event.anchor}")
            self._place(Node("scalar", self.line, event.start_mark.index, event.end_mark.index, True))
        elif isinstance(event, NodeEvent):
            self._take_node(event)
        elif isinstance(event, CollectionEndEvent):
            closed = self._open.pop().node
            closed.end = event.end_mark.index if closed.in_line else max(closed.end, closed.start)
            self._extend(closed.end)

    def _take_node(self, event: NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise YAMLError(f"it has more than {MAX_NODES:,} values")
        if event.anchor is not None:
            self.report("has an anchor; leave it out", line=self.line, found=f"&{event.anchor}")
        if isinstance(event, ScalarEvent):
            if event.tag is not None:
                self.report("has a tag; leave it out", line=self.line, found=str(event.tag)[:80])
            self._take_scalar(event)
            return
        assert isinstance(event, MappingStartEvent | SequenceStartEvent)
        if event.tag is not None:
            self.report("has a tag; leave it out", line=self.line, found=str(event.tag)[:80])
        if len(self._open) >= MAX_DEPTH:
            raise YAMLError(f"it is nested more than {MAX_DEPTH} deep")
        kind: Literal["mapping", "list"] = "mapping" if isinstance(event, MappingStartEvent) else "list"
        node = Node(kind, self.line, event.start_mark.index, event.end_mark.index, bool(event.flow_style))
        if self._is_key():
            raise YAMLError("a key is a list or a mapping; it must be a name")
        self._place(node)
        self._open.append(_Open(node))

    def _take_scalar(self, event: ScalarEvent) -> None:
        value: Value = event.value
        if not event.style:
            value = self._resolved(event.value)
        elif event.style == '"':
            value = _HALVES.sub(_joined, event.value)
        if self._is_key():
            self._take_key(value, event)
            return
        end = event.end_mark.index
        self._place(Node("scalar", self.line, event.start_mark.index, end, event.style not in ("|", ">"), value))

    def _resolved(self, text: str) -> Value:
        if sum(map(str.isdigit, text)) > MAX_DIGITS and FLOAT.fullmatch(text):
            self.report(f"has a number of more than {MAX_DIGITS} digits", line=self.line)
            return None
        return resolve_plain(text)

    def _take_key(self, value: Value, event: ScalarEvent) -> None:
        parent = self._open[-1]
        name = value if isinstance(value, str) else event.value
        if not isinstance(value, str):
            message = "has a key that is not text; put it in quotes if it is meant"
            self.report(message, line=self.line, found=shown(name))
        if name in parent.node.entries:
            first = parent.node.entries[name].line
            self.report(f"has the key {shown_name(name)} twice; it stands in line {first} too", line=self.line)
        parent.key = (name, self.line, event.start_mark.index, event.end_mark.index)

    def _is_key(self) -> bool:
        return bool(self._open) and self._open[-1].node.kind == "mapping" and self._open[-1].key is None

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if parent.node.kind == "list":
            parent.node.items.append(node)
        elif parent.key is None:  # an alias in the place of a key, reported already
            parent.key = ("", self.line, node.start, node.end)
        else:
            name, line, start, end = parent.key
            if node.kind == "scalar" and node.start == node.end:  # nothing: its marks are those of the next token
                node.line, node.start, node.end = line, end, end
            parent.node.entries[name] = Entry(line, start, end, node)
            parent.key = None
        self._extend(node.end)

    def _extend(self, end: int) -> None:
        if self._open:
            self._open[-1].node.end = max(self._open[-1].node.end, end)
