"""How the console looks on a terminal: colours and characters, from its environment. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Charset = Literal["braille", "ascii"]
THEMES = ("textual-dark", "textual-light", "ansi-dark", "ansi-light", "nord", "gruvbox")


@dataclass(frozen=True)
class TerminalLook:
    """Theme, whether there is colour at all, and which characters draw charts."""

    theme: str
    has_color: bool
    charset: Charset


def look_of(environment: Mapping[str, str]) -> TerminalLook:
    """Return the look for a terminal: 16 colours and NO_COLOR get the terminal's own colours."""
    has_color = not environment.get("NO_COLOR")
    many_colors = bool(environment.get("COLORTERM")) or "256color" in environment.get("TERM", "256color")
    theme = "textual-dark" if has_color and many_colors else "ansi-dark"
    return TerminalLook(theme, has_color, "braille" if _has_braille(environment) else "ascii")


def _has_braille(environment: Mapping[str, str]) -> bool:
    """Whether the locale and the terminal are likely to show braille; the Linux console's font has none."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    is_unicode = "utf" in locale.lower() or (not locale and sys.getfilesystemencoding() == "utf-8")
    return is_unicode and environment.get("TERM", "") != "linux"
