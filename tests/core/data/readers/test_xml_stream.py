"""Large XML files: records one at a time, what is broken counted, and nothing fetched or expanded."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.readers import xml_stream
from core.data.readers.xml_stream import text_of, xml_records
from core.data.tally import Tally
from core.errors import DataError


def read(path: Path, content: bytes, name: str = "page") -> tuple[list[str], Tally]:
    path.write_bytes(content)
    tally = Tally("xml", 1.0)
    return [text_of(record.element) for record in xml_records(path, frozenset({name}), tally)], tally


def wiki(*pages: str) -> bytes:
    return ("<wiki lang='en'>" + "".join(f"<page>{page}</page>" for page in pages) + "</wiki>").encode()


def test_records_come_with_place_and_the_attributes_of_the_root(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<?xml version='1.0'?>" + wiki("<t>one</t>", "two <b>and</b> more"))
    records = list(xml_records(path, frozenset({"page"}), Tally("xml", 1.0)))
    assert [text_of(record.element) for record in records] == ["one", "two and more"]
    assert [record.place for record in records] == [f"{path}:byte 37", f"{path}:byte 60"]
    assert records[0].root == {"lang": "en"}


@pytest.mark.parametrize("bad", ["<t>one</b>", "a & b", "<t", "&nosuch;", "\x0b", "</page></page>"])
def test_a_broken_record_costs_itself(tmp_path: Path, bad: str) -> None:
    texts, tally = read(tmp_path / "a.xml", wiki("first", bad, "third", "fourth"))
    assert [text for text in texts if text] == ["first", "third", "fourth"]
    assert tally.bad.total() == tally.rows == 1
    assert "well-formed XML" in tally.errors[0]


def test_reading_goes_on_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_stream, "_CHUNK_BYTES", 7)
    pages = [f"page {number}" for number in range(30)]
    pages[10] = "<t></b>"
    texts, tally = read(tmp_path / "a.xml", wiki(*pages))
    assert texts == pages[:10] + pages[11:]
    assert tally.bad == {"xml": 1}


def test_a_file_that_ends_early_keeps_what_came_before(tmp_path: Path) -> None:
    whole = wiki(*("some text " * 50 for _ in range(20)))
    texts, tally = read(tmp_path / "a.xml", whole[:-100])
    assert (len(texts), tally.bad) == (19, {"truncated": 1})
    texts, tally = read(tmp_path / "a.xml.gz", gzip.compress(whole)[:-20])
    assert tally.bad.total() == 1
    assert "byte" in tally.errors[0]


def test_a_file_of_bad_records_only_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(wiki(*("<t></b>" for _ in range(1200))))
    with pytest.raises(DataError, match="1000 of 1000 rows"):
        list(xml_records(path, frozenset({"page"}), Tally("xml", 0.5)))


def test_a_file_without_xml_is_one_bad_row(tmp_path: Path) -> None:
    for content in (b"", b"no xml at all", b"<wiki>"):
        texts, tally = read(tmp_path / "a.xml", content)
        assert (texts, tally.rows, tally.bad.total()) == ([], 1, 1)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><w><page>&c;</page></w>"""


@pytest.mark.parametrize("declared", ['"aaaa"', 'SYSTEM "file:///etc/passwd"', 'SYSTEM "http://127.0.0.1:9/x"'])
def test_entities_of_a_file_are_refused(tmp_path: Path, declared: str) -> None:
    content = f"<!DOCTYPE w [<!ENTITY x {declared}>]><w><page>&x;</page></w>".encode()
    texts, tally = read(tmp_path / "a.xml", content)
    assert "root" not in "".join(texts)
    assert "aaaa" not in "".join(texts)
    assert "entities" in tally.errors[0]


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    texts, tally = read(tmp_path / "a.xml", BOMB)
    assert "a" not in "".join(texts)
    assert tally.bad["xml"] == 1


def test_named_entities_of_a_document_type_are_read(tmp_path: Path) -> None:
    texts, _ = read(tmp_path / "a.xml", b'<!DOCTYPE w SYSTEM "w.dtd"><w><page>&alpha;-helix</page></w>')
    assert texts == ["α-helix"]


def test_deep_nesting_is_a_bad_row(tmp_path: Path) -> None:
    texts, tally = read(tmp_path / "a.xml", wiki("<a>" * 300 + "</a>" * 300, "good"))
    assert (texts, tally.bad) == (["good"], {"too_deep": 1})
    _, tally = read(tmp_path / "a.xml", b"<a>" * 100_000)
    assert tally.bad["too_deep"] == 1


def test_long_records_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_stream, "MAX_RECORD_BYTES", 10_000)
    texts, tally = read(tmp_path / "a.xml", wiki("x" * 20_000, "good"))
    assert (texts, tally.bad) == (["good"], {"too_long": 1})


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """100 MB of pages, and 100 MB of one page, in little memory."""
    small, large = tmp_path / "small.xml", tmp_path / "large.xml"
    page = "<page>" + "word " * 2000 + "</page>"
    with small.open("w") as file:
        file.write("<w>")
        file.writelines(page for _ in range(10_000))
        file.write("</w>")
    with large.open("w") as file:
        file.write("<w><page>")
        file.writelines("word " * 200_000 for _ in range(100))
        file.write("</page></w>")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from core.data.readers.xml_stream import xml_records; from core.data.tally import Tally\n"
        "tally = Tally('xml', 1.0); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(sum(1 for _ in xml_records(Path(sys.argv[1]), frozenset({'page'}), tally)), dict(tally.bad),"
        " (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    for path, expected, limit in ((small, "10000 {}", 20), (large, "0 {'too_long': 1}", 250)):
        said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
        counted, _, grown = said.stdout.strip().rpartition(" ")
        assert counted == expected, said.stderr
        assert int(grown) < limit
