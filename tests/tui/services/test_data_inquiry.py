"""What is asked when, and which answers still count: those that come late, out of order or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from core.config.drafts import set_value
from tui.services.data_draft import Step, add, new_form
from tui.services.data_inquiry import DataInquiry
from tui.services.data_questions import DataAnswered, DataQuestions, DataRefused
from tui.services.data_state import DataState

ROWS = [{"kind": "document", "text": f"row {number}", "place": f"a.txt:{number}"} for number in range(4)]
TOKENS = [{"id": 1, "text": "a", "loss": True, "special": False}]


class Asked:
    """Stands where the helper's questions go; the test answers them when it wants to."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, int]] = []

    def ask(self, topic: str, question: Mapping[str, Any]) -> int:
        self.questions.append((topic, len(self.questions) + 1))
        return len(self.questions)

    def cancel(self) -> None:
        pass

    def topics(self) -> list[str]:
        return [topic.split()[0] for topic, _ in self.questions]

    def newest(self, topic: str) -> int:
        return next(key for name, key in reversed(self.questions) if name.split()[0] == topic)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def inquiry(asked: Asked, tmp_path: Path) -> DataInquiry:
    """A preparation of four rows that was tried."""
    (tmp_path / "a.txt").write_text("a\nb\nc\nd\n")
    form = new_form(str(tmp_path / "a.txt"))
    add(form, Step("add_filter"), {"kind": "length"})
    made = DataInquiry(DataState(), cast("DataQuestions", asked))
    made.begin(form, is_new=False)
    answer(made, asked, "preview", {"start": 0, "rows": ROWS, "total": 4})
    answer(made, asked, "trial", {"documents": 4, "kept": 4, "filters": []})
    return made


def answer(inquiry: DataInquiry, asked: Asked, topic: str, result: dict[str, Any], key: int | None = None) -> bool:
    return inquiry.take(DataAnswered(topic, key or asked.newest(topic), result, 0.0))


def put(inquiry: DataInquiry, *place: str | int, value: int | str) -> None:
    form = inquiry.state.form
    assert form is not None
    form.change(set_value(form.draft, place, value))
    inquiry.draft_changed()


def test_tokens_by_an_older_tokenizer_are_not_taken(inquiry: DataInquiry, asked: Asked) -> None:
    inquiry.state.view = "tokens"
    inquiry.look_at_row()
    late = asked.newest("tokens")
    inquiry.state.view = "text"
    put(inquiry, "data", "tokenizer", "vocabulary_size", value=8192)
    assert not answer(inquiry, asked, "tokens", {"row": 0, "tokens": TOKENS}, late)
    assert inquiry.state.tokens == {}
    assert "tokens" not in inquiry.state.waiting
    inquiry.state.view = "tokens"
    inquiry.look_at_row()
    assert answer(inquiry, asked, "tokens", {"row": 0, "tokens": TOKENS})
    assert list(inquiry.state.tokens) == [0]


def test_a_row_without_tokens_does_not_stand_before_the_others(inquiry: DataInquiry, asked: Asked) -> None:
    inquiry.state.view = "tokens"
    inquiry.look_at_row()
    inquiry.take(DataRefused("tokens", asked.newest("tokens"), "the answer of this row is cut", ""))
    inquiry.look_at_row()
    assert asked.topics().count("tokens") == 1
    inquiry.state.move_row(1)
    inquiry.look_at_row()
    assert asked.topics().count("tokens") == 2


def test_all_is_asked_again_once_a_path_that_was_gone_is_back(
    inquiry: DataInquiry, asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    put(inquiry, "data", "filters", 0, "min_characters", value=7)
    assert "there is no" in inquiry.state.refusals["preview"].message
    (tmp_path / "b.txt").rename(tmp_path / "a.txt")
    put(inquiry, "data", "filters", 0, "min_characters", value=8)
    assert {"preview", "trial"} <= inquiry.state.waiting
    assert not {"preview", "trial"} & set(inquiry.state.refusals)


def test_figures_that_come_after_a_wrong_value_are_old(inquiry: DataInquiry, asked: Asked) -> None:
    put(inquiry, "data", "filters", 0, "min_characters", value=7)
    put(inquiry, "data", "filters", 0, "min_characters", value=-1)
    answer(inquiry, asked, "trial", {"documents": 4, "kept": 3, "filters": []})
    assert inquiry.state.is_stale
    put(inquiry, "data", "filters", 0, "min_characters", value=7)
    assert not inquiry.state.is_stale


def test_rows_that_come_out_of_order_do_not_double(inquiry: DataInquiry, asked: Asked) -> None:
    first = asked.newest("preview")
    inquiry.again()
    second = asked.newest("preview")
    assert not answer(inquiry, asked, "preview", {"start": 0, "rows": ROWS[:1], "total": 1}, first)
    assert answer(inquiry, asked, "preview", {"start": 0, "rows": ROWS, "total": 4}, second)
    assert not answer(inquiry, asked, "preview", {"start": 4, "rows": ROWS, "total": 8}, first)
    assert len(inquiry.state.preview) == 4
