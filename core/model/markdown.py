"""Text from data, names and paths made safe to stand in Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~>$@]|^[-+=]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""What begins markup anywhere, what does at the beginning of a line, and what makes a link of an address."""
_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_BARS = "▁▂▃▄▅▆▇█"


def escaped(text: str) -> str:
    """Return text as one line that Markdown shows as it is: no markup, no HTML, no link, no control character."""
    visible = "".join(" " if character.isspace() else character for character in text).strip()
    visible = "".join(character for character in visible if unicodedata.category(character) not in ("Cc", "Cf", "Cs"))
    visible = visible.replace("&", "&amp;").replace("<", "&lt;")
    return _NUMBER.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", visible))


def fenced(text: str, language: str) -> str:
    """Return text as a block of code, in a fence that the text cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    clean = "".join(
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )
    return f"{fence}{language}\n{clean.rstrip()}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are escaped."""
    lines = [head, ["---"] * len(head)]
    text = ["| " + " | ".join(cells) + " |" for cells in lines]
    text += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join(text)


def sparkline(values: Sequence[float]) -> str:
    """Return a curve as a line of bars between its least and its largest value; × for what is not finite."""
    finite = [value for value in values if abs(value) < float("inf")]
    if not finite:
        return "×" * len(values)
    least, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(
        _BARS[round((value - least) / span * (len(_BARS) - 1))] if abs(value) < float("inf") else "×"
        for value in values
    )
