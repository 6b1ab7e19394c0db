from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.ngram_perplexity import NgramScorer, threshold
from core.errors import DataError, UsageError

UNIGRAM = {"<unk>": 0.05, "<s>": 0.0, "</s>": 0.25, "a": 0.4, "b": 0.2, "c": 0.1}


@pytest.fixture
def unigram(tmp_path: Path) -> Path:
    return written(tmp_path / "unigram.arpa", UNIGRAM)


def written(path: Path, probabilities: dict[str, float]) -> Path:
    # KenLM reads no model of single words alone: the one pair says what "c" says by itself.
    lines = [f"{math.log10(p) if p else -99:.9f}\t{word}\t0" for word, p in probabilities.items()]
    pair = f"{math.log10(probabilities['c']):.9f}\tc c"
    head = ["\\data\\", f"ngram 1={len(lines)}", "ngram 2=1", "", "\\1-grams:"]
    path.write_text("\n".join([*head, *lines, "", "\\2-grams:", pair, "", "\\end\\", ""]))
    return path


@pytest.fixture
def scorer(unigram: Path) -> NgramScorer:
    pytest.importorskip("kenlm", reason="kenlm is not installed: pip install 'footplate[kenlm]'")
    return NgramScorer(unigram)


def test_the_value_is_that_of_words_and_the_end(scorer: NgramScorer) -> None:
    # 0.4 * 0.2 * 0.4 * 0.25 = 0.008 over three words and the end: 0.008^(-1/4)
    assert scorer.perplexity("a b a") == pytest.approx(0.008**-0.25, rel=1e-5)
    assert scorer.perplexity("never") == pytest.approx((0.05 * 0.25) ** -0.5, rel=1e-5)


def test_powers_of_ten_and_of_e_give_the_same_value(scorer: NgramScorer) -> None:
    nats = -sum(math.log(UNIGRAM[word]) for word in ("c", "c", "b", "</s>"))
    assert scorer.perplexity("c c b") == pytest.approx(math.exp(nats / 4), rel=1e-5)


def test_texts_are_scored_one_by_one(scorer: NgramScorer) -> None:
    scores = scorer(["a b a", "", "never"])
    assert scores.dtype == np.float64
    assert scores[[0, 2]] == pytest.approx([scorer.perplexity("a b a"), scorer.perplexity("never")])
    assert np.isnan(scores[1])


def test_the_value_is_kenlms_own(scorer: NgramScorer, unigram: Path) -> None:
    import kenlm

    model = kenlm.Model(str(unigram))
    for text in ("a", "a b c", "a unknown  b\nc\tc"):
        assert scorer.perplexity(text) == pytest.approx(model.perplexity(text), rel=1e-9)


def test_any_text_has_a_score_or_none(scorer: NgramScorer) -> None:
    assert math.isnan(scorer.perplexity(""))
    assert math.isnan(scorer.perplexity(" \n\t"))
    for hostile in ("\x00", "a\x00b", "\ud800", "<s> </s> <unk>", "a" * 10**6, "\u3000"):
        assert scorer.perplexity(hostile) > 1


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch, unigram: Path) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(UsageError) as caught:
        NgramScorer(unigram)
    assert caught.value.hint == "pip install 'footplate[kenlm]'"


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="kenlm is not installed: pip install 'footplate[kenlm]'")
    with pytest.raises(UsageError, match="there is no file"):
        NgramScorer(tmp_path / "none.arpa")
    for number, content in enumerate((b"", b"hello\n", b"\\data\\\nngram 1=2\n", b"mmap lm http://kheafield.com/code")):
        path = tmp_path / f"{number}.arpa"
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{number}.arpa: expected a KenLM model, found"):
            NgramScorer(path)


def test_a_percentile_keeps_that_share() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert threshold(scores, maximum=None, percentile=60) == 3.0
    assert threshold(scores, maximum=None, percentile=61) == 4.0
    assert threshold(scores, maximum=None, percentile=100) == 5.0
    assert threshold(scores, maximum=None, percentile=1e-9) == 1.0
    assert threshold(np.arange(1.0, 1001.0), maximum=None, percentile=0.1) == 1.0
    assert threshold(np.arange(1.0, 101.0), maximum=None, percentile=7) == 7.0  # 7 / 100 * 100 is more than 7 in floats


def test_scores_that_are_none_do_not_count() -> None:
    scores = np.array([np.nan, 1.0, np.nan, 2.0, np.inf, 3.0])
    assert threshold(scores, maximum=None, percentile=50) == 2.0
    assert threshold(scores, maximum=None, percentile=100) == np.inf
    assert threshold(np.array([np.nan]), maximum=None, percentile=50) == np.inf
    assert threshold(np.array([]), maximum=7.0, percentile=50) == 7.0


def test_the_stricter_limit_holds() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    assert threshold(scores, maximum=2.5, percentile=None) == 2.5
    assert threshold(scores, maximum=2.5, percentile=100) == 2.5
    assert threshold(scores, maximum=2.5, percentile=25) == 1.0
    assert threshold(scores, maximum=None, percentile=None) == np.inf


@given(
    st.lists(st.floats(min_value=0, max_value=1e300), min_size=1, max_size=50),
    st.integers(1, 100),
    st.integers(1, 5),
)
def test_the_quantile_is_that_of_sorting(values: list[float], percentile: int, parts: int) -> None:
    scores = np.array_split(np.array(values), parts)
    expected = sorted(values)[-(-percentile * len(values) // 100) - 1]
    assert threshold(scores, maximum=None, percentile=percentile) == expected
