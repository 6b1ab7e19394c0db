"""The items of one unit as token ids: the last pass over the units.

In `tokens/00012/`, which is made whole or not at all, stand the shards of each split and `record.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.config.data import InstructionData, TextData
from core.data.cleaning.passes import folder_of, passes_of
from core.data.cleaning.plan import Plan, read_plan
from core.data.cleaning.unit_files import Item, UnitFiles
from core.data.construction import synchronise_entry, write_whole, writer_name
from core.data.formats import loaded
from core.data.manifest import SPLITS, TOKENIZER, Split, SplitRecord
from core.data.tally import RowError, Tally
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import Faults
from core.data.tokens.fill_in_the_middle import document_parts
from core.data.tokens.shards import ShardWriter, token_type
from core.data.tokens.templates import resolve_template
from core.data.tokens.tokenize import TextTokenizer, encode_documents, encode_parts
from core.data.tokens.tokenizer_files import load_tokenizer

_BATCH_CHARACTERS = 4 * 2**20
_BATCH_ITEMS = 2048
_ONE_SHARD = 2**62
TOKENS = "tokens"
"""The folder of the encoded units within a work folder."""

Encoded = tuple[NDArray[np.int64], NDArray[np.bool_] | None]


class EncodedUnit(BaseModel):
    """The content of record.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    splits: dict[Split, SplitRecord]
    refused: dict[str, object]
    """Items that could not be encoded, as a tally."""
    faults: dict[str, object]


@dataclass(frozen=True)
class UnitTokens:
    """The documents of one split of one unit. Shapes: tokens (n,), offsets (documents + 1,), supervised (n,)."""

    tokens: NDArray[np.uint16] | NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    supervised: NDArray[np.uint8] | None

    def document(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Return ids and marks of one document."""
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        marks = None if self.supervised is None else self.supervised[start:stop].astype(np.bool_)
        return self.tokens[start:stop].astype(np.int64), marks


def tokens_folder(work: Path, unit: int) -> Path:
    """Return where the tokens of a unit are."""
    return work / TOKENS / f"{unit:05d}"


def remove_unfinished(work: Path) -> None:
    """Remove what killed processes were encoding; nobody may be at work on it."""
    for path in (work / TOKENS).glob("[0-9]*.*"):
        shutil.rmtree(path, ignore_errors=True)


def encoded_unit(work: Path, unit: int) -> EncodedUnit:
    """Return the record of a unit that is encoded."""
    return EncodedUnit.model_validate_json((tokens_folder(work, unit) / "record.json").read_bytes())


def read_tokens(work: Path, unit: int, split: Split, vocabulary_size: int) -> UnitTokens | None:
    """Return the tokens of a split of a unit, memory-mapped; None where it has none."""
    base = tokens_folder(work, unit) / f"{split}-00000"
    if not base.with_suffix(".tokens").is_file():
        return None
    marks = base.with_suffix(".supervised")
    return UnitTokens(
        tokens=np.memmap(base.with_suffix(".tokens"), dtype=token_type(vocabulary_size), mode="r"),
        offsets=np.fromfile(base.with_suffix(".documents"), dtype="<u8"),
        supervised=np.memmap(marks, dtype=np.uint8, mode="r") if marks.is_file() else None,
    )


def encode_unit(work: Path, number: int, unit: int, heard: Callable[[int], None]) -> None:
    """Encode what the last pass left of a unit; nothing where that is done. `number` is not used.

    The tokenizer is that of the folder which the work folder lies in.
    Raises: DataError where the tokenizer or its template cannot be used; OSError.
    """
    target = tokens_folder(work, unit)
    if target.is_dir():
        return
    plan = read_plan(work)
    files = UnitFiles(folder_of(work, len(passes_of(plan.data.filters)) - 1), unit)
    tokenizer, encoder = _encoders(work, (work.parent / TOKENIZER / "tokenizer.json").stat().st_mtime_ns)
    partial = target.with_name(f"{target.name}.{writer_name()}")
    partial.mkdir(parents=True, exist_ok=True)
    is_text = encoder is None
    writers: dict[Split, ShardWriter] = {
        split: ShardWriter(partial, split, vocabulary_size=tokenizer.vocabulary_size, supervised=not is_text,
                           shard_tokens=_ONE_SHARD)
        for split in SPLITS
    }  # fmt: skip
    refused = Tally("", 1.0)
    done = 0
    faults = Faults()
    try:
        for batch in _batches(files.items()):
            pairs = _texts(tokenizer, batch, plan) if encoder is None else _conversations(encoder, batch, faults)
            for item, found in pairs:
                done += 1
                heard(done)
                if isinstance(found, RowError):
                    refused.refuse(item.place, found)
                    continue
                for example in found:
                    writers[item.split].add(*example)
        record = EncodedUnit(
            splits={split: writer.close() for split, writer in writers.items()},
            refused=refused.as_json(),
            faults=faults.as_json(),
        )
        write_whole(partial / "record.json", record.model_dump_json().encode())
        partial.rename(target)
        synchronise_entry(target.parent)
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        shutil.rmtree(partial, ignore_errors=True)
        raise


@lru_cache(maxsize=2)
def _encoders(work: Path, _changed_ns: int) -> tuple[TextTokenizer, ExampleEncoder | None]:
    data = read_plan(work).data
    tokenizer = load_tokenizer(work.parent / TOKENIZER)
    if not isinstance(data, InstructionData):
        return tokenizer, None
    template = resolve_template(data.template, tokenizer)
    return tokenizer, ExampleEncoder(tokenizer, template, data.max_tokens, accept=data.accept)


def _texts(tokenizer: TextTokenizer, batch: list[Item], plan: Plan) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    start = len(tokenizer.prefix_ids)
    gaps = plan.data.fill_in_the_middle if isinstance(plan.data, TextData) else None
    documents = [document_parts(item.payload, gaps, seed=plan.seed) for item in batch]
    whole = encode_documents(tokenizer, [parts[0].text for parts in documents if len(parts) == 1])
    cut = iter(encode_parts(tokenizer, [parts for parts in documents if len(parts) > 1]))
    for item, parts in zip(batch, documents, strict=True):
        ids = next(whole) if len(parts) == 1 else next(cut)
        if (ids[start:-1] == tokenizer.end_token_id).any():
            yield item, RowError("control_token", f"expected text, found what encodes to {tokenizer.end_token}")
        else:
            yield item, [(ids, None)]


def _conversations(
    encoder: ExampleEncoder, batch: list[Item], faults: Faults
) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    conversations = [loaded(item.payload) for item in batch]
    found = encoder.encode(conversations, places=[item.place for item in batch], faults=faults)
    for item, examples in zip(batch, found, strict=True):
        if isinstance(examples, RowError):
            yield item, examples
        else:
            yield item, [(example.ids, example.supervised) for example in examples]


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += len(item.payload)
        if characters >= _BATCH_CHARACTERS or len(batch) >= _BATCH_ITEMS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
