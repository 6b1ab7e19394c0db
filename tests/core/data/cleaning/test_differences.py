from __future__ import annotations

from core.data.cleaning.differences import changed_lines


def test_lines_that_differ() -> None:
    assert list(changed_lines("a\nb\nc", "a\nB\nc")) == [("b", "B")]
    assert list(changed_lines("a\nb\nc\nd", "a\nc\nD")) == [("b", ""), ("d", "D")]
    assert list(changed_lines("a", "a\nb\nc")) == [("", "b\nc")]
    assert list(changed_lines("same\n", "same\n")) == []
