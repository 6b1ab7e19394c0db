from __future__ import annotations

import pytest

from core.config.lexers import lexer_name, similar_lexers
from core.config.loss import SyntaxWeights
from core.data.tokens.syntax import CLASSES


@pytest.mark.parametrize("wanted", ["python", "Python", "py", "PYTHON3"])
def test_a_lexer_has_names_and_aliases_in_any_case(wanted: str) -> None:
    assert lexer_name(wanted) == "Python"


def test_an_unknown_lexer_has_no_name_but_similar_ones() -> None:
    assert lexer_name("pyton") is None
    assert "python" in similar_lexers("pyton")
    assert similar_lexers("~~~~") == []


def test_every_class_has_a_weight_and_every_weight_a_class() -> None:
    assert set(CLASSES) == set(SyntaxWeights.model_fields)
