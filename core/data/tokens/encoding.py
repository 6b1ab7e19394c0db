"""The items of one unit as token ids: the last pass over the units.

In `tokens/00012/`, which is made whole or not at all, stand the shards of each split and `record.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.config.data import TextData
from core.config.preferences import PreferenceData, Preparable
from core.data.cleaning.passes import folder_of, passes_of
from core.data.cleaning.plan import Plan, read_plan
from core.data.cleaning.unit_files import Item, UnitFiles
from core.data.construction import synchronise_entry, write_whole, writer_name
from core.data.formats import Conversation, loaded
from core.data.manifest import SPLITS, TOKENIZER, Split, SplitRecord
from core.data.tally import RowError, Tally
from core.data.tokens.answered import AnsweredEncoder
from core.data.tokens.encoders import Encoder, encoder_for, syntax_of
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import Faults
from core.data.tokens.fill_in_the_middle import document_parts
from core.data.tokens.marking import document_language, marked_document
from core.data.tokens.shards import Mark, ShardWriter, token_type
from core.data.tokens.tokenize import DocumentPart, TextTokenizer, encode_documents, encode_parts
from core.data.tokens.tokenizer_files import load_tokenizer

_BATCH_CHARACTERS = 4 * 2**20
_BATCH_ITEMS = 2048
_ONE_SHARD = 2**62
OVER_LONG_LEFT_OUT = "over_long_left_out"
"""Counts pairs that do not fit where data.accept has dropped_answers."""
TOKENS = "tokens"
"""The folder of the encoded units within a work folder."""

Encoded = tuple[NDArray[np.int64], NDArray[np.bool_] | NDArray[np.uint8] | None, NDArray[np.uint8] | None]
"""Ids of a document, which of them the loss counts (or marks of sides), and their classes of source code.

Shapes: (tokens,) each."""


class EncodedUnit(BaseModel):
    """The content of record.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    splits: dict[Split, SplitRecord]
    refused: dict[str, object]
    """Items that could not be encoded, as a tally."""
    faults: dict[str, object]


@dataclass(frozen=True)
class UnitTokens:
    """The documents of one split of one unit. Shapes: offsets (documents + 1,), the others (tokens,)."""

    tokens: NDArray[np.uint16] | NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    supervised: NDArray[np.uint8] | None
    classes: NDArray[np.uint8] | None

    def document(self, number: int) -> Encoded:
        """Return ids and marks of one document."""
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        supervised = None if self.supervised is None else self.supervised[start:stop]
        classes = None if self.classes is None else self.classes[start:stop]
        return self.tokens[start:stop].astype(np.int64), supervised, classes


