"""Sources become a folder of token shards with a manifest and a report: the one way from data to training.

Units of the sources are read and filtered, a tokenizer is trained on the training split or loaded, units are encoded,
and their tokens are laid into shards. The folder is there complete or not at all; the same input gives the same bytes,
however many processes work on it and however often they were killed.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from core.config.data import InstructionData, TextData, TrainedTokenizer
from core.config.preferences import Preparable
from core.data.cleaning.clean import Cleaned, Means, clean, write_dropped
from core.data.cleaning.plan import make_plan
from core.data.cleaning.pool import Heard, apart
from core.data.cleaning.report import REPORT
from core.data.construction import AlreadyThereError, remove_half_written, under_construction, write_whole
from core.data.fingerprints import encoding_key, tokenizer_place
from core.data.manifest import (
    MANIFEST,
    TOKENIZER,
    Manifest,
    Split,
    SplitRecord,
    content_digest,
    file_record,
    read_manifest,
)
from core.data.progress import PreparationStopped, ProgressCallback, Work, silent
from core.data.source_records import dropped_rows, source_records
from core.data.splits import check_marks, check_splits
from core.data.tally import check_shares
from core.data.tokenizer_training import train_on_split
from core.data.tokens.added_tokens import add_tokens, check_special
from core.data.tokens.assembly import Assembly
from core.data.tokens.encoders import accepted_by, syntax_of
from core.data.tokens.encoding import TOKENS, encode_unit, encoded_unit, remove_unfinished, tokens_folder
from core.data.tokens.examples import stop_token_ids
from core.data.tokens.faults import Faults
from core.data.tokens.fill_in_the_middle import gaps_tokens
from core.data.tokens.templates import TemplateName, resolve_template
from core.data.tokens.tokenize import TextTokenizer
from core.data.tokens.tokenizer_files import copy_tokenizer, load_tokenizer

_WORK = "work"
_ENCODING_KEY = "encoding.key"

__all__ = ["PreparationStopped", "Prepared", "ProgressCallback", "is_prepared", "prepare"]


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
    data: Preparable,
    folder: Path,
    *,
    seed: int,
    model_tokenizer: Path | None,
    work: Work,
    means: Means = Means(),  # noqa: B008 - it is frozen
) -> Prepared:
    """Make `folder` from the sources of `data`, or go on with what an earlier call did.

    `model_tokenizer` is the folder of the model's tokenizer, None where the model has none; `work` is asked
    whether to stop about twenty times a second, except while the tokens of a small text are merged.

    Raises: UsageError where something is not there; DataError where it cannot be used, or changed since an earlier
    call; StorageError where the disk is full; OutOfMemoryError; PreparationStopped when asked to.
    """
    manifest: Manifest | None = None
    try:
        with under_construction(folder, should_stop=work.should_stop, keeps_all=means.keeps_work) as partial:
            manifest = _Preparation(data, seed, partial, means, work).run(model_tokenizer)
    except AlreadyThereError:
        # Another run may have made the same cache entry meanwhile.
        plan = make_plan(data, seed, Work(silent, work.should_stop))
        if not is_prepared(folder) or read_manifest(folder).made_from != plan.digest():
            raise
    return Prepared(folder, manifest or read_manifest(folder))


class _Preparation:
    """One preparation, in the order in which it happens."""

    def __init__(self, data: Preparable, seed: int, folder: Path, means: Means, work: Work) -> None:
        self._data = data
        self._seed = seed
        self._folder = folder
        self._work_folder = folder / _WORK
        self._means = means
        self._work = work
        self._added_tokens: list[str] = []

    def run(self, model_tokenizer: Path | None) -> Manifest:
        """Fill the folder and return its manifest."""
        remove_half_written(self._folder)
        if (self._folder / MANIFEST).is_file():  # killed in its last moments
            shutil.rmtree(self._work_folder, ignore_errors=True)
            (self._folder / _ENCODING_KEY).unlink(missing_ok=True)
            return read_manifest(self._folder)
        place = tokenizer_place(self._data, model_tokenizer)
        self._forget_other_tokens(encoding_key(self._data, model_tokenizer))
        template = self._copy_tokenizer(place) if place is not None else None
        plan = make_plan(self._data, self._seed, Work(silent, self._work.should_stop))
        cleaned = clean(plan, self._work_folder, self._means, self._work)
        cleaned.report.check_kept()
        if isinstance(self._data.tokenizer, TrainedTokenizer):
            self._train(cleaned, self._data.tokenizer)
            template = self._template(load_tokenizer(self._folder / TOKENIZER))
        tokenizer = load_tokenizer(self._folder / TOKENIZER)
        self._encode(cleaned)
        self._check_encoded(cleaned)
        assembly = Assembly(plan, self._work_folder, self._folder, tokenizer.vocabulary_size, self._work)
        splits = assembly.write()
        check_splits({split: record.documents for split, record in splits.items()}, self._data.held_out_fraction)
        manifest = self._manifest(tokenizer, template, cleaned, assembly, splits)
        check_marks(manifest)
        write_dropped(cleaned, self._folder)
        (self._folder / REPORT).write_text(cleaned.report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_whole(self._folder / MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
        shutil.rmtree(self._work_folder)
        (self._folder / _ENCODING_KEY).unlink()
        train, held_out = manifest.train, manifest.held_out
        note = f"{train.tokens} tokens to train on, {held_out.tokens} held out"
        if (share := manifest.marked_share) is not None:
            note += f", {share:.1%} of what the loss counts is source code"
        self._work.stage_ends("writing", train.documents + held_out.documents, "documents", note)
        return manifest

    def _forget_other_tokens(self, key: str) -> None:
        """Remove what an earlier attempt encoded in another way; what it read and filtered stays."""
        path = self._folder / _ENCODING_KEY
        if path.is_file() and path.read_text() != key:
            shutil.rmtree(self._work_folder / TOKENS, ignore_errors=True)
            shutil.rmtree(self._folder / TOKENIZER, ignore_errors=True)
        write_whole(path, key.encode())

    def _copy_tokenizer(self, place: Path) -> TemplateName | None:
        """Copy the tokenizer; fail here, before the first row is read, where its template cannot be used."""
        folder = self._folder / TOKENIZER
        copy_tokenizer(place, folder, load_tokenizer(place))
        if not isinstance(self._data.tokenizer, TrainedTokenizer):
            self._added_tokens = add_tokens(folder, self._data.tokenizer.added_tokens)
        return self._template(load_tokenizer(folder))

    def _template(self, tokenizer: TextTokenizer) -> TemplateName | None:
        if isinstance(self._data, TextData):
            if (gaps := self._data.fill_in_the_middle).rate:
                check_special(tokenizer, gaps_tokens(gaps))
            return None
        template = resolve_template(self._data.template, tokenizer, self._data.code_tokens)
        stop_token_ids(tokenizer, template, accepted_by(self._data))
        return template

    def _train(self, cleaned: Cleaned, config: TrainedTokenizer) -> None:
        target = self._folder / TOKENIZER
        if target.is_dir():
            return
        limit = min(config.max_bytes, cleaned.train_bytes)

        def pulse(heard: Heard) -> None:
            self._work.pulse("training the tokenizer", min(sum(heard.open.values()), limit), limit, "bytes")

        apart(train_on_split, self._work_folder, limit, pulse)
        self._work.stage_ends("training the tokenizer", config.vocabulary_size, "tokens")

    def _encode(self, cleaned: Cleaned) -> None:
        remove_unfinished(self._work_folder)
        sizes = {
            unit: cleaned.unit_bytes(unit)
            for unit in range(len(cleaned.plan.units))
            if not tokens_folder(self._work_folder, unit).is_dir()
        }
        total = cleaned.report.kept
        counts = cleaned.unit_items()
        done = sum(count for unit, count in enumerate(counts) if unit not in sizes)

        begin = time.monotonic()
        tokens = _Tokens(self._work_folder)

        def pulse(heard: Heard) -> None:
            now = done + sum(counts[unit] for unit in heard.done) + sum(heard.open.values())
            if self._work.ask():
                new = tokens.of(heard.done)
                note = f"{new:,} tokens, {new / max(time.monotonic() - begin, 1e-9):,.0f}/s" if new else ""
                self._work.report("encoding", now, total, "documents", note)

        self._means.over_units(encode_unit, self._work_folder, 0, sizes, pulse)
        self._work.stage_ends("encoding", total, "documents")

    def _check_encoded(self, cleaned: Cleaned) -> None:
        faults = Faults()
        for number, unit in enumerate(cleaned.plan.units):
            record = encoded_unit(self._work_folder, number)
            cleaned.tallies[unit.source].drop(record.refused)
            faults.add(record.faults)
        unlabelled = self._data.max_unlabelled_rows if isinstance(self._data, InstructionData) else 0.0
        faults.check(accepted_by(self._data), unlabelled)
        check_shares(cleaned.tallies, self._data.max_bad_rows)

    def _manifest(
        self,
        tokenizer: TextTokenizer,
        template: TemplateName | None,
        cleaned: Cleaned,
        assembly: Assembly,
        splits: dict[Split, SplitRecord],
    ) -> Manifest:
        manifest = Manifest(
            kind=self._data.kind,
            digest="",
            made_from=cleaned.plan.digest(),
            vocabulary_size=tokenizer.vocabulary_size,
            added_tokens=self._added_tokens,
            end_token_id=tokenizer.end_token_id,
            stop_token_ids=stop_token_ids(tokenizer, template, accepted_by(self._data)),
            template=template or "none",
            code_tokens=None if isinstance(self._data, TextData) else self._data.code_tokens,
            syntax=syntax_of(self._data),
            sources=source_records(cleaned, assembly.given),
            dropped=dropped_rows(cleaned),
            tokenizer=[file_record(path, path.name) for path in sorted((self._folder / TOKENIZER).iterdir())],
            splits=splits,
        )
        return manifest.model_copy(update={"digest": content_digest(manifest)})


class _Tokens:
    """How many tokens units that are done have, each looked at once."""

    def __init__(self, work_folder: Path) -> None:
        self._work_folder = work_folder
        self._seen = 0
        self._total = 0

    def of(self, units: list[int]) -> int:
        """Return the tokens of all units; the list only grows."""
        for unit in units[self._seen :]:
            splits = encoded_unit(self._work_folder, unit).splits
            self._total += sum(record.tokens for record in splits.values())
        self._seen = len(units)
        return self._total
