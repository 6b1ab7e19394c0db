"""The menu of presets in lines. Pure."""

from __future__ import annotations

from core.config.presets import PresetEntry
from tui.services.safe_text import safe
from tui.services.styled import Line, line, word

_ABOUT = (("", "title"), ("machine", "hardware"), ("time", "time"), ("memory", "memory"))


def preset_lines(entries: list[PresetEntry]) -> list[Line]:
    """Return a line for each preset."""
    width = min(34, max((len(entry.name) for entry in entries), default=0)) + 2
    return [_preset(entry, width) for entry in entries]


def _preset(entry: PresetEntry, width: int) -> Line:
    name = safe(entry.name, limit=width - 2).text.ljust(width)
    if entry.error:
        return line(word("!", "bad"), word(name), word("cannot be run: ", "bad"), word(_first(entry.error), "bad"))
    own = "" if entry.is_shipped else "yours  "
    title = word(entry.about.get("title", ""))
    return line(word(" "), word(name, "strong"), word(entry.phase.ljust(10), "accent"), word(own, "good"), title)


def preset_detail(entry: PresetEntry) -> list[tuple[str, str]]:
    """Return what the menu says about one preset: (heading, words)."""
    if entry.error:
        return [("", entry.error), ("file", str(entry.path))]
    named = [(heading, entry.about.get(key, "")) for heading, key in _ABOUT]
    pairs = [*named, ("file", str(entry.path))]
    return [(heading, words) for heading, words in pairs if words]


def _first(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else ""
