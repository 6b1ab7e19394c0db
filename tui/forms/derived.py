"""What follows from a draft, in numbers: accumulation, tokens a step and in all. Pure; a draft may lack anything."""

from __future__ import annotations

from typing import Any

from core.config.yaml_text import Value
from tui.services.safe_text import safe
from tui.services.styled import Line, line, word
from tui.services.words import count_text


def derived_lines(values: dict[str, Value]) -> list[Line]:
    """Return the lines that can be computed from what the draft holds."""
    batch, schedule = _section(values, "batch"), _section(values, "schedule")
    size, micro, length = (_whole(batch.get(name)) for name in ("size", "micro_size", "sequence_length"))
    lines = []
    if size and micro:
        if size % micro == 0:
            words = f"{size // micro} micro-batch{'es' if size > micro else ''} of {micro} on one device"
            lines.append(_pair("accumulation", words))
        else:
            lines.append(line(word("accumulation   "), word(f"{size} is no multiple of {micro}", "bad")))
    rollout = _section(values, "rollout")
    if rollout and size:
        lines += _rollout_lines(values, rollout, size)
    elif size and length:
        lines.append(_pair("tokens a step", f"up to {count_text(size * length)}"))
        if steps := _whole(schedule.get("steps")):
            lines.append(_pair("tokens in all", f"up to {count_text(size * length * steps)}"))
    if epochs := schedule.get("epochs"):
        lines.append(_pair("passes", f"{epochs} over the training data"))
    if (warmup := _whole(schedule.get("warmup_steps"))) and (steps := _whole(schedule.get("steps"))):
        lines.append(_pair("warm-up", f"{warmup / steps:.1%} of the steps"))
    return lines


def _rollout_lines(values: dict[str, Value], rollout: dict[str, Any], size: int) -> list[Line]:
    """Return how many steps a rollout gives, and how many responses the whole run writes."""
    others = [part for name, part in values.items() if isinstance(part, dict) and name != "schedule"]
    method = next((part for part in others if "epochs" in part), {})
    responses, epochs = _whole(rollout.get("responses")), _whole(method.get("epochs"))
    if responses is None or epochs is None or responses % size:
        return []
    group = _whole(method.get("group"))
    prompts = f" to {responses // group} prompts" if group and responses % group == 0 else ""
    updates = responses // size * epochs
    lines = [
        _pair("a rollout", f"{responses:,} responses{prompts}, then {updates:,} step{'' if updates == 1 else 's'}")
    ]
    if steps := _whole(_section(values, "schedule").get("steps")):
        rollouts = -(-steps // updates)
        lines.append(_pair("in all", f"{rollouts:,} rollouts, {count_text(rollouts * responses)} responses"))
    return lines


def _pair(name: str, words: str) -> Line:
    return line(word(f"{name:<15}", "muted"), (safe(words), "plain"))


def _section(values: dict[str, Value], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
