"""Web crawls: pages of WARC files as text, and the text that WET files hold already.

Every record is a row, whatever its type. Documents come out of answers with status 2xx that are HTML or plain text,
of `resource` records of these types, and of the `conversion` records of WET files; WAT files have none.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.readers.html import decoded_html, page_of
from core.data.readers.warc_frames import MAX_RECORD_BYTES, frames
from core.data.rows import Row
from core.data.tally import RowError, Tally

_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXT = frozenset({"text/plain"})


def read_warc(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row a page with text: text, title, url, date, language, licence.

    A damaged record is counted as bad with its byte in the file (that of its gzip member), and reading goes on with
    the next. An answer that was stored decoded under the header of an encoding is read as it is and counted as
    repaired ("http_encoding").

    Raises: DataError where the file cannot be opened.
    """
    for frame in frames(path):
        tally.rows += 1
        try:
            if frame.error is not None:
                raise frame.error
            values = document_of(warc_header(frame.header), frame.block, tally)
        except RowError as error:
            tally.refuse(frame.place, error)
            continue
        if values is None:
            continue
        if values["text"].strip():
            yield Row(values, frame.place)
        else:
            tally.empty += 1


def warc_header(header: bytes) -> dict[str, str]:
    """Return the fields of a record's header by their names in lower case; lines that are none are passed over."""
    text = re.sub(r"\r?\n[ \t]+", " ", header.decode("utf-8", "replace"))
    fields = (line.partition(":") for line in text.splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, colon, value in fields if colon}


def document_of(header: dict[str, str], block: bytes, tally: Tally) -> dict[str, Any] | None:
    """Return the columns of the document in a record; None where it has none.

    Raises: RowError where a page cannot be taken out of it.
    """
    known = {
        "url": header.get("warc-target-uri", "").strip("<>"),
        "date": header.get("warc-date", ""),
        "language": header.get("warc-identified-content-language", ""),
    }
    kind, stated = header.get("warc-type", "").lower(), _media_type(header.get("content-type", ""))
    match kind:
        case "conversion" if stated in _TEXT:
            return {"text": decoded_html(block, "utf-8"), **known}
        case "resource":
            return _page(block, stated, None, known)
        case "response" if stated == "application/http":
            return _answer(header, block, known, tally)
        case "response":
            return _page(block, stated, None, known)
        case _:
            return None


def _answer(header: dict[str, str], block: bytes, known: dict[str, str], tally: Tally) -> dict[str, Any] | None:
    record = _parsed(block, "none")
    status = record.http_headers.status_code if record.http_headers else None
    if status is None:
        raise RowError("http", f"expected an HTTP answer, found {block[:20]!r}")
    if not 200 <= status < 300:
        return None
    media = _media_type(record.http_content_type or header.get("warc-identified-payload-type", ""))
    if media and media not in _HTML | _TEXT:
        return None
    body, is_repaired = _body(block)
    if is_repaired:
        tally.repaired.update({"http_encoding"})
    return _page(body, media, _charset(record), known)


def _page(body: bytes, media: str, charset: str | None, known: dict[str, str]) -> dict[str, Any] | None:
    if media in _TEXT:
        return {"text": decoded_html(body, charset), **known}
    if media in _HTML or (not media and _looks_like_html(body)):
        page = page_of(body, charset)
        language = known["language"] or page.language
        return {"text": page.text, "title": page.title, **known, "language": language, "licence": page.licence}
    return None


def _body(block: bytes) -> tuple[bytes, bool]:
    """Return the body of an HTTP answer without its encodings, and whether its header stated some that it has not."""
    record = _parsed(block, "all")
    try:
        body = bytes(record.reader.read(MAX_RECORD_BYTES + 1)) if record.http_headers else b""
    except OSError as error:
        # Crawlers that store what they decoded leave the header of the encoding as it was.
        plain = bytes(_parsed(block, "none").reader.read(MAX_RECORD_BYTES + 1))
        if not _looks_like_html(plain):
            raise RowError("http", f"expected the body of an HTTP answer, found: {error}") from None
        return plain, True
    if len(body) > MAX_RECORD_BYTES:
        raise RowError("too_long", f"expected a page of at most {MAX_RECORD_BYTES} bytes, found a longer one")
    return body, False


def _parsed(block: bytes, decode: str) -> Any:
    from fastwarc.warc import WarcRecord

    # FastWARC tells an answer by the header of its record; one that was written here has none of the oddities of many.
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    try:
        record = WarcRecord.from_reader(io.BytesIO(header.encode() + block))
        record.parse_http(auto_decode=decode)  # type: ignore[arg-type] # its types lack the names of encodings
    except (OSError, ValueError) as error:
        raise RowError("http", f"expected an HTTP answer, found: {error}") from None
    return record


def _charset(record: Any) -> str | None:
    found = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", record.http_headers.get("Content-Type") or "", re.I)
    return found.group(1) if found else None


def _media_type(stated: str) -> str:
    return stated.partition(";")[0].strip().lower()


def _looks_like_html(body: bytes) -> bool:
    start = body[:1024].lstrip().lower()
    return start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start or b"<body" in start)
