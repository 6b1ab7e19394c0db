"""What one kind of training costs on this machine: a few steps on the largest batch that a preset has.

Ask it of a process that was asked nothing before: the peak of the memory belongs to the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import numpy as np
from pydantic import Field

from core.config.data import PreparedData, TrainedTokenizer
from core.config.measurable import check_measurable
from core.config.phases import PretrainConfig, SFTConfig
from core.config.presets import parse_config
from core.data.fingerprints import cache_key, with_known_tokenizer
from core.data.manifest import Manifest, read_manifest
from core.data.prepare import is_prepared
from core.data.tokens.added_tokens import with_added_tokens
from core.data.tokens.shards import TokenShards
from core.errors import FootplateError, OutOfMemoryError, UsageError, is_out_of_memory
from core.queries.model import Say
from core.queries.question import LONGEST_LINE, Question
from core.queries.tokens import find_tokenizer, load_once, tokens_to_add
from core.run.directory import Home
from core.run.runs import find_run

if TYPE_CHECKING:
    from core.training.batches import Row, Rows

_LOOKED_AT = 4096
"""Sequences among which the largest are looked for."""


class MeasureQuestion(Question):
    """A whole training configuration as YAML, its adapter included, and how many steps to time after a first one.

    Answer: kind, tokens_per_second, step_seconds, first_step_seconds, step_tokens, steps, micro_batches (of those
    measured) of accumulation, peak_memory_bytes, weight_bytes, optimizer_bytes, parameters, trainable_parameters,
    optimizer, device, dtype, threads, packing, data (which tokens they were, in words), is_real (those of the preset's
    own data).
    """

    config: str = Field(min_length=1, max_length=LONGEST_LINE)
    steps: int = Field(default=3, ge=1, le=10_000)


class Material(NamedTuple):
    """Rows of a step with the manifest of their tokens, and in words which tokens these are."""

    rows: Sequence[Row]
    manifest: Manifest
    words: str
    is_real: bool


def measure(question: MeasureQuestion, say: Say, home: Home) -> dict[str, Any]:
    """Return what a few steps of a training took.

    Raises: UsageError where the configuration trains nothing or its model is not there; OutOfMemoryError; what training
    raises.
    """
    config = parse_config(question.config)
    check_measurable(config.phase)
    assert isinstance(config, PretrainConfig | SFTConfig)
    try:
        return _measured(config, question.steps, say, home)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "there is not memory enough for a step of this",
            hint="Lower batch.micro_size or batch.sequence_length, or set model.gradient_checkpointing: true.",
        ) from error


def _measured(config: PretrainConfig | SFTConfig, steps: int, say: Say, home: Home) -> dict[str, Any]:
    from core.model.load import resolve_model
    from core.training.measurement import Steps, measure_steps, micro_batches_of

    def tell(stage: str, done: float, total: float | None, unit: str = "") -> None:
        say({"type": "progress", "stage": stage, "done": done, "total": total, "unit": unit})

    folder = resolve_model(config.model, home, progress=tell)
    count = micro_batches_of(config)
    material = _material(config, folder, home, count=count * config.batch.micro_size)
    found = measure_steps(config, Steps(folder, material.manifest, material.rows, steps), tell)
    return {
        "kind": config.adapter.kind,
        **found,
        "micro_batches": count,
        "accumulation": config.batch.size // config.batch.micro_size,
        "data": material.words,
        "is_real": material.is_real,
    }


def _material(config: PretrainConfig | SFTConfig, model: Path | None, home: Home, *, count: int) -> Material:
    """Return the largest sequences of the preset's data where that is prepared, else random tokens."""
    folder, why_not = _prepared(config, model, home)
    if folder is not None:
        rows = _largest(_rows(config, folder), count)
        return Material(rows, read_manifest(folder), "the largest sequences of its own data", is_real=True)
    manifest = _unprepared(config, home)
    words = f"random tokens, as {why_not}: one document a sequence, every token counts"
    return Material(_random_rows(config, manifest.vocabulary_size, count), manifest, words, is_real=False)


def _prepared(config: PretrainConfig | SFTConfig, model: Path | None, home: Home) -> tuple[Path | None, str]:
    """Return the folder of the preset's prepared data, or None and why there is none."""
    if isinstance(config.data, PreparedData):
        run = find_run(home, config.data.run)
        if not is_prepared(run.data):
            raise UsageError(f"data.run: {run.name} has no prepared data", hint="It must be a finished prepare run.")
        return run.data, ""
    try:
        key = cache_key(with_known_tokenizer(config.data, home.fetched), config.seed, model)
    except FootplateError as error:
        return None, f"its data cannot be read ({error.message})"
    folder = home.cache / "data" / key
    return (folder, "") if is_prepared(folder) else (None, "its data has not been prepared yet")


def _rows(config: PretrainConfig | SFTConfig, folder: Path) -> Rows[Row]:
    from core.training.batches import InstructionRows, TextRows

    shards, length = TokenShards(folder, "train"), config.batch.sequence_length
    match config:
        case PretrainConfig():
            return TextRows(shards, length=length, across=config.data.attend_across_documents)
        case SFTConfig():
            return InstructionRows(shards, length=length, pack=config.data.pack)
        case _:
            assert_never(config)


def _largest(rows: Rows[Row], count: int) -> list[Row]:
    """Return the sequences with the most tokens, and among those with the most targets; again where they are few.

    Raises: UsageError without any.
    """
    if not len(rows):
        raise UsageError("the training split has no sequence", hint="Give more data, or a smaller held_out_fraction.")
    numbers = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).astype(int))
    looked_at = [rows[int(number)] for number in numbers]
    looked_at.sort(key=lambda row: (len(row.ids), int((row.targets >= 0).sum())), reverse=True)
    return [looked_at[number % len(looked_at)] for number in range(count)]


def _unprepared(config: PretrainConfig | SFTConfig, home: Home) -> Manifest:
    """Return a manifest that says of the tokenizer what the model needs, and that there is no data."""
    assert not isinstance(config.data, PreparedData)
    added: list[str] = []
    if isinstance(config.data.tokenizer, TrainedTokenizer):  # it may come out smaller, never larger
        size, end = config.data.tokenizer.vocabulary_size, 0
    else:
        place, _ = find_tokenizer(config.data, home, model=config.model)
        tokenizer, added = with_added_tokens(load_once(place), tokens_to_add(config.data))
        size, end = tokenizer.vocabulary_size, tokenizer.end_token_id
    return Manifest(
        kind="text", digest="", made_from="", vocabulary_size=size, added_tokens=added, end_token_id=end,
        stop_token_ids=[end], template="none", sources=[], dropped={}, tokenizer=[], splits={},
    )  # fmt: skip


def _random_rows(config: PretrainConfig | SFTConfig, vocabulary_size: int, count: int) -> list[Row]:
    from core.training.batches import Row

    generator, length = np.random.default_rng(config.seed), config.batch.sequence_length
    streams = [generator.integers(vocabulary_size, size=length + 1, dtype=np.int64) for _ in range(count)]
    return [Row(stream[:-1], stream[1:], (length,)) for stream in streams]