def marks_of(data: Preparable) -> list[Mark]:
    """Return what stands beside the tokens of some data."""
    marks: list[Mark] = [] if isinstance(data, TextData) else ["supervised"]
    return [*marks, "syntax"] if syntax_of(data) is not None else marks


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

    def marks(mark: Mark) -> NDArray[np.uint8] | None:
        path = base.with_suffix(f".{mark}")
        return np.memmap(path, dtype=np.uint8, mode="r") if path.is_file() else None

    return UnitTokens(
        tokens=np.memmap(base.with_suffix(".tokens"), dtype=token_type(vocabulary_size), mode="r"),
        offsets=np.fromfile(base.with_suffix(".documents"), dtype="<u8"),
        supervised=marks("supervised"),
        classes=marks("syntax"),
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
    writers: dict[Split, ShardWriter] = {
        split: ShardWriter(partial, split, vocabulary_size=tokenizer.vocabulary_size, marks=marks_of(plan.data),
                           are_pairs=isinstance(plan.data, PreferenceData), shard_tokens=_ONE_SHARD)
        for split in SPLITS
    }  # fmt: skip
    refused = Tally("", 1.0)
    done = 0
    faults = Faults()
    try:
        for batch in _batches(files.items()):
            for item, found in _encoded(tokenizer, encoder, batch, plan, faults):
                done += 1
                heard(done)
                if isinstance(found, RowError):
                    _refuse(refused, item, found, plan.data)
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


def _refuse(refused: Tally, item: Item, error: RowError, data: Preparable) -> None:
    """Count an item that gave no document as a bad row, or where that is accepted as one that was left out."""
    if error.code == "over_long" and isinstance(data, PreferenceData) and "dropped_answers" in data.accept:
        refused.repaired[OVER_LONG_LEFT_OUT] += 1
    else:
        refused.refuse(item.place, error)


@lru_cache(maxsize=2)
def _encoders(work: Path, _changed_ns: int) -> tuple[TextTokenizer, Encoder]:
    data = read_plan(work).data
    tokenizer = load_tokenizer(work.parent / TOKENIZER)
    return tokenizer, encoder_for(data, tokenizer)


def _encoded(
    tokenizer: TextTokenizer, encoder: Encoder, batch: list[Item], plan: Plan, faults: Faults
) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    match encoder:
        case ExampleEncoder():
            yield from _conversations(encoder, batch, faults)
        case AnsweredEncoder():
            yield from _answered(encoder, batch, faults)
        case None:
            yield from _documents(tokenizer, batch, plan)
        case _:
            assert_never(encoder)


def _documents(
    tokenizer: TextTokenizer, batch: list[Item], plan: Plan
) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    start = len(tokenizer.prefix_ids)
    is_unmarked = syntax_of(plan.data) is None
    marked = _unmarked_texts(tokenizer, batch, plan) if is_unmarked else _texts(tokenizer, batch, plan)
    for item, found in zip(batch, marked, strict=True):
        if isinstance(found, RowError):
            yield item, found
        elif (found[0][start:-1] == tokenizer.end_token_id).any():
            yield item, RowError("control_token", f"expected text, found what encodes to {tokenizer.end_token}")
        else:
            yield item, [found]


def _unmarked_texts(tokenizer: TextTokenizer, batch: list[Item], plan: Plan) -> Iterator[Encoded]:
    documents = [_parts(item, plan) for item in batch]
    whole = encode_documents(tokenizer, [parts[0].text for parts in documents if len(parts) == 1])
    cut = iter(encode_parts(tokenizer, [parts for parts in documents if len(parts) > 1]))
    for parts in documents:
        yield next(whole) if len(parts) == 1 else next(cut), None, None


def _texts(tokenizer: TextTokenizer, batch: list[Item], plan: Plan) -> Iterator[Encoded | RowError]:
    assert isinstance(plan.data, TextData)
    assert plan.data.syntax is not None
    for item in batch:
        language = document_language(plan.data.syntax, plan.data.sources[item.source], item.place)
        try:
            found, classes = marked_document(tokenizer, item.payload, _parts(item, plan), language)
        except RowError as error:
            yield error
            continue
        yield found.ids, None, classes


def _parts(item: Item, plan: Plan) -> list[DocumentPart]:
    assert isinstance(plan.data, TextData), "a conversation is laid by its template"
    return document_parts(item.payload, plan.data.fill_in_the_middle, seed=plan.seed)


def _conversations(
    encoder: ExampleEncoder, batch: list[Item], faults: Faults
) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    conversations = [_conversation(item) for item in batch]
    found = encoder.encode(conversations, places=[item.place for item in batch], faults=faults)
    for item, examples in zip(batch, found, strict=True):
        if isinstance(examples, RowError):
            yield item, examples
        else:
            yield item, [(example.ids, example.supervised, example.classes) for example in examples]


def _conversation(item: Item) -> Conversation:
    found = loaded(item.payload)
    assert isinstance(found, Conversation)
    return found


def _answered(
    encoder: AnsweredEncoder, batch: list[Item], faults: Faults
) -> Iterator[tuple[Item, list[Encoded] | RowError]]:
    rows = [found for item in batch if not isinstance(found := loaded(item.payload), Conversation)]
    for item, document in zip(
        batch, encoder.encode(rows, places=[item.place for item in batch], faults=faults), strict=True
    ):
        yield item, document if isinstance(document, RowError) else [(*document, None)]


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
