"""One line of the event log: from an event, and back from whatever a line holds."""

from __future__ import annotations

import json
import math

from core.run.events import MAX_LINE_BYTES, AnyEvent

_decoder = json.JSONDecoder()


def encode(event: AnyEvent) -> bytes:
    """Return an event as one line of at most 64 KiB; texts that are too long are cut, with a mark that says so."""
    values = event.model_dump(mode="json")
    limit = MAX_LINE_BYTES
    while True:
        line = json.dumps(_plain(values, limit), ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"
        if len(line) <= MAX_LINE_BYTES:
            return line.encode("ascii")
        limit //= 2
        assert limit > 0, "an event has more fields than fit a line"


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
