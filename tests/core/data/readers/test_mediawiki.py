"""Exports of wikis: which pages are documents."""

from __future__ import annotations

import bz2
from pathlib import Path

from core.data.readers.mediawiki import looks_like_mediawiki, read_mediawiki
from core.data.rows import Row
from core.data.tally import Tally

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de"><siteinfo>
<sitename>W</sitename><base>https://de.wiki.example/wiki/Hauptseite</base><namespaces>
<namespace key="0"/><namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace>
</namespaces></siteinfo>"""


def page(title: str, text: str, ns: int = 0, model: str = "wikitext", more: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>7</id>{more}<revision><id>1</id>"
        f"<timestamp>2016-04-25T11:26:03Z</timestamp><model>{model}</model><text>{text}</text></revision></page>"
    )


PAGES = [
    page("Die Lok (Bahn)", "'''Die Lok''' zieht.[[Datei:Lok.jpg|thumb|Bild]] [[Kategorie:Bahn]]"),
    page("Lok", "#WEITERLEITUNG [[Die Lok (Bahn)]]", more='<redirect title="Die Lok (Bahn)" />'),
    page("Old", "#REDIRECT [[Lok]]"),
    page("Talk:Lok", "Who wrote this?", ns=1),
    page("Soup", "Boil water.", ns=102),
    page("Module", "return 1", model="Scribunto"),
    page("Void", "{{stub}}"),
]


def read(path: Path, content: bytes) -> tuple[list[Row], Tally]:
    path.write_bytes(content)
    tally = Tally("wiki", 1.0)
    return list(read_mediawiki(path, tally)), tally


def test_articles_are_documents_and_every_page_a_row(tmp_path: Path) -> None:
    content = bz2.compress((HEAD + "".join(PAGES) + "</mediawiki>").encode())
    rows, tally = read(tmp_path / "wiki.xml.bz2", content)
    assert rows[0].values == {
        "text": "Die Lok (Bahn)\n\nDie Lok zieht.", "title": "Die Lok (Bahn)",
        "url": "https://de.wiki.example/wiki/Die_Lok_(Bahn)", "date": "2016-04-25T11:26:03Z", "language": "de",
        "pageid": "7",
    }  # fmt: skip
    assert [row.values["title"] for row in rows] == ["Die Lok (Bahn)", "Soup"]
    assert (tally.rows, tally.empty, tally.bad) == (7, 1, {})


def test_what_came_before_a_break_is_kept(tmp_path: Path) -> None:
    many = HEAD + "".join(page(f"P{number}", f"Text {number}.") for number in range(40))
    rows, tally = read(tmp_path / "cut.xml", (many + page("Cut", "never ends")[:-20]).encode())
    assert (len(rows), tally.rows, tally.bad) == (40, 41, {"truncated": 1})
    assert f"begins at byte {len(many)}," in tally.errors[0]
    rows, tally = read(tmp_path / "cut.xml.bz2", bz2.compress(many.encode() * 1)[:-200])
    assert tally.bad.total() == 1


def test_a_dump_is_told_by_its_root() -> None:
    assert looks_like_mediawiki(HEAD.encode())
    assert looks_like_mediawiki(b'\xef\xbb\xbf<?xml version="1.0"?>\n' + HEAD.encode())
    assert not looks_like_mediawiki(b"<html><p>&lt;mediawiki&gt; is")
