"""Sources become a folder of token shards with a manifest: the one way from data to training.

Documents are split by the hash of seed and text, a tokenizer is trained on the training split or loaded, and every
document is written with its boundaries. The folder is there complete or not at all, and the same input gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.data import InstructionData, TextData, TrainedTokenizer
from core.data.construction import AlreadyThereError, under_construction
from core.data.corpus import Corpus, check_splits
from core.data.examples import ExampleEncoder, stop_token_ids
from core.data.fingerprints import tokenizer_place
from core.data.formats import loaded
from core.data.manifest import (
    MANIFEST,
    SPLITS,
    TOKENIZER,
    Manifest,
    Split,
    SplitRecord,
    content_digest,
    file_record,
    read_manifest,
)
from core.data.progress import PreparationStopped, ProgressCallback, Work, silent
from core.data.shards import ShardWriter
from core.data.spool import Item, Spool
from core.data.tally import RowError
from core.data.templates import TemplateName, alpaca_prompt, resolve_template
from core.data.tokenize import TextTokenizer, encode_documents
from core.data.tokenizer_files import copy_tokenizer, load_tokenizer, train_tokenizer

_BATCH_CHARACTERS = 4 * 2**20
_BATCH_ITEMS = 2048

__all__ = ["PreparationStopped", "Prepared", "ProgressCallback", "is_prepared", "prepare"]

Encoded = tuple[NDArray[np.int64], NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Prepared:
    """Prepared data on disk."""

    folder: Path
    manifest: Manifest

    @property
    def tokenizer(self) -> Path:
        """The folder of its tokenizer, in the Hugging Face layout."""
        return self.folder / TOKENIZER


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds prepared data: it is made complete or not at all."""
    return (folder / MANIFEST).is_file()


def prepare(
    data: TextData | InstructionData,
    folder: Path,
    *,
    seed: int,
    model_tokenizer: Path | None,
    progress: ProgressCallback,
    should_stop: Callable[[], bool],
) -> Prepared:
    """Make `folder` from the sources of `data`.

    `model_tokenizer` is the folder of the model's tokenizer, None where the model has none. `should_stop` is asked
    about twenty times a second, except while tokens are merged (seconds).

    Raises: UsageError where something is not there; DataError where it cannot be used; StorageError where the disk
    is full; PreparationStopped when asked to.
    """
    manifest: Manifest | None = None
    try:
        with under_construction(folder) as partial:
            corpus = Corpus(data, seed, Work(silent, should_stop))
            preparation = _Preparation(data, partial, corpus, Work(progress, should_stop))
            manifest = preparation.run(model_tokenizer)
    except AlreadyThereError:
        # Another run may have made the same cache entry meanwhile.
        if manifest is None or not is_prepared(folder) or read_manifest(folder).digest != manifest.digest:
            raise
    return Prepared(folder, manifest)


