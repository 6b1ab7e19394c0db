"""One line of the event log: from an event, and back from whatever a line holds."""

from __future__ import annotations

import json
import math

from core.run.events import MAX_LINE_BYTES, AnyEvent, Sampled

_decoder = json.JSONDecoder()
_TOKENS_BYTES = MAX_LINE_BYTES // 2


def encode(event: AnyEvent) -> bytes:
    """Return an event as one line of at most 64 KiB.

    A sample's tokens that take more than half of a line that is too long, then texts that are too long, are cut, with a
    mark that says so.
    """
    values = event.model_dump(mode="json")
    limit = MAX_LINE_BYTES
    line = _json(_plain(values, limit))
    if len(line) >= MAX_LINE_BYTES and isinstance(event, Sampled):
        values |= _fitting_tokens(event)
    while len(line) >= MAX_LINE_BYTES:
        assert limit > 0, "an event has more fields than fit a line"
        line = _json(_plain(values, limit))
        limit //= 2
    return line.encode("ascii") + b"\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _fitting_tokens(event: Sampled) -> dict[str, object]:
    """Return tokens and marks as far as they take half a line, with a last entry that says how many are missing."""
    left, kept = _TOKENS_BYTES, 0
    for index, token in enumerate(event.tokens):
        mark = event.marks[index : index + 1]
        left -= len(_json(_plain([token, *mark], MAX_LINE_BYTES)))
        if left < 0:
            break
        kept += 1
    if kept == len(event.tokens):
        return {"tokens": event.tokens, "marks": event.marks[:kept]}
    note = f"… [cut: {len(event.tokens) - kept} more tokens]"
    return {"tokens": [*event.tokens[:kept], note], "marks": [*event.marks[:kept], *([0.0] if event.marks else [])]}


def _plain(value: object, limit: int) -> object:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str() if len(value) > limit:
            return f"{value[:limit]}… [cut: {len(value) - limit} more characters]"
        case dict():
            return {key: _plain(entry, limit) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry, limit) for entry in value]
        case _:
            return value


def whole_records(line: bytes) -> tuple[list[dict[str, object]], list[str]]:
    """Return the whole records of a line (several where lines were joined) and what else is there.

    A record begins with {"v": ; inside a string its quotes would be escaped, so a text cannot forge one.
    """
    reasons: list[str] = []
    data = line.strip(b"\r \t")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    if data.startswith(b"\0"):
        reasons.append("a block of zero bytes")
        data = data.lstrip(b"\0")
    records: list[dict[str, object]] = []
    text = data.decode("utf-8", errors="surrogateescape")
    position = 0
    while position < len(text):
        try:
            value, end = _decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            reasons.append("not JSON")
            end = text.find('{"v":', position + 1)
            position = end if end >= 0 else len(text)
            continue
        if not isinstance(value, dict):
            reasons.append("not a record")
        elif any("\udc80" <= character <= "\udcff" for character in text[position:end]):
            reasons.append("not UTF-8")
        else:
            records.append(value)
        position = end
    if len(records) > 1:
        reasons.append(f"{len(records)} records in one line")
    return records, reasons


def highest_seq(data: bytes) -> int:
    """Return the highest seq of the records in a piece of the log, -1 where there is none."""
    return max((_seq(record) for line in data.split(b"\n") for record in whole_records(line)[0]), default=-1)


def _seq(record: dict[str, object]) -> int:
    seq = record.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else -1
