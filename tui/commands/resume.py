"""What a resume changes of a run, written down before the run is started again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.config.presets import draft_of, resolve
from core.config.yaml_read import read_node
from core.config.yaml_text import Value
from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.overrides import resolved_config
from core.run.private import write_atomic


def write_overrides(run: RunDirectory, overrides: Sequence[str], *, allow_inexact: bool) -> int | None:
    """Write the next overrides-NNN.yaml of a run and return its number; None where nothing is to be written.

    The newest file says whether a continuation may be inexact, so a plain resume after one that allowed it writes a
    file too. Raises: ConfigurationError with all problems where the changed configuration does not hold; nothing is
    written then.
    """
    before = resolved_config(run)
    resolve(draft_of(before.config), overrides)
    if not overrides and allow_inexact == before.allow_inexact:
        return None
    number = next(number for number in range(1, 1000) if not run.overrides(number).exists())
    changes = {"set": dict(_parsed(text) for text in overrides), "allow_inexact": allow_inexact}
    write_atomic(run.overrides(number), f"{json.dumps(changes, indent=2)}\n".encode(), root=run.path)
    return number


def _parsed(override: str) -> tuple[str, Value]:
    path, sign, value = override.partition("=")
    if not sign:
        raise UsageError(f"--set {override} has no =", hint="Write --set section.field=VALUE.")
    return path, read_node(value or "null").plain()
