"""Tokens and bars in lines."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tui.services.data_answers import TokenRow, TokenShown, tokens_of
from tui.services.data_histogram import bar_lines, histogram_lines
from tui.services.data_sample import token_lines
from tui.services.styled import Line
from tui.services.trial_answers import Histogram


def text(lines: list[Line]) -> list[str]:
    return ["".join(part.text for part, _ in one.left) for one in lines]


def token(words: str, *, counted: bool = False, special: bool = False) -> TokenShown:
    return TokenShown(7, words, counted, special)


ROW = TokenRow(
    "a:1",
    (token("<s>", special=True), token("Hi"), token("\n"), token("Yes", counted=True),
     token("</s>", counted=True, special=True), token("?")),
    "chat",
    "<s>Hi\nYes</s>?",
)  # fmt: skip


def test_runs_begin_with_their_mark_and_special_tokens_stand_in_brackets() -> None:
    assert text(token_lines(ROW, 40)) == ["░ ⟨<s>⟩▏Hi▏↵▏", "█ Yes▏⟨</s>⟩▏", "░ ?▏"]
    tones = [tone for one in token_lines(ROW, 40) for part, tone in one.left if part.text not in ("▏", "░ ", "█ ")]
    assert tones == ["accent", "muted", "muted", "good", "accent", "muted"]


def test_only_what_the_loss_counts() -> None:
    assert text(token_lines(ROW, 40, only_counted=True)) == ["█ Yes▏⟨</s>⟩▏"]


def test_a_row_without_a_label_says_so_and_faults_stand_first() -> None:
    row = TokenRow("a:1", (token("Hi"),), "none", "Hi", faults=("no_end_of_turn: such rows …",), left_out=3)
    shown = text(token_lines(row, 80))
    assert shown[0] == "! no_end_of_turn: such rows …"
    assert shown[1] == "░ Hi▏"
    assert shown[2].startswith("! 3 tokens are cut off")
    assert shown[3] == "! The loss counts nothing of this row."


@pytest.mark.parametrize("width", [8, 20, 61])
def test_no_line_is_wider_than_asked_and_every_token_is_there(width: int) -> None:
    words = ["漢字" * 20, "a" * 50, " b", "\x1b[31m", "[red]", ""] * 3
    shown = text(token_lines(TokenRow("", tuple(token(one, counted=True) for one in words), "", ""), width))
    assert max(map(cell_len, shown)) <= width
    joined = "".join(line.removeprefix("█ ") for line in shown).replace("▏", "")
    assert joined == ("漢字" * 20 + "a" * 50 + " b" + "␛[31m" + "[red]" + "⟨7⟩") * 3


def test_a_letter_says_the_class_and_a_legend_how_many_the_loss_counts() -> None:
    tokens = (
        TokenShown(1, "def", True, False, "keyword"), TokenShown(2, " f", False, False, "name"),
        TokenShown(3, ":", True, False, "operator"), TokenShown(4, "</s>", True, True, "other"),
        TokenShown(5, "x", False, False, "name"),
    )  # fmt: skip
    shown = text(token_lines(TokenRow("", tokens, "", ""), 100))
    assert shown == [
        "/k keyword, 1 token; /n name, 0 tokens; /o operator, 1 token; other, 1 token",
        "█ def/k▏", "░  f/n▏", "█ :/o▏⟨</s>⟩▏", "░ x/n▏",
    ]  # fmt: skip
    assert max(map(cell_len, text(token_lines(TokenRow("", tokens, "", ""), 30)))) <= 30


def test_examples_of_one_row_stand_one_after_the_other() -> None:
    row = TokenRow("", ROW.tokens[:2], "chat", "", further=(TokenRow("", ROW.tokens[3:4], "chat", ""),))
    shown = text(token_lines(row, 40))
    assert shown[-2:] == ["example 2 of 2 of this row", "█ Yes▏"]


def test_tokens_are_read_from_an_answer() -> None:
    answer = {
        "place": "a:1", "template": "chat", "text": "<s>a",
        "tokens": [{"id": 1, "text": "<s>", "loss": False, "special": True}, {"id": 5, "text": "a", "loss": True}],
        "faults": ["double_begin: x"], "left_out": 2, "further": [{"tokens": [{"id": 9, "text": "b", "loss": True}]}],
        "tokenizer": "/t", "stands_in": True,
    }  # fmt: skip
    row = tokens_of(answer)
    assert row.tokens == (TokenShown(1, "<s>", False, True), TokenShown(5, "a", True, False))
    assert (row.counted, row.left_out, row.faults, row.stands_in) == (1, 2, ("double_begin: x",), True)
    assert row.further[0].tokens[0].text == "b"
    marked = tokens_of({"tokens": [{"id": 1, "text": "a", "loss": True, "class": "name"}]})
    assert marked.tokens == (TokenShown(1, "a", True, False, "name"),)


def test_an_answer_without_sense_gives_an_empty_row() -> None:
    assert tokens_of({"tokens": [3, None, {"id": "x"}], "faults": 5}).tokens == (TokenShown(0, "", False, False),)


def test_bars_have_a_share_and_an_eighth_at_least_is_seen() -> None:
    assert text(bar_lines([("too short", 5), ("x", 0)], 10)) == [
        "too short       5 █████····· 50.0%", "x               0 ·········· 0.0%",
    ]  # fmt: skip
    shown = text(histogram_lines(Histogram((0, 1, 2, 3), (1000, 0, 1)), 3 * 4 + 1, rows=2))
    assert shown == ["████        ", "████    ▁▁▁▁", "0       2  3"]
    shown = text(histogram_lines(Histogram((10_000, 20_000), (1,)), 40, rows=1))
    assert shown == ["████", "10,000 20,000"]


def test_a_histogram_of_nothing_is_no_line() -> None:
    assert histogram_lines(Histogram((), ()), 40) == []
    assert histogram_lines(Histogram((0, 1), (0,)), 40) == []
