"""Books: what is the book and what Project Gutenberg put around it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from core.data.readers.gutenberg import (
    gutenberg_metadata,
    is_gutenberg,
    read_gutenberg,
    without_gutenberg_licence,
)
from core.data.rows import Row
from core.data.tally import Tally

BOOK = (
    "CHAPTER I\n\nThe engine stood still.\n\n* * * * *\n\n*** \n\nIt began to rain on the station of Wend.\n\nTHE END\n"
)

NEW = """\ufeffThe Project Gutenberg eBook of The Small Engine

This eBook is for the use of anyone anywhere in the United States.

Title: The Small Engine
        And Other Stories

Author: Ann Example

Release date: May 1, 2001 [eBook #99999]
                Most recently updated: May 2, 2020

Language: German

Credits: Produced by someone

*** START OF THE PROJECT GUTENBERG EBOOK THE SMALL ENGINE ***

Produced by Someone and the Online Distributed
Proofreading Team

{book}

End of the Project Gutenberg EBook of The Small Engine, by Ann Example

*** END OF THE PROJECT GUTENBERG EBOOK THE SMALL ENGINE ***

Updated editions will replace the previous one.
START: FULL LICENSE
"""

WRAPPED = """Title: A Title

***START OF THE PROJECT GUTENBERG EBOOK A TITLE THAT IS SO LONG THAT IT
TAKES TWO LINES***

{book}
***END OF THE PROJECT GUTENBERG EBOOK A TITLE THAT IS SO LONG THAT IT TAKES
TWO LINES***

licence
"""

OLD = """**The Project Gutenberg Etext of The Small Engine, by Ann Example**
Please take a look at the important information in this header.

Title: The Small Engine

*** START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***
Why is this "Small Print!" statement here? You know: lawyers.
*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*


{book}

End of Project Gutenberg's Etext of The Small Engine, by Ann Example
"""

THIS = """*** START OF THIS PROJECT GUTENBERG EBOOK THE SMALL ENGINE ***

{book}
*** END OF THIS PROJECT GUTENBERG EBOOK THE SMALL ENGINE ***
"""


@pytest.mark.parametrize("frame", [NEW, WRAPPED, OLD, THIS])
def test_the_book_is_left_and_nothing_else(frame: str) -> None:
    text = frame.format(book=BOOK)
    assert is_gutenberg(text)
    assert without_gutenberg_licence(text) == BOOK


def test_other_texts_are_left_as_they_are() -> None:
    essay = "A history of reading machines.\n\nProject Gutenberg began in 1971, and had an end of its own.\n"
    assert not is_gutenberg(essay)
    assert without_gutenberg_licence(essay) == essay


def test_the_header_names_the_book() -> None:
    assert gutenberg_metadata(NEW.format(book=BOOK)) == {
        "title": "The Small Engine And Other Stories", "author": "Ann Example", "language": "de",
        "date": "May 1, 2001",
    }  # fmt: skip
    found = gutenberg_metadata("The Project Gutenberg Etext of Rain, by B. Example\n\n*END*THE SMALL PRINT!*\n")
    assert (found["title"], found["author"]) == ("Rain", "B. Example")


def read(path: Path, content: bytes) -> tuple[list[Row], Tally]:
    path.write_bytes(content)
    tally = Tally("books", 1.0)
    return list(read_gutenberg(path, tally)), tally


def test_latin_1_and_the_line_ends_of_dos_are_mended(tmp_path: Path) -> None:
    text = NEW.removeprefix("\ufeff").format(book=BOOK.replace("Wend", "Wörth")).replace("\n", "\r\n")
    rows, tally = read(tmp_path / "a.txt", text.encode("latin-1"))
    assert rows[0].values["text"] == BOOK.replace("Wend", "Wörth")
    assert tally.repaired == {"latin-1": 1}
    rows, tally = read(tmp_path / "b.txt.gz", gzip.compress(text.encode()))
    assert rows[0].values["text"] == BOOK.replace("Wend", "Wörth")
    assert (tally.repaired, tally.rows) == ({}, 1)


def test_a_broken_file_is_a_bad_row_and_an_empty_book_empty(tmp_path: Path) -> None:
    rows, tally = read(tmp_path / "a.txt.gz", gzip.compress(NEW.format(book=BOOK).encode())[:-30])
    assert (rows, tally.rows, tally.bad) == ([], 1, {"damaged": 1})
    rows, tally = read(tmp_path / "b.txt", THIS.format(book="").encode())
    assert (rows, tally.rows, tally.empty) == ([], 1, 1)
