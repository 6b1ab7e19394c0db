"""What a model wrote, in lines: its step, what was found about it, the prompt, and the text, token by token if known.

Pure. Every line of the model's text is marked as such. How strongly a token is marked is said by colour and by
underlining, so that it can be told without colours too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from core.run.events import Sampled
from tui.services.safe_text import safe, safe_lines
from tui.services.styled import Line, Span, Tone, cell_count, line, word, wrapped
from tui.services.words import value_text

SAMPLE_WIDTH = 74
"""Both the narrow screen and half of the wide one have that much."""
_TEXT_LINES = 40
_PROMPT_LINES = 8
_LEVELS: tuple[tuple[float, Tone], ...] = ((2.0, "mark3"), (0.5, "mark2"), (0.1, "mark1"))
"""From how many nats on a token is marked: e^0.1 is 1.1 times the probability, e^2 is 7.4 times."""


def sample_lines(event: Sampled) -> list[Line]:
    """Return a sample as lines."""
    head = line(word(f"step {event.step:,}", "accent"), word("  "), *_found(event))
    body = _token_lines(event) if event.tokens else _text_lines(event.text)
    return [head, *_prompt_lines(event), *[line(word("│ ", "muted"), *one.left) for one in body], *_legend(event)]


def _found(event: Sampled) -> Iterator[Span]:
    """Yield what was found about the text; without that there is room for the prompt."""
    if not event.values:
        yield (safe(event.prompt, limit=200), "muted")
    for name, value in event.values.items():
        yield word(f"{name} ", "muted")
        yield word(f"{value_text(value)}  ", "strong" if math.isfinite(value) else "bad")


def _prompt_lines(event: Sampled) -> list[Line]:
    if not event.values:
        return []
    lines = [
        line(word("> ", "muted"), (part.left[0][0], "muted"))
        for text in safe_lines(event.prompt.strip("\n"), lines=_TEXT_LINES)
        for part in wrapped(text, SAMPLE_WIDTH)
    ]
    if len(lines) <= _PROMPT_LINES:
        return lines
    first, last = _PROMPT_LINES // 2, _PROMPT_LINES // 2 - 1
    left_out = line(word(f"> … {len(lines) - first - last} more lines of the prompt", "muted"))
    return [*lines[:first], left_out, *lines[-last:]]


def _text_lines(text: str) -> list[Line]:
    return [one for part in safe_lines(text, lines=_TEXT_LINES) for one in wrapped(part, SAMPLE_WIDTH)]


def _token_lines(event: Sampled) -> list[Line]:
    """Return the tokens as lines that break between tokens, at most as many as a text has."""
    lines: list[Line] = []
    spans: list[Span] = []
    used = 0
    marks = [*event.marks, *[0.0] * len(event.tokens)]
    for index, (token, mark) in enumerate(zip(event.tokens, marks, strict=False)):
        for number, part in enumerate(safe_lines(token, limit=SAMPLE_WIDTH)):
            width = cell_count(part.text)
            if number or (used and used + width > SAMPLE_WIDTH):
                lines.append(Line(tuple(spans)))
                spans, used = [], 0
            if part:
                spans.append((part, _tone(mark)))
                used += width
        if len(lines) >= _TEXT_LINES:
            left = len(event.tokens) - index - 1
            return [*lines[:_TEXT_LINES], *([line(word(f"… {left:,} more tokens", "muted"))] if left else [])]
    return [*lines, Line(tuple(spans))]


def _tone(mark: float) -> Tone:
    if not math.isfinite(mark):
        return "mark3"
    return next((tone for least, tone in _LEVELS if abs(mark) >= least), "plain")


def _legend(event: Sampled) -> list[Line]:
    """Return what the marks mean, in the looks that they have."""
    if not event.tokens or not event.marks:
        return []
    spans: list[Span] = [word(f"  {event.mark_title or 'marked'}: ", "muted")]
    for least, tone in reversed(_LEVELS):
        spans += [word(f"{least:g} and more" if tone == "mark3" else f"from {least:g}", tone), word("  ")]
    return [Line(tuple(spans))]
