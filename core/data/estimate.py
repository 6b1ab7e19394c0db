"""What a whole preparation is likely to come to, from a sample of it: documents, tokens, bytes on disk.

How much of a source the sample is, is told by the place of its last document: the bytes of the files before that one,
and within it the byte, the share of the rows, or the bytes up to the line. Where a place says none of these (a page of
an XML dump), nobody can say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from core.config.data import TextData, TrainedTokenizer
from core.config.preferences import Preparable
from core.config.sources import CodeSource, FunctionsSource, HubSource, Source
from core.data.cleaning.trial import Candidate, Sample
from core.data.formats import Conversation, Judged, Preference, Prompt, turns_of_all
from core.data.readers.opening import opened
from core.data.sources.reading import source_files
from core.data.tally import RowError
from core.data.tokens.answered import AnsweredEncoder
from core.data.tokens.encoders import encoder_for
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import Faults
from core.data.tokens.shards import token_type
from core.data.tokens.templates import TemplateName
from core.data.tokens.tokenize import TextTokenizer, encode_documents
from core.errors import FootplateError

BYTES_PER_TOKEN = 4.0
"""Of English text with a vocabulary of 32,768, where no tokenizer can be asked."""
_OFFSET_BYTES = 8
_SMALL_BYTES = 16 << 20
_TRIED_DOCUMENTS = 64
_TRIED_CHARACTERS = 200_000
_AT = re.compile(r":(?:(byte|row) )?(\d+)")


@dataclass(frozen=True)
class Estimate:
    """Of what stays, in all sources; `is_exact` where every document was looked at (tokens are never counted)."""

    documents: float
    tokens: float
    bytes: float
    is_exact: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, whole numbers."""
        return {"documents": round(self.documents), "tokens": round(self.tokens), "bytes": round(self.bytes),
                "exact": self.is_exact}  # fmt: skip


def estimate(
    data: Preparable,
    shares: Sequence[float | None],
    kept: Sequence[Candidate],
    tokenizer: TextTokenizer | None,
    template: TemplateName | None,
) -> Estimate | None:
    """Return what the whole is likely to come to; None where nobody can say how large a source is.

    `shares` says which part of each source was looked at (`shares_of`). A mix by weight, tokens or epochs is left out
    of account.
    """
    documents = tokens = 0.0
    per_token = _bytes_per_token(data, kept, tokenizer, template)
    for number, part in enumerate(shares):
        if part is None:
            return None
        stays = [candidate for candidate in kept if candidate.source == number]
        documents += len(stays) / part
        tokens += (sum(map(_bytes, stays)) / per_token + len(stays)) / part
    size = token_type(_vocabulary(data, tokenizer)).itemsize
    on_disk = tokens * (size + (not isinstance(data, TextData))) + documents * _OFFSET_BYTES
    return Estimate(documents, tokens, on_disk, all(part == 1.0 for part in shares))


def _vocabulary(data: Preparable, tokenizer: TextTokenizer | None) -> int:
    if isinstance(data.tokenizer, TrainedTokenizer):
        return data.tokenizer.vocabulary_size
    return tokenizer.vocabulary_size if tokenizer is not None else 2**16


def shares_of(data: Preparable, sample: Sample) -> list[float | None]:
    """Return which part of each source a sample is; None where nobody can say."""
    if sample.is_all:
        return [1.0] * len(data.sources)
    return [
        share_of(source, [candidate for candidate in sample.candidates if candidate.source == number])
        for number, source in enumerate(data.sources)
    ]


def share_of(source: Source, taken: Sequence[Candidate]) -> float | None:
    """Return which part of a source lies up to the last of some documents from its beginning; None if unknown."""
    if not taken or isinstance(source, HubSource | CodeSource | FunctionsSource):
        return None
    place, before = taken[-1].place, 0
    files = [(str(path), path.stat().st_size) for path in source_files(source)]
    total = sum(size for _, size in files)
    for path, size in files:
        if place == path or place.startswith(f"{path}:"):
            within = 1.0 if place == path else _within(Path(path), size, place.removeprefix(path))
            return None if within is None or not total else max((before + within * size) / total, 1e-12)
        before += size
    return None


def _within(path: Path, size: int, at: str) -> float | None:
    found = _AT.match(at)
    if found is None or not size:
        return None
    number = int(found[2])
    match found[1]:
        case "byte":
            # Of a WARC the bytes of the file are counted, of everything else those of the text in it.
            is_of_file = {".warc", ".wet"} & set(path.suffixes) or _is_plain(path)
            return min(1.0, (number if is_of_file else _compressed(path, number)) / size)
        case "row" if path.suffix == ".parquet":
            import pyarrow.parquet

            rows = int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
            return min(1.0, number / max(1, rows))
        case None:
            with opened(path) as lines:
                length = sum(map(len, islice(lines, number)))
            return min(1.0, (length if _is_plain(path) else _compressed(path, length)) / size)
        case _:
            return None


def _is_plain(path: Path) -> bool:
    return path.suffix not in (".gz", ".bz2", ".zst", ".zstd")


def _compressed(path: Path, length: int) -> float:
    """Return about how many bytes of a compressed file the first `length` bytes of its text take."""
    size = path.stat().st_size
    with opened(path) as stream:
        done = len(stream.read(length))
        if size <= _SMALL_BYTES:
            # A reader is a buffer ahead of what it gives, which would be the whole of a small file.
            rest = sum(map(len, iter(lambda: stream.read(1 << 20), b"")))
            return size * done / max(1, done + rest)
        places = [file.position for file in psutil.Process().open_files() if file.path == str(path)]
    return min(places, default=size)


def _bytes_per_token(
    data: Preparable,
    kept: Sequence[Candidate],
    tokenizer: TextTokenizer | None,
    template: TemplateName | None,
) -> float:
    """Return how many bytes of text a token takes, by what a few documents come to."""
    tried: list[Candidate] = []
    for candidate in kept[:: max(1, len(kept) // _TRIED_DOCUMENTS)]:
        if sum(map(_bytes, tried)) < _TRIED_CHARACTERS:
            tried.append(candidate)
    size = sum(map(_bytes, tried))
    if tokenizer is None or not size:
        return BYTES_PER_TOKEN
    try:
        tokens = _tokens(data, tried, tokenizer, template)
    except FootplateError:
        return BYTES_PER_TOKEN  # a template that does not fit: the rows' own tokens will say so
    return size / tokens if tokens else BYTES_PER_TOKEN


def _tokens(
    data: Preparable,
    tried: Sequence[Candidate],
    tokenizer: TextTokenizer,
    template: TemplateName | None,
) -> int:
    values = [candidate.value for candidate in tried]
    texts = [value for value in values if isinstance(value, str)]
    count = sum(len(ids) - 1 for ids in encode_documents(tokenizer, texts)) if texts else 0
    match encoder_for(data, tokenizer) if template is not None else None:
        case ExampleEncoder() as encoder:
            made = encoder.encode([value for value in values if isinstance(value, Conversation)])
            count += sum(len(one.ids) for examples in made if not isinstance(examples, RowError) for one in examples)
        case AnsweredEncoder() as encoder:
            rows = [value for value in values if isinstance(value, Preference | Judged | Prompt)]
            found = encoder.encode(rows, places=[""] * len(rows), faults=Faults())
            count += sum(len(one[0]) for one in found if not isinstance(one, RowError))
        case None:
            pass
    return count


def _bytes(candidate: Candidate) -> int:
    value = candidate.value
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    return sum(len(f"{turn.content}{turn.input}".encode("utf-8", "surrogatepass")) for turn in turns_of_all(value))
