"""What a path holds: its files, how each has its records, and which are left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config.sources import Container, PathSource
from core.data.sources.containers import detect_container
from core.data.sources.folders import existing, files_below
from core.data.sources.licences import is_about
from core.errors import DataError


@dataclass(frozen=True)
class KnownFile:
    """A file that is read, and how it has its records."""

    path: Path
    container: Container


@dataclass(frozen=True)
class LeftOutFile:
    """A file of a folder that is not read."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files of a path, each kind in the order of relative paths."""

    known: list[KnownFile]
    left_out: list[LeftOutFile]


def list_files(source: PathSource) -> Listing:
    """Return what a path holds.

    In a folder, files that tell about the data (licence, notice, readme) are left out unless `include` names them,
    and so is what is no data set. A single file is always taken.

    Raises: UsageError where nothing is there; DataError where a single file is no data set, or none of a folder is.
    """
    root = existing(source.path)
    if root.is_file():
        return Listing([KnownFile(root, container_of(source, root))], [])
    known: list[KnownFile] = []
    left_out: list[LeftOutFile] = []
    for path in files_below(root, source.include or ["*"], source.exclude):
        if not source.include and is_about(path.name):
            left_out.append(LeftOutFile(path, "tells about the data"))
            continue
        try:
            known.append(KnownFile(path, container_of(source, path)))
        except DataError as error:
            left_out.append(LeftOutFile(path, error.message.removeprefix(f"{path}: ")))
    if not known:
        shown = "".join(f"\n  {file.path}: {file.reason}" for file in left_out[:10])
        wanted = f"files that match {', '.join(source.include)}" if source.include else "files with data"
        raise DataError(
            f"{root}: expected {wanted}, found none{shown}", hint="Check the folder and the patterns of this source."
        )
    return Listing(known, left_out)


def container_of(source: PathSource, path: Path) -> Container:
    """Return how a file of a source has its records.

    Raises: DataError where it is no data set.
    """
    return detect_container(path) if source.format == "auto" else source.format
