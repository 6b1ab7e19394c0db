from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from core.config.filters import PerplexityFilter
from core.config.model import ScratchModel
from core.data.ngram_perplexity import NgramScorer
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import NumericError, UsageError
from core.evaluation.perplexity import CausalScorer, Likelihoods, first_tokens, model_folder, scorer_for
from core.model.load import Vocabulary, build_model
from core.model.reading import Reading
from core.run.directory import Home

WORDS = ["<unk>", "<s>", "</s>", "a", "b", "c", *(f"w{number}" for number in range(34))]
TEXTS = ["a b c", "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10", "", "b", "c c c c a w33 unknown", " ".join(["w7", "a"] * 12)]


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model with a tokenizer of whole words, after `change` was done to it."""

    def make(
        change: Callable[[Any], None] = lambda model: None, *, begin: bool = False, name: str = "model", **numbers: Any
    ) -> Path:
        values = {"architecture": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "context_length": 64, **numbers}
        scratch = ScratchModel.model_validate({"kind": "scratch", **values})
        model = build_model(scratch, folder=None, vocabulary=Vocabulary(len(WORDS), 2), seed=3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4)  # so that probabilities are far from even
            change(model)
        folder = tmp_path / name
        model.save_pretrained(folder)
        write_tokenizer(folder, begin=begin)
        return folder

    return make


def write_tokenizer(folder: Path, *, begin: bool) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>", "add_bos_token": begin}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))


def _ids(text: str) -> list[int]:
    return [WORDS.index(word) if word in WORDS else 0 for word in text.split()]


def test_each_token_counts_the_same() -> None:
    both = Likelihoods(nats=np.array([10.0, 2.0]), tokens=np.array([10, 1]))
    assert both.perplexity == pytest.approx(math.exp(12 / 11))
    assert both.perplexity == pytest.approx(2.977, abs=5e-4)  # and not 5.05, the mean; not 4.48, exp of the mean loss
    assert both.perplexities == pytest.approx([math.e, math.exp(2)])


def test_nothing_scored_is_no_number_and_too_much_is_infinite() -> None:
    edges = Likelihoods(nats=np.array([0.0, 1e6]), tokens=np.array([0, 1]))
    assert np.isnan(edges.perplexities[0])
    assert edges.perplexities[1] == np.inf
    assert edges.perplexity == np.inf
    assert math.isnan(Likelihoods(np.zeros(0), np.zeros(0, dtype=np.int64)).perplexity)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_values_are_those_of_transformers_loss(save: Callable[..., Path], architecture: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = save(architecture=architecture)
    scores = CausalScorer(folder).likelihoods(TEXTS)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for text, nats, tokens in zip(TEXTS, scores.nats, scores.tokens, strict=True):
        ids = torch.tensor([_ids(text)])
        assert tokens == max(0, ids.shape[1] - 1)
        if tokens:
            mean = model(input_ids=ids, labels=ids).loss.item()
            assert nats / tokens == pytest.approx(mean, rel=2e-6)
    assert np.isnan(scores.perplexities[[2, 3]]).all()  # nothing, and one token alone


def test_with_a_begin_token_all_tokens_of_the_text_are_scored(save: Callable[..., Path]) -> None:
    scores = CausalScorer(save(begin=True)).likelihoods(TEXTS)
    assert list(scores.tokens) == [len(text.split()) for text in TEXTS]


def test_batch_size_and_order_do_not_matter(save: Callable[..., Path]) -> None:
    folder = save()
    texts = [" ".join(np.random.default_rng(n).choice(WORDS[3:], n + 2)) for n in range(40)]
    together = CausalScorer(folder, batch_tokens=100_000)(texts)
    for size in (2, 37):
        assert CausalScorer(folder, batch_tokens=size)(texts) == pytest.approx(together, rel=1e-6)
    order = np.random.default_rng(1).permutation(40)
    shuffled = CausalScorer(folder, batch_tokens=37)([texts[number] for number in order])
    assert shuffled == pytest.approx(together[order], rel=1e-6)
    assert len(set(together.round(3))) > 30


@pytest.mark.parametrize(
    "reading",
    [
        Reading(packing="dense", head="linear", attention="sdpa", chunk=7),
        Reading(packing="unpacked", head="stub", attention="eager", chunk=7),
        Reading(packing="unpacked", head="keep", attention="sdpa", chunk=7),
    ],
)
def test_however_a_model_reads_the_values_are_the_same(save: Callable[..., Path], reading: Reading) -> None:
    scorer = CausalScorer(save())
    texts = [text for text in TEXTS if len(text.split()) > 1]
    expected = scorer(texts)
    scorer._model.set_attn_implementation(reading.attention)
    scorer._reading = reading
    assert scorer(texts) == pytest.approx(expected, rel=1e-5)


def test_a_stop_is_heard_between_batches(save: Callable[..., Path]) -> None:
    scorer = CausalScorer(save(), batch_tokens=2)
    heard = 0

    def between() -> None:
        nonlocal heard
        heard += 1
        if heard == 3:
            raise KeyboardInterrupt

    scorer.between = between
    with pytest.raises(KeyboardInterrupt):
        scorer(TEXTS * 9)


def test_long_texts_are_cut(save: Callable[..., Path]) -> None:
    folder = save()
    long = " ".join(np.random.default_rng(0).choice(WORDS[3:], 50))
    cut = CausalScorer(folder, max_tokens=10).likelihoods([long])
    assert list(cut.tokens) == [9]
    start = CausalScorer(folder).likelihoods([" ".join(long.split()[:10])])
    assert cut.nats == pytest.approx(start.nats, rel=1e-6)
    assert list(CausalScorer(folder, max_tokens=1000).likelihoods([long * 10]).tokens) == [63]  # the model's positions


def test_of_long_texts_as_much_is_read_as_needed(save: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(save())
    texts = [" a" * 10_000, "b" + " " * 10_000 + "a c", " " * 5000, ("w1 " + " " * 200) * 100]
    assert list(first_tokens(tokenizer, texts, 5)) == [[3] * 5, [4, 3, 5], [], [WORDS.index("w1")] * 5]


def test_kenlm_and_a_causal_model_of_the_same_probabilities_agree(save: Callable[..., Path], tmp_path: Path) -> None:
    # A model whose hidden state is always the first unit vector says the same at every place: its head's first column.
    pytest.importorskip("kenlm", reason="kenlm is not installed: pip install 'footplate[kenlm]'")
    probabilities = np.full(len(WORDS), (1 - 0.25 * 3) / (len(WORDS) - 3))
    probabilities[[WORDS.index(word) for word in ("</s>", "a", "b")]] = 0.25

    def always(model: Any) -> None:
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.zero_()
        model.transformer.ln_f.bias[0] = 1
        model.lm_head.weight[:, 0] = torch.from_numpy(np.log(probabilities)).float()

    folder = save(always, architecture="gpt2", tie_embeddings=False, begin=True)
    lines = [f"{math.log10(p):.9f}\t{word}\t0" for word, p in zip(WORDS, probabilities, strict=True)]
    head = ["\\data\\", f"ngram 1={len(lines)}", "ngram 2=1", "", "\\1-grams:"]
    pair = f"{math.log10(0.25):.9f}\ta b"  # KenLM reads no model of single words alone
    arpa = tmp_path / "unigram.arpa"
    arpa.write_text("\n".join([*head, *lines, "", "\\2-grams:", pair, "", "\\end\\", ""]))
    # Every word and the end have probability 1/4: perplexity 4 on both scales.
    assert CausalScorer(folder)(["a b b a"]) == pytest.approx([4.0], rel=1e-5)
    assert NgramScorer(arpa).perplexity("a b b a") == pytest.approx(4.0, rel=1e-5)
    # With others the causal model scores no end: 10^(-log10 p / words) of the words alone.
    expected = (0.25**2 * probabilities[WORDS.index("c")]) ** (-1 / 3)
    assert CausalScorer(folder)(["a b c"]) == pytest.approx([expected], rel=1e-5)


def test_a_model_that_gives_no_numbers_is_said(save: Callable[..., Path]) -> None:
    scorer = CausalScorer(save())
    with torch.no_grad():
        scorer._model.model.norm.weight[0] = math.nan
    with pytest.raises(NumericError, match="text number 1 of a batch"):
        scorer(["", "a b c"])


def test_a_tokenizer_of_another_model_is_refused(save: Callable[..., Path]) -> None:
    folder = save()
    text = json.loads((folder / "tokenizer.json").read_text())
    text["model"]["vocab"]["more"] = 99
    (folder / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(UsageError, match="has 100 tokens, the model embeds 40"):
        CausalScorer(folder)


def test_a_model_is_named_as_folder_or_run(save: Callable[..., Path], home: Home) -> None:
    folder = save()
    assert model_folder(str(folder), home) == folder
    run = home.runs / "first-run"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("phase: pretrain\n")
    with pytest.raises(UsageError, match="the run first-run has made no model"):
        model_folder("first-run", home)
    folder.rename(run / "model")
    assert model_folder("first-r", home) == run / "model"
    assert model_folder(str(run), home) == run / "model"
    scorer = scorer_for(PerplexityFilter(kind="perplexity", model="first-run", max_tokens=3), home)
    assert list(scorer.likelihoods(["a b c a b"]).tokens) == [2]


@pytest.mark.parametrize("name", ["no-such-run", "/nowhere/at/all", "smollm2", "~"])
def test_names_of_nothing_are_refused(name: str, home: Home) -> None:
    with pytest.raises(UsageError):
        model_folder(name, home)
