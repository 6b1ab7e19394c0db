from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.services.safe_text import safe, safe_lines, safe_text, size_words


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b2J", "⟨U+009B⟩2J"),
        ("a\x00b\x7f", "a␀b␡"),
        ("a\nb\tc", "a␊b␉c"),
        ("x\u202ey", "x⟨U+202E⟩y"),
        ("x\u200by", "x⟨U+200B⟩y"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\u00a0b", "a b"),
        ("[red]x[/] [@click=app.quit]y[/]", "[red]x[/] [@click=app.quit]y[/]"),
        ("Größe 漢字 é", "Größe 漢字 é"),
    ],
)
def test_safe_shows_every_control(raw: str, shown: str) -> None:
    assert safe(raw).text == shown


@given(st.text(alphabet=st.characters(), max_size=300))
def test_safe_never_lets_a_control_through(raw: str) -> None:
    for text in (safe(raw).text, *(line.text for line in safe_lines(raw))):
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in text)


def test_safe_caps_combining_marks_and_counts_them() -> None:
    assert safe("e" + "\u0301" * 1000 + "x").text == "e\u0301\u0301⟨+998 marks⟩x"


def test_a_line_of_five_megabytes_is_cut_and_says_so() -> None:
    started = time.perf_counter()
    text = safe("x" * 5_000_000).text
    assert time.perf_counter() - started < 0.1
    assert len(text) < 2_020
    assert text.endswith(" … 5.0 MB")


def test_safe_text_keeps_line_breaks_and_nothing_else() -> None:
    assert safe_text("a\r\nb\x1b[2J\tc").text == "a\nb␛[2J    c".replace("    c", " " * (4 - len("b\x1b[2J") % 4) + "c")


def test_many_lines_are_bounded() -> None:
    lines = safe_lines("\n" * 1_000_000, lines=50)
    assert len(lines) == 51
    assert "in all" in lines[-1].text


def test_size_words() -> None:
    assert [size_words(n) for n in (512, 5_000_000, 1.2e9)] == ["512 B", "5.0 MB", "1.2 GB"]
