from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from core.run.events import Series
from core.training.policy_setup import Method, _series


@pytest.mark.parametrize("has_reference", [True, False])
def test_what_says_most_is_declared_first_and_no_distance_from_nothing(has_reference: bool) -> None:
    own = Series(name="train/own", title="own", panel="own")
    call: Any = None
    method = Method(each=1, epochs=1, stop_kl=None, objective=call, learn=call, memory={}, series=(own,))
    actors: Any = SimpleNamespace(reference=object() if has_reference else None)
    names = [one.name for one in _series(method, actors)]
    first = ["train/reward", "train/kl", "eval/reward", "train/ended", "train/loss", "train/tokens_per_second"]
    assert names[: len(first) - (not has_reference)] == [one for one in first if has_reference or one != "train/kl"]
    assert ("train/kl" in names) == has_reference
    assert names[-1] == "train/own"
