"""Documents cut in three: no character lost, the same everywhere, as the papers lay them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.code import FillInTheMiddle
from core.config.data import TextData
from core.data.prepare import prepare
from core.data.progress import Work, silent
from core.data.tokens.added_tokens import add_tokens
from core.data.tokens.fill_in_the_middle import document_parts, gaps_tokens
from core.data.tokens.shards import TokenShards
from core.data.tokens.tokenize import encode_parts
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

PREFIX, SUFFIX, MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
ALWAYS = FillInTheMiddle(rate=1.0)
PREFIX_FIRST = FillInTheMiddle(rate=1.0, suffix_first_rate=0.0)
SUFFIX_FIRST = FillInTheMiddle(rate=1.0, suffix_first_rate=1.0)
TEXT = "def add(a, b):\n\treturn a + b  # Zwölf 日本\n"
WORK = Work(silent, lambda: False)


@given(text=st.text(st.characters(exclude_categories=["Cs"])), seed=st.integers(0, 2**32 - 1), rate=st.floats(0.01, 1))
def test_the_parts_hold_every_character_of_the_document_once(text: str, seed: int, rate: float) -> None:
    parts = document_parts(text, FillInTheMiddle(rate=rate), seed=seed)
    placed = sorted((part for part in parts if part.start is not None), key=lambda part: part.start or 0)
    at = 0
    for part in placed:
        assert part.start == at
        at += len(part.text)
    assert "".join(part.text for part in placed) == text
    assert [part.text for part in parts if part.start is None] in ([], [PREFIX, SUFFIX, MIDDLE])


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (PREFIX_FIRST, [PREFIX, "prefix", SUFFIX, "suffix", MIDDLE, "middle"]),
        (SUFFIX_FIRST, [PREFIX, SUFFIX, "suffix", MIDDLE, "prefix", "middle"]),
    ],
)
def test_the_middle_comes_last_in_the_order_of_the_paper(config: FillInTheMiddle, order: list[str]) -> None:
    seen = 0
    for seed in range(20):
        parts = document_parts(TEXT, config, seed=seed)
        texts = sorted((part for part in parts if part.start is not None), key=lambda part: part.start or 0)
        if len(texts) < 3:  # a cut at an end of the text, or both at one place
            continue
        seen += 1
        names = {part.text: name for part, name in zip(texts, ("prefix", "middle", "suffix"), strict=True)}
        assert [part.text if part.start is None else names[part.text] for part in parts] == order
    assert seen > 10


def test_rates_are_shares_of_the_documents() -> None:
    texts = [f"document {number} " * 20 for number in range(4000)]
    cut = [document_parts(text, FillInTheMiddle(rate=0.3, suffix_first_rate=0.2), seed=5) for text in texts]
    share = sum(len(parts) > 1 for parts in cut) / len(cut)
    first = [parts[1].text == SUFFIX and parts[2].text != MIDDLE for parts in cut if len(parts) > 1]
    assert share == pytest.approx(0.3, abs=0.03)
    assert sum(first) / len(first) == pytest.approx(0.2, abs=0.05)
    assert [len(document_parts(text, FillInTheMiddle(), seed=5)) for text in texts[:3]] == [1, 1, 1]


def test_cuts_are_spread_over_the_whole_text() -> None:
    text = "x" * 99
    starts = [
        part.start / 100
        for seed in range(2000)
        for part in document_parts(text, PREFIX_FIRST, seed=seed)
        if part.start  # where the middle and the suffix begin, unless at 0
    ]
    # The mean of all cuts is the middle of the text, the lower and the upper one at a third and two thirds.
    assert sum(starts) / len(starts) == pytest.approx(0.5, abs=0.02)
    assert min(starts) < 0.03
    assert max(starts) > 0.95


def test_seed_and_text_alone_decide_in_every_process() -> None:
    code = (
        "from core.config.code import FillInTheMiddle\n"
        "from core.data.tokens.fill_in_the_middle import document_parts\n"
        f"print(ascii([(p.text, p.start) for p in document_parts({TEXT!r}, FillInTheMiddle(rate=1.0), seed=3)]))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[4]), "PYTHONHASHSEED": "5"}
    found = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    here = [(part.text, part.start) for part in document_parts(TEXT, ALWAYS, seed=3)]
    assert found.stdout.strip() == ascii(here)
    assert here != [(part.text, part.start) for part in document_parts(TEXT, ALWAYS, seed=4)]


def test_tokens_of_the_parts_are_the_text_again_and_its_own_tokens_stay_text(
    byte_level: Callable[..., Path], sentence_piece: Callable[..., Path]
) -> None:
    text = "add(a, b) <|fim_middle|> 'x'\n"
    for make in (byte_level, sentence_piece):
        folder = make()
        add_tokens(folder, [PREFIX, SUFFIX, MIDDLE])
        tokenizer = load_tokenizer(folder)
        numbers = {name: tokenizer.backend.token_to_id(name) for name in (PREFIX, SUFFIX, MIDDLE)}
        for config, seed in itertools.product((PREFIX_FIRST, SUFFIX_FIRST), range(8)):  # some do not cut the token
            parts = document_parts(text, config, seed=seed)
            (ids,) = encode_parts(tokenizer, [parts])
            control = [number for number in ids if number in numbers.values()]
            order = [numbers[part.text] for part in parts if part.start is None]
            assert control == order
            assert ids[-1] == tokenizer.end_token_id
            assert list(ids[: len(tokenizer.prefix_ids)]) == list(tokenizer.prefix_ids)
            words = "".join(part.text for part in parts if part.start is not None)
            decoded = tokenizer.backend.decode(ids.tolist(), skip_special_tokens=True)
            # The decoder of a tokenizer with metaspaces takes a space away at the start.
            assert decoded.removeprefix(" ") == words.removeprefix(" ")


def _data(folder: Path, text: str, **fields: object) -> TextData:
    source = folder / "documents.txt"
    source.write_text(text)
    return TextData.model_validate(
        {
            "kind": "text",
            "sources": [{"kind": "files", "path": str(source), "document": "line"}],
            "tokenizer": {"kind": "train", "vocabulary_size": 300, "special_tokens": [PREFIX, SUFFIX, MIDDLE]},
            "held_out_fraction": 0.0,
            **fields,
        }
    )


def test_prepared_documents_are_cut(tmp_path: Path) -> None:
    lines = [f"print({number} + {number})  # the line number {number}" for number in range(300)]
    data = _data(tmp_path, "\n".join(lines), fill_in_the_middle={"rate": 0.5})
    prepared = prepare(data, tmp_path / "made", seed=7, model_tokenizer=None, work=WORK)
    tokenizer = load_tokenizer(prepared.tokenizer).backend
    shards = TokenShards(prepared.folder, "train")
    cut = 0
    for number, line in enumerate(lines):
        parts = document_parts(line, data.fill_in_the_middle, seed=7)
        text = tokenizer.decode(shards.document(number)[0].tolist(), skip_special_tokens=False)
        assert text == "".join(part.text for part in parts) + "<|endoftext|>"
        cut += len(parts) > 1
    assert 100 < cut < 200


def test_a_tokenizer_without_the_tokens_is_refused_before_anything_is_read(
    tmp_path: Path, byte_level: Callable[..., Path]
) -> None:
    tokenizer = {"kind": "load", "path": str(byte_level())}
    data = _data(tmp_path, "a\nb\n", tokenizer=tokenizer, fill_in_the_middle={"rate": 0.5})
    with pytest.raises(DataError, match=r"prefix_token: expected a special token.*does not have") as caught:
        prepare(data, tmp_path / "made", seed=7, model_tokenizer=None, work=WORK)
    assert caught.value.hint is not None
    assert "added_tokens" in caught.value.hint
    added = {**tokenizer, "added_tokens": list(gaps_tokens(FillInTheMiddle()).values())}
    made = prepare(_data(tmp_path, "a\nb\n", tokenizer=added, fill_in_the_middle={"rate": 0.5}), tmp_path / "made",
                   seed=7, model_tokenizer=None, work=WORK)  # fmt: skip
    assert made.manifest.added_tokens == [PREFIX, SUFFIX, MIDDLE]
