"""What a run is to do: its configuration, and what each resume changed of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from core.config.phases import PrepareConfig, PretrainConfig, SFTConfig
from core.config.presets import draft_of, parse_config, place_of, read_yaml, resolve, set_value
from core.errors import ConfigurationError, Problem
from core.run.directory import RunDirectory


@dataclass(frozen=True)
class Resolved:
    """The configuration with all overrides applied; allow_inexact is what the newest resume said."""

    config: PrepareConfig | PretrainConfig | SFTConfig
    allow_inexact: bool = False


def resolved_config(run: RunDirectory) -> Resolved:
    """Return config.yaml with overrides-001.yaml and so on applied in order.

    An overrides file is `{set: {section.field: value}, allow_inexact: true}`. Raises: ConfigurationError.
    """
    config = parse_config(run.config.read_text(encoding="utf-8"), str(run.config))
    allow_inexact = False
    for number in count(1):
        path = run.overrides(number)
        if not path.exists():
            return Resolved(config, allow_inexact)
        values = read_yaml(path.read_text(encoding="utf-8"), str(path)).values
        changes, allow = values.get("set", {}), values.get("allow_inexact", False)
        if not isinstance(changes, dict) or not isinstance(allow, bool):
            message = "must be {set: {...}, allow_inexact: true or false}"
            raise ConfigurationError([Problem("", message, file=str(path))])
        draft = draft_of(config)
        # A discriminator comes before the fields of its member.
        for name in sorted(changes, key=lambda name: not name.endswith(("kind", "phase"))):
            draft = set_value(draft, place_of(name), changes[name])
        config = resolve(draft)
        allow_inexact = allow
    raise AssertionError("count has no end")
