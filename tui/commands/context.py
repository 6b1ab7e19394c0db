"""What a command may touch: home, environment, and the three streams."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from core.run.directory import Home


@dataclass(frozen=True)
class Context:
    """The surroundings of one command.

    `output` carries data, `words` what is said about it; nothing prompts where `input_is_terminal` is False.
    """

    home: Home
    environment: Mapping[str, str]
    output: TextIO
    words: TextIO
    input_is_terminal: bool

    def say(self, text: str) -> None:
        """Write words for a person, who may have closed the place where they would stand."""
        try:
            print(text, file=self.words, flush=True)
        except (OSError, ValueError):
            return

    @property
    def draws(self) -> bool:
        """Whether the output is a terminal on which lines can be drawn again."""
        return self.output.isatty() and self.environment.get("TERM", "") not in ("", "dumb")

    @property
    def colours(self) -> bool:
        """Whether to colour what is drawn (https://no-color.org)."""
        return self.draws and not self.environment.get("NO_COLOR")

    @property
    def unicode(self) -> bool:
        """Whether the locale promises that bars and marks outside ASCII can be shown."""
        named = (self.environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
        return "utf" in next(filter(None, named), "").lower()


def speak_utf8() -> None:
    """Let the standard streams carry any text: what their code set lacks is written as an escape, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test may have put a plain buffer in its place
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
