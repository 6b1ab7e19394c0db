"""A tokenizer trained on the training split of what was cleaned."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from core.config.data import TrainedTokenizer
from core.data.cleaning.passes import folder_of, passes_of
from core.data.cleaning.plan import Plan, read_plan
from core.data.cleaning.unit_files import UnitFiles
from core.data.formats import loaded, turns_of_all
from core.data.manifest import TOKENIZER
from core.data.tokens.alpaca_template import alpaca_prompt
from core.data.tokens.tokenizer_files import train_tokenizer


def train_on_split(work: Path, number: int, unit: int, heard: Callable[[int], None]) -> None:
    """Train the tokenizer of the plan of a work folder into the folder around it, whole or not at all.

    `heard` hears how many bytes were read; `number` and `unit` are not used: this is work for `pool.apart`.
    Raises: DataError where the text does not yield so many tokens; OSError.
    """
    plan = read_plan(work)
    config = plan.data.tokenizer
    assert isinstance(config, TrainedTokenizer)
    partial = work.parent / f".{TOKENIZER}"
    shutil.rmtree(partial, ignore_errors=True)
    train_tokenizer(
        _texts(plan, work, config.max_bytes, heard),
        vocabulary_size=config.vocabulary_size,
        special_tokens=config.special_tokens,
        folder=partial,
    )
    partial.rename(work.parent / TOKENIZER)


def _texts(plan: Plan, work: Path, max_bytes: int, heard: Callable[[int], None]) -> Iterator[str]:
    folder = folder_of(work, len(passes_of(plan.data.filters)) - 1)
    is_text = plan.data.kind == "text"
    done = 0
    for number in range(len(plan.units)):
        for item in UnitFiles(folder, number).items():
            if item.split != "train":
                continue
            if done >= max_bytes:
                return
            text = item.payload if is_text else _alpaca_text(item.payload)
            yield text
            done += len(text.encode())
            heard(done)


def _alpaca_text(payload: str) -> str:
    question, *answers = [turn for turn in turns_of_all(loaded(payload)) if turn.role != "system"]
    return alpaca_prompt(question.content, question.input) + "\n\n".join(turn.content for turn in answers)
