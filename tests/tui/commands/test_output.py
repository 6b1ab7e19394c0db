from __future__ import annotations

from tui.commands.output import bar, clip, folded, shown, table


def test_table_aligns_and_shows_controls() -> None:
    assert table(("a", "n"), [("x\x1b[2J", "1"), ("y", "200")], right=frozenset({1})) == [
        "a        n",
        "x␛[2J    1",
        "y      200",
    ]


def test_shown_is_one_line() -> None:
    assert shown("a\nb\r\x9b") == "a b␍⟨U+009B⟩"


def test_clip_counts_wide_characters_twice() -> None:
    assert clip("ab日本", 4) == "ab日"
    assert clip("ab日本", 5) == "ab日"
    assert clip("abc", 3) == "abc"


def test_bar_is_as_wide_as_asked() -> None:
    assert bar(0.5, 10, unicode=False) == "#####-----"
    assert bar(7, 4, unicode=True) == "████"
    assert bar(-1, 4, unicode=False) == "----"


def test_folded_breaks_between_words_and_by_cells() -> None:
    assert folded("one two three", 7) == ["one two", "three"]
    assert folded("one two three", 8) == ["one two", "three"]
    assert folded("日本語日本語", 5) == ["日本", "語日", "本語"]
    assert folded("a bbbbbbbbbb", 6) == ["a bbbb", "bbbbbb"]
    assert folded("", 5) == [""]
    assert folded("日本", 1) == ["日", "本"]
    assert "".join(folded("x" * 1000, 7)) == "x" * 1000
