"""Pages: their main text, their encoding, and nesting that would take minutes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.data.readers.html import decoded_html, html_to_text, is_too_deep, page_of, read_html
from core.data.tally import Tally

ARTICLE = """<!DOCTYPE html><html lang="en"><head><title>The
 Pass</title><style>p {}</style><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>
<nav><a href=/>Home</a><a href=/news>News</a></nav><script>alert(1)</script>
<main><h1>The Pass</h1><p>Forty wagons cross the pass every morning &amp; evening,
and no engine stops.</p><ul><li>coal from the mines in the north</li>
<li>timber from the forests in the east</li></ul><!-- hidden --></main>
<footer>All rights reserved</footer></body></html>"""


def test_the_main_content_is_kept_with_its_paragraphs() -> None:
    page = page_of(ARTICLE.encode())
    assert page.text == (
        "The Pass\n\nForty wagons cross the pass every morning & evening, and no engine stops.\n\n"
        "- coal from the mines in the north\n- timber from the forests in the east"
    )
    assert (page.title, page.language) == ("The Pass", "en")
    assert page.licence == "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("html", "stated", "expected"),
    [
        ("Zwölf".encode(), None, "Zwölf"),
        ("Zwölf".encode(), "iso-8859-1", "Zwölf"),  # servers state Latin-1 for want of a setting
        ("Zwölf".encode("latin-1"), "iso-8859-1", "Zwölf"),
        ("\ufeffZwölf".encode("utf-16-le"), "utf-8", "Zwölf"),
        (b"\xef\xbb\xbfZw\xc3\xb6lf", None, "Zwölf"),
        ('<meta charset="shift_jis">機関車'.encode("shift_jis"), None, '<meta charset="shift_jis">機関車'),
        ("機関車".encode("euc-jp"), "euc-jp", "機関車"),
        ("機関車".encode("iso-2022-jp"), "iso-2022-jp", "機関車"),
        (b"Zw\xf6lf", "no-such-encoding", "Zwölf"),
    ],
)
def test_encodings(html: bytes, stated: str | None, expected: str) -> None:
    assert decoded_html(html, stated) == expected


def test_bytes_of_no_encoding_are_still_text() -> None:
    assert decoded_html(bytes(range(256)) * 3, "utf-8").encode()


def test_deep_nesting_is_refused_in_time(tmp_path: Path) -> None:
    """Extraction would take minutes for 100,000 elements inside one another."""
    deep = b"<html><body>" + b"<div>" * 100_000 + b"text"
    began = time.monotonic()
    path = tmp_path / "deep.html"
    path.write_bytes(deep)
    tally = Tally("pages", 1.0)
    assert list(read_html(path, tally)) == []
    assert tally.bad == {"too_deep": 1}
    assert time.monotonic() - began < 5


def test_many_elements_side_by_side_are_not_deep() -> None:
    assert not is_too_deep(b"<div>a</div>" * 5000)
    assert not is_too_deep(b"<p>a<br><li>b<img src=c>" * 5000)


def test_lists_of_links_are_menus() -> None:
    words = "Forty wagons cross the pass every morning, and in winter two engines are needed for it."
    links = "".join(f"<li><a href=/{name}>{name}</a></li>" for name in ("timetable", "fares", "contact"))
    said = "<li>coal, of which <a href=/most>most</a> is burnt<ul><li>here and</li><li>there</li></ul></li>"
    text = html_to_text(f"<body><main><p>{words}</p><ul>{links}</ul><p>{words}</p><ul>{said}</ul></main>".encode())
    assert "timetable" not in text
    assert text.endswith("- coal, of which most is burnt\n- here and\n- there")


def test_a_page_without_any_text_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_bytes(b"<html><head><title>T</title></head><body></body></html>")
    tally = Tally("pages", 1.0)
    assert list(read_html(path, tally)) == []
    assert (tally.rows, tally.empty) == (1, 1)


def test_a_fragment_and_a_broken_page_give_their_text() -> None:
    assert html_to_text(b"just words") == "just words"
    assert html_to_text(b"<p>one<p>two <b>three</p></div></table>") == "one\n\ntwo three"
