"""A draft as rules over several fields read it: it may lack anything and hold anything."""

from __future__ import annotations

from collections.abc import Mapping

from core.config.yaml_text import Value

ROWS = ("instructions", "preferences", "prompts")
"""Kinds of data whose records are rows."""


class Partial:
    """Reads single values of a draft that may lack anything and hold anything."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def at(self, path: str, default: Value = None) -> Value:
        """Return the value at a path, or the default where there is none."""
        within: Value = dict(self._values)
        for name in path.split("."):
            if not isinstance(within, dict) or name not in within:
                return default
            within = within[name]
        return within

    def has(self, path: str) -> bool:
        """Return whether the draft gives this field a value other than null."""
        return self.at(path) is not None

    def whole(self, path: str, default: int | None = None) -> int | None:
        """Return a positive whole number, or None where there is none."""
        value = self.at(path, default)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    def number(self, path: str, default: float) -> float | None:
        """Return a number, or None where there is something else."""
        value = self.at(path, default)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def list_at(self, path: str) -> list[Value]:
        """Return a list, empty where there is none."""
        value = self.at(path)
        return value if isinstance(value, list) else []
