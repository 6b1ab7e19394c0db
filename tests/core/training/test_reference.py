"""The reference's log-probabilities: each at its answer, whole in the cache or computed again, left when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import NumericError
from core.model.roles import Role
from core.run.directory import RunDirectory
from core.training.batches import Deal
from core.training.pairs import PairRows, References
from core.training.reference import ReferenceModel, reference_log_probs, references_digest
from tests.core.training.preference_models import JUDGED, LENGTH, PAIRS, READING, engine_of, known, tiny_model
from tests.core.training.preferences import PreferenceShards

ROWS = [JUDGED[1], PAIRS[0], PAIRS[1], JUDGED[0], PAIRS[2], JUDGED[2], PAIRS[3]]


@dataclass
class Heard:
    """A session that notes what it is told, and leaves after so many rows."""

    run: RunDirectory
    leaves_after: float = float("inf")
    rows: list[float] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    def progress(self, stage: str, done: float, total: float, unit: str) -> None:
        self.rows.append(done)

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def leaving(self) -> str | None:
        return "asked" if self.rows and self.rows[-1] >= self.leaves_after else None

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        yield


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(RunDirectory(tmp_path / "runs" / "one"))


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model().train()


def rows_of() -> PairRows:
    shards: Any = PreferenceShards(ROWS)
    return PairRows(shards, length=LENGTH, mismatched=True)


def asked(model: Any, heard: Any, *, micro_size: int = 3, pad_to: int | None = None) -> Any:
    role = Role("reference", model, READING)
    deal = Deal(micro_size, micro_size, seed=0, pad_to=pad_to)
    reference = ReferenceModel(engine_of(model), role, role, deal, {"x": 1})
    return reference_log_probs(reference, {"train": rows_of()}, heard)


def test_each_number_stands_at_its_answer(model: Any, heard: Heard) -> None:
    found = asked(model, heard)["train"]
    expected = known(rows_of(), model)
    np.testing.assert_allclose(found.answers, expected.answers, atol=1e-5)
    np.testing.assert_allclose(found.mismatched, expected.mismatched, atol=1e-5)
    assert np.isnan(found.answers[:, 1]).tolist() == [True, False, False, True, False, True, False]
    assert heard.rows == [3, 6, 7]
    assert model.training


def test_it_is_computed_once(model: Any, heard: Heard) -> None:
    first, again = asked(model, heard), asked(model, heard)
    assert heard.rows == [3, 6, 7]
    assert references_digest(first) == references_digest(again)
    other = References(first["train"].answers + 1, first["train"].mismatched)
    assert references_digest({"train": other}) != references_digest(first)


def test_what_is_damaged_is_computed_again(model: Any, heard: Heard) -> None:
    first = asked(model, heard)
    (path,) = (heard.run.home.cache / "references").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert references_digest(asked(model, heard)) == references_digest(first)
    assert [event.code for event in heard.events] == ["reference_damaged"]
    assert path.read_bytes() == whole


def test_a_run_that_leaves_keeps_nothing(model: Any, heard: Heard) -> None:
    heard.leaves_after = 6
    assert asked(model, heard) is None
    assert heard.rows == [3, 6]
    assert not (heard.run.home.cache / "references").exists()


def test_a_number_that_is_none_names_its_row(model: Any, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(float=lambda: torch.tensor([0.0, 0.0, float("nan"), 0.0, 0.0]))
    monkeypatch.setattr("core.training.reference.answer_log_probs", lambda *_: nothing)
    with pytest.raises(NumericError, match="is nan \\(row 1 of train\\)"):
        asked(model, heard)


def test_padding_changes_nothing(model: Any, heard: Heard, tmp_path: Path) -> None:
    other = Heard(RunDirectory(tmp_path / "other" / "runs" / "one"))
    padded = asked(model, other, micro_size=2, pad_to=200)["train"]
    np.testing.assert_allclose(padded.answers, asked(model, heard)["train"].answers, atol=1e-5)
