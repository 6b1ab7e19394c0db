"""Crawls: what comes out of each kind of record, and how little a damaged one costs."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.readers import warc_frames
from core.data.readers.warc import read_warc
from core.data.rows import Row
from core.data.tally import Tally

PARAGRAPH = "The engine pulls forty wagons over the pass every morning, and in winter two engines are needed for it."


def page(words: str = PARAGRAPH, head: str = "<title>Engines</title>") -> bytes:
    return f"<html lang=en><head>{head}</head><body><nav>Menu</nav><main><p>{words}</p></main></body></html>".encode()


def record(kind: str, block: bytes, *, content_type: str = "application/http; msgtype=response", **more: str) -> bytes:
    fields = {"WARC-Type": kind, "WARC-Target-URI": "http://rail.example/", "WARC-Date": "2024-05-18T01:58:10Z", **more}
    fields |= {"Content-Type": content_type, "Content-Length": str(len(block))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def answer(body: bytes, *fields: str, status: str = "200 OK", media: str = "text/html; charset=utf-8") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {media}", *fields])
    return record("response", head.encode() + b"\r\n\r\n" + body)


INFO = record("warcinfo", b"software: made by hand\r\n", content_type="application/warc-fields")
REQUEST = record("request", b"GET / HTTP/1.1\r\n\r\n", content_type="application/http; msgtype=request")


def read(tmp_path: Path, content: bytes) -> tuple[list[Row], Tally]:
    path = tmp_path / "crawl.warc"
    path.write_bytes(content)
    tally = Tally("crawl", 1.0)
    return list(read_warc(path, tally)), tally


def members(*records: bytes) -> bytes:
    return b"".join(map(gzip.compress, records))


@pytest.mark.parametrize(
    "pack", [lambda *parts: b"".join(parts), members, lambda *parts: gzip.compress(b"".join(parts))]
)
def test_a_page_comes_with_what_is_known_of_it(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    rows, tally = read(tmp_path, pack(INFO, REQUEST, answer(page())))
    assert (tally.rows, tally.bad.total(), tally.empty) == (3, 0, 0)
    assert rows[0].values == {
        "text": PARAGRAPH, "title": "Engines", "url": "http://rail.example/", "date": "2024-05-18T01:58:10Z",
        "language": "en", "licence": "",
    }  # fmt: skip


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])


@pytest.mark.parametrize(
    ("fields", "encode"),
    [
        (["Transfer-Encoding: chunked"], chunked),
        (["Content-Encoding: gzip"], gzip.compress),
        (["Content-Encoding: deflate"], zlib.compress),
        (["Content-Encoding: gzip", "Transfer-Encoding: chunked"], lambda body: chunked(gzip.compress(body))),
    ],
)
def test_encodings_of_http_are_undone(tmp_path: Path, fields: list[str], encode: Callable[[bytes], bytes]) -> None:
    rows, tally = read(tmp_path, answer(encode(page()), *fields))
    assert ([row.values["text"] for row in rows], tally.repaired) == ([PARAGRAPH], {})


@pytest.mark.parametrize("field", ["Transfer-Encoding: chunked", "Content-Encoding: gzip", "Content-Encoding: br"])
def test_an_encoding_that_is_stated_and_not_there_is_repaired(tmp_path: Path, field: str) -> None:
    rows, tally = read(tmp_path, answer(page(), field))
    assert [row.values["text"] for row in rows] == [PARAGRAPH]
    assert tally.repaired == {"http_encoding": 1}


def test_a_body_that_is_neither_encoded_nor_a_page_is_bad(tmp_path: Path) -> None:
    rows, tally = read(tmp_path, answer(b"\x00\x01\x02 nothing", "Content-Encoding: gzip"))
    assert (rows, tally.bad) == ([], {"http": 1})


def test_records_without_a_page_are_rows_and_not_bad(tmp_path: Path) -> None:
    others = [
        answer(page(), status="404 Not Found"),
        answer(page(), status="301 Moved"),
        answer(b"\x89PNG", media="image/png"),
        answer(b'{"a": 1}', media="application/json"),
        record("response", b"rail.example. 3600 IN A 192.0.2.1", content_type="text/dns"),
        record("revisit", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
        record("metadata", b'{"Envelope": {}}', content_type="application/json"),
        record("continuation", b"rest"),
    ]
    rows, tally = read(tmp_path, members(*others))
    assert (rows, tally.rows, tally.bad, tally.empty) == ([], 8, {}, 0)


def test_a_page_without_text_is_empty(tmp_path: Path) -> None:
    rows, tally = read(tmp_path, answer(b"<html><body><script>1</script></body></html>"))
    assert (rows, tally.rows, tally.empty) == ([], 1, 1)


def test_text_of_a_wet_file_comes_with_its_language(tmp_path: Path) -> None:
    block = "Zwölf Boxkämpfer\njagen Viktor".encode()
    wet = record("conversion", block, content_type="text/plain", **{"WARC-Identified-Content-Language": "deu"})
    rows, tally = read(tmp_path, members(INFO, wet))
    assert (rows[0].values["text"], rows[0].values["language"]) == ("Zwölf Boxkämpfer\njagen Viktor", "deu")
    assert tally.rows == 2


def test_plain_text_and_resources_are_documents(tmp_path: Path) -> None:
    plain = answer(b"just text", media="text/plain")
    resource = record("resource", page(), content_type="text/html")
    assert [row.values["text"] for row in read(tmp_path, plain + resource)[0]] == ["just text", PARAGRAPH]


def numbered(count: int) -> list[bytes]:
    return [answer(page(f"{PARAGRAPH} Record {number}.")) for number in range(count)]


def test_a_damaged_gzip_member_costs_its_record_only(tmp_path: Path) -> None:
    parts = [gzip.compress(one) for one in numbered(4)]
    broken = bytearray(parts[1])
    broken[len(broken) // 2] ^= 0xFF
    rows, tally = read(tmp_path, parts[0] + bytes(broken) + parts[2] + parts[3])
    assert [row.values["text"][-9:] for row in rows] == ["Record 0.", "Record 2.", "Record 3."]
    assert (tally.rows, tally.bad.total()) == (4, 1)
    assert f"crawl.warc:byte {len(parts[0])}: " in tally.errors[0]


@pytest.mark.parametrize("is_read_alone", [True, False])
def test_a_wrong_check_sum_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_read_alone: bool) -> None:
    """Where the sum is read alone, its record was whole before: it is not to be taken for good."""
    parts = [gzip.compress(one) for one in numbered(2)]
    if is_read_alone:
        monkeypatch.setattr(warc_frames, "_CHUNK_BYTES", len(parts[0]) - 8)
    broken = bytearray(parts[0])
    broken[-6] ^= 1
    rows, tally = read(tmp_path, bytes(broken) + parts[1])
    assert ([row.values["text"][-9:] for row in rows], tally.rows, tally.bad.total()) == (["Record 1."], 2, 1)


def test_a_file_that_ends_early_says_where(tmp_path: Path) -> None:
    for content in (members(*numbered(3))[:-40], b"".join(numbered(3))[:-40]):
        rows, tally = read(tmp_path, content)
        assert (len(rows), tally.rows, tally.bad) == (2, 3, {"truncated": 1})


@pytest.mark.parametrize("change", [-2, 60, 5000])
def test_a_wrong_length_costs_its_record_only(tmp_path: Path, change: int) -> None:
    parts = numbered(3)
    length = len(parts[1].partition(b"\r\n\r\n")[2]) - 4
    parts[1] = parts[1].replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + change), 1)
    rows, tally = read(tmp_path, b"".join(parts))
    assert [row.values["text"][-9:] for row in rows] == ["Record 0.", "Record 2."]
    assert (tally.rows, tally.bad.total()) == (3, 1)
    assert f":byte {len(parts[0])}: " in tally.errors[0]


def test_what_is_no_warc_is_one_bad_row(tmp_path: Path) -> None:
    rows, tally = read(tmp_path, b"<html>no crawl</html>" * 1000)
    assert (rows, tally.rows, tally.bad) == ([], 1, {"frame": 1})


def test_a_record_over_the_limit_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc_frames, "MAX_RECORD_BYTES", 2**20)
    first, last = numbered(2)
    rows, tally = read(tmp_path, first + answer(b"x" * (2**20 + 1)) + last)
    assert ([row.values["text"][-9:] for row in rows], tally.bad) == (["Record 0.", "Record 1."], {"too_long": 1})


def test_a_body_that_expands_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        for _ in range(65):
            file.write(bytes(2**20))
    rows, tally = read(tmp_path, answer(packed.getvalue(), "Content-Encoding: gzip"))
    assert (rows, tally.bad) == ([], {"too_long": 1})


@pytest.mark.parametrize("pack", [lambda parts: b"".join(parts), lambda parts: members(*parts)])
def test_one_damaged_place_costs_at_most_two_records(tmp_path: Path, pack: Callable[[list[bytes]], bytes]) -> None:
    """Wherever bytes are changed, lost or put in: no exception, and the other records are there."""
    content = pack(numbered(6))
    draw = random.Random(7)
    for _ in range(60):
        damaged = bytearray(content)
        at = draw.randrange(len(damaged))
        match draw.randrange(3):
            case 0:
                damaged[at] ^= 1 << draw.randrange(8)
            case 1:
                del damaged[at : at + draw.randrange(1, 100)]
            case _:
                damaged[at:at] = draw.randbytes(50)
        rows, tally = read(tmp_path, bytes(damaged))
        assert len(rows) >= 4
        assert tally.bad.total() <= 2