class _Preparation:
    """One preparation, in the order in which it happens."""

    def __init__(self, data: TextData | InstructionData, folder: Path, corpus: Corpus, work: Work) -> None:
        self._data = data
        self._folder = folder
        self._corpus = corpus
        self._work = work
        self._template: TemplateName | None = None
        self._stop_token_ids: list[int] = []

    def run(self, model_tokenizer: Path | None) -> Manifest:
        """Fill the folder and return its manifest."""
        place = tokenizer_place(self._data, model_tokenizer)
        items: Iterable[Item] = self._corpus.items(self._work)
        spool: Spool | None = None
        if isinstance(self._data.tokenizer, TrainedTokenizer):
            spool = Spool(self._folder / "spool")
            spool.fill(items)
            self._train(spool, self._data.tokenizer)
            items = spool.read()
        elif place is not None:
            copy_tokenizer(place, self._folder / TOKENIZER, load_tokenizer(place))
        tokenizer = load_tokenizer(self._folder / TOKENIZER)
        splits = self._write(tokenizer, items, total=sum(spool.documents.values()) if spool else None)
        if spool:
            spool.remove()
        manifest = self._manifest(tokenizer, splits)
        (self._folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        train, held_out = manifest.train, manifest.held_out
        note = f"{train.tokens} tokens to train on, {held_out.tokens} held out"
        self._work.stage_ends("encoding", train.documents + held_out.documents, "documents", note)
        return manifest

    def _train(self, spool: Spool, config: TrainedTokenizer) -> None:
        check_splits(spool.documents, self._data.held_out_fraction)

        def texts() -> Iterator[str]:
            done = 0
            for item in spool.read():
                if item.split != "train":
                    continue
                if done >= config.max_bytes:
                    return
                text = item.payload if isinstance(self._data, TextData) else _alpaca_text(item.payload)
                yield text
                done += len(text.encode())
                self._work.pulse("training the tokenizer", done, min(config.max_bytes, spool.train_bytes), "bytes")

        train_tokenizer(
            texts(),
            vocabulary_size=config.vocabulary_size,
            special_tokens=config.special_tokens,
            folder=self._folder / TOKENIZER,
        )
        self._work.stage_ends("training the tokenizer", config.vocabulary_size, "tokens")

    def _write(self, tokenizer: TextTokenizer, items: Iterable[Item], *, total: int | None) -> dict[Split, SplitRecord]:
        encode = self._encoder(tokenizer)
        self._stop_token_ids = stop_token_ids(tokenizer, self._template)  # fails here, before the first row is read
        is_text = isinstance(self._data, TextData)
        writers: dict[Split, ShardWriter] = {
            split: ShardWriter(self._folder, split, vocabulary_size=tokenizer.vocabulary_size, supervised=not is_text)
            for split in SPLITS
        }
        done = 0
        try:
            for batch in _batches(items):
                for item, (ids, supervised) in encode(batch):
                    writers[item.split].add(ids, supervised)
                    done += 1
                    self._work.pulse("encoding", done, total, "documents")
            self._corpus.check()
            splits = {split: writer.close() for split, writer in writers.items()}
        finally:
            for writer in writers.values():
                writer.abandon()
        check_splits({split: record.documents for split, record in splits.items()}, self._data.held_out_fraction)
        return splits

    def _manifest(self, tokenizer: TextTokenizer, splits: dict[Split, SplitRecord]) -> Manifest:
        manifest = Manifest(
            kind=self._data.kind,
            digest="",
            vocabulary_size=tokenizer.vocabulary_size,
            end_token_id=tokenizer.end_token_id,
            stop_token_ids=self._stop_token_ids,
            template=self._template or "none",
            sources=self._corpus.source_records(),
            dropped=self._corpus.dropped(),
            tokenizer=[file_record(path, path.name) for path in sorted((self._folder / TOKENIZER).iterdir())],
            splits=splits,
        )
        return manifest.model_copy(update={"digest": content_digest(manifest)})

    def _encoder(self, tokenizer: TextTokenizer) -> Callable[[list[Item]], Iterator[tuple[Item, Encoded]]]:
        if isinstance(self._data, TextData):
            return lambda batch: self._encode_texts(tokenizer, batch)
        template = self._template = resolve_template(self._data.template, tokenizer)
        encoder = ExampleEncoder(tokenizer, template, self._data.max_tokens)
        return lambda batch: self._encode_conversations(encoder, batch)

    def _encode_texts(self, tokenizer: TextTokenizer, batch: list[Item]) -> Iterator[tuple[Item, Encoded]]:
        start = len(tokenizer.prefix_ids)
        encoded = encode_documents(tokenizer, [item.payload for item in batch])
        for item, ids in zip(batch, encoded, strict=True):
            if (ids[start:-1] == tokenizer.end_token_id).any():
                error = RowError("control_token", f"expected text, found what encodes to {tokenizer.end_token}")
                self._corpus.drop(item, error)
            else:
                yield item, (ids, None)

    def _encode_conversations(self, encoder: ExampleEncoder, batch: list[Item]) -> Iterator[tuple[Item, Encoded]]:
        examples = encoder.encode([loaded(item.payload) for item in batch])
        for item, example in zip(batch, examples, strict=True):
            if isinstance(example, RowError):
                self._corpus.drop(item, example)
            else:
                yield item, (example.ids, example.supervised)


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


def _alpaca_text(payload: str) -> str:
    question, *answers = [turn for turn in loaded(payload).turns if turn.role != "system"]
    return alpaca_prompt(question.content, question.input) + "\n\n".join(turn.content for turn in answers)
