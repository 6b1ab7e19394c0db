"""A row of the sample in lines: its text, or its tokens with what the loss counts. Pure.

Tokens stand in runs: a run begins in a new line with its mark, █ where the loss counts it and ░ where it does not, so
that colour only repeats what the mark says. Within a line a thin bar parts the tokens; a special token stands between
angle brackets. Where source code is marked, a letter behind a token says its class, and a legend how many tokens of
each the loss counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.cells import cell_len

from tui.services.data_answers import PreviewRow, TokenRow, TokenShown
from tui.services.data_detail import refused_lines
from tui.services.data_state import DataState
from tui.services.safe_text import SafeText, safe, safe_lines
from tui.services.styled import Line, Span, Tone, line, word, wrapped
from tui.services.syntax_classes import legend, letter_mark
from tui.services.words import count_text

COUNTED, MASKED, PART = "█ ", "░ ", "▏"
NEWLINE = "↵"  # more fonts have it than the picture of a line feed
_MOST_TOKENS = 20_000
_TOKEN = 200
_UNCOUNTED = frozenset({"prompt", "answer"})
"""Of these no loss counts anything: the policy writes what is counted."""


def sample_lines(state: DataState, width: int) -> list[Line]:
    """Return the row that is looked at, in lines of at most `width` cells."""
    if state.form is None:
        return []
    if state.view != "text":
        if (refusal := state.refusals.get("tokens")) is not None:
            return refused_lines(refusal, width)
        found = state.tokens.get(state.row)
        if found is None:
            return [line(word("turning it into tokens …" if "tokens" in state.waiting else "no tokens", "muted"))]
        if state.view == "template":
            return template_lines(found, width)
        return token_lines(found, width, only_counted=state.only_counted)
    if (refusal := state.refusals.get("preview")) is not None:
        return refused_lines(refusal, width)
    if not 0 <= state.row < len(state.preview):
        return [line(word("reading rows …" if "preview" in state.waiting else "There are no rows.", "muted"))]
    return text_lines(state.preview[state.row], width)


def text_lines(row: PreviewRow, width: int) -> list[Line]:
    """Return the parts of a row, each with its name before it."""
    lines: list[Line] = []
    for name, text in row.parts:
        if name:
            lines.append(line((safe(name, limit=60), "accent")))
        for part in safe_lines(text):
            lines += [line(word("│ ", "muted"), *one.left) for one in wrapped(part, max(1, width - 2))]
    return lines


def template_lines(row: TokenRow, width: int) -> list[Line]:
    """Return the text that the template makes of a row, special tokens and all."""
    lines: list[Line] = []
    for one in (row, *row.further):
        lines += _side_line(one)
        lines += [line(word(f"! {fault}", "bad")) for fault in one.faults]
        for part in safe_lines(one.rendered):
            lines += [line(word("│ ", "muted"), *piece.left) for piece in wrapped(part, max(1, width - 2))]
    return lines


def token_lines(row: TokenRow, width: int, *, only_counted: bool = False) -> list[Line]:
    """Return every token with its text in lines of at most `width` cells, or only those that the loss counts."""
    lines = _side_line(row)
    lines += [piece for fault in row.faults for piece in wrapped(safe(f"! {fault}"), width, "bad")]
    if classes := legend((token.syntax, None, token.is_counted) for token in row.tokens):
        lines += wrapped(safe("; ".join(classes)), width, "muted")
    for is_counted, run in groupby(row.tokens[:_MOST_TOKENS], key=lambda token: token.is_counted):
        if is_counted or not only_counted:
            lines += _run_lines(list(run), width, is_counted=is_counted)
    if len(row.tokens) > _MOST_TOKENS:
        lines.append(line(word(f"… {count_text(len(row.tokens))} tokens in all", "muted")))
    if row.left_out:
        words = f"! {count_text(row.left_out)} tokens are cut off to keep to max_tokens"
        lines += wrapped(safe(words), width, "warning")
    if not row.counted and row.tokens and row.side not in _UNCOUNTED:
        lines += wrapped(safe("! The loss counts nothing of this row."), width, "bad")
    for number, further in enumerate(row.further, 2):
        if not further.side:
            lines.append(line(word(f"example {number} of {len(row.further) + 1} of this row", "title")))
        lines += token_lines(further, width, only_counted=only_counted)
    return lines


def _side_line(row: TokenRow) -> list[Line]:
    """Return what the tokens of a pair, a judged answer or a prompt are of."""
    if not row.side:
        return []
    size = f"  {count_text(len(row.tokens))} tokens" + (f", {count_text(row.counted)} counted" if row.counted else "")
    tone: Tone = "warning" if row.side in ("rejected", "bad") else "good" if row.side in ("chosen", "good") else "title"
    return [line(word(row.side, tone), word(size, "muted"))]


def _run_lines(run: list[TokenShown], width: int, *, is_counted: bool) -> Iterator[Line]:
    mark = word(COUNTED, "good") if is_counted else word(MASKED, "muted")
    spans: list[Span] = [mark]
    used = len(COUNTED)
    for token in run:
        for piece in _pieces(token, max(4, width - len(COUNTED) - 1)):
            size = cell_len(piece.text) + 1
            if used + size > width and len(spans) > 1:
                yield Line(tuple(spans))
                spans, used = [mark], len(COUNTED)
            spans += [(piece, _tone(token)), word(PART, "muted")]
            used += size
        if token.text.endswith("\n"):  # the text goes on in a new line, so do its tokens
            yield Line(tuple(spans))
            spans, used = [mark], len(COUNTED)
    if len(spans) > 1:
        yield Line(tuple(spans))


def _tone(token: TokenShown) -> Tone:
    return "accent" if token.is_special else "good" if token.is_counted else "muted"


def _pieces(token: TokenShown, width: int) -> Iterator[SafeText]:
    """Yield the text of a token in parts that fit a line; a special token in brackets, an empty one by its number."""
    text = safe(token.text.replace("\n", NEWLINE), limit=_TOKEN).text
    if token.is_special:
        text = f"⟨{text}⟩"
    elif not text:
        text = f"⟨{token.id}⟩"
    text += letter_mark(token.syntax)
    start = 0
    while start < len(text):
        end = start + 1
        used = cell_len(text[start])
        while end < len(text) and used + cell_len(text[end]) <= width:
            used += cell_len(text[end])
            end += 1
        yield safe(text[start:end])
        start = end


def sample_title(state: DataState) -> list[Span]:
    """Return the title of the sample: which row, how it is shown, and what the loss counts."""
    if state.form is None:
        return [word("sample", "title")]
    total = state.preview_total if state.preview_total is not None else len(state.preview)
    more = "" if state.preview_total is not None or not state.preview else "+"
    spans = [word(f"row {state.row + 1 if total else 0}/{count_text(total)}{more}", "title")]
    found = state.tokens.get(state.row)
    template: list[Span] = []
    if found is not None and found.template not in ("", "none"):
        template.append(word(f" · template {found.template}", "muted"))
    if found is not None and found.stands_in:
        template.append(word(" · not your tokenizer: that is trained first", "warning"))
    match state.view:
        case "tokens":
            if found is not None:
                size = count_text(len(found.tokens))
                spans.append(word(f" · {size} tokens, {count_text(found.counted)} in the loss"))
            return [*spans, word(" · █ counted ░ not", "muted"), *template]
        case "template":
            return [*spans, word(" · as the template writes it", "plain"), *template]
        case "text":
            place = Path(state.preview[state.row].place).name if 0 <= state.row < len(state.preview) else ""
            return [*spans, word(" · text", "plain"), (safe(f" · {place}" if place else "", limit=90), "muted")]
