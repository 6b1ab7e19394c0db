"""What is to be cleaned: the units of all sources, written down once so that every process works by the same list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.data import RowFormat, TextData
from core.config.preferences import Preparable
from core.config.sources import Source
from core.data.construction import KeptWorkError, write_whole
from core.data.fingerprints import filter_file_records, library_versions, source_file_records
from core.data.formats import needs_whole_files
from core.data.manifest import FileName, SourceFileRecord
from core.data.progress import Work
from core.data.row_formats import row_formats
from core.data.sources.reading import Unit, describe, source_files, units_of
from core.data.tally import Tally
from core.errors import DataError

VERSION = 3
_LAYOUT = {"pack", "attend_across_documents"}
"""Fields of the data that say how prepared tokens are laid into batches."""
_LATER = _LAYOUT | {
    "mix", "max_bad_rows", "max_unlabelled_rows", "accept", "tokenizer", "template", "max_tokens", "code_tokens",
    "fill_in_the_middle", "syntax",
}  # fmt: skip
"""Fields that change nothing of what is read and filtered."""
UNIT_BYTES = (16 * 2**20, 256 * 2**20)
"""The smallest and the largest unit; between them, so that a corpus has about UNITS of them."""
UNITS = 4096
GROUP_PARTS = 4096
"""Files of a unit, at most."""
_CHANGES_SHOWN = 10
_CHARACTERS_SHOWN = 200


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileState(_Record):
    """What tells at a glance that a file was changed."""

    path: FileName
    bytes: int
    modified_ns: int


class Part(_Record):
    """A `Unit` of a source in JSON."""

    file: FileName
    start: int
    stop: int | None
    format: RowFormat | None
    """What its rows look like; None for documents, and for a file without rows."""


class PlannedUnit(_Record):
    """What one process does at a time: a part of a large file, or several small files of one source."""

    source: int
    parts: list[Part]
    bytes: int

    def units(self) -> Iterator[tuple[Unit, RowFormat | None]]:
        """Yield the parts as readers take them, each with what its rows look like."""
        for part in self.parts:
            yield Unit(self.source, part.file, part.start, part.stop), part.format


class Plan(_Record):
    """The content of plan.json."""

    version: int
    seed: int
    data: Annotated[Preparable, Field(discriminator="kind")]
    formats: list[str]
    """What the rows of each source look like, several where its files differ; "" for documents."""
    files: list[list[SourceFileRecord]]
    """The files of each source and what told their content."""
    filter_files: list[list[SourceFileRecord]]
    """The files that each filter looks into."""
    libraries: dict[str, str]
    """Versions of the libraries that read and filter."""
    states: list[FileState]
    units: list[PlannedUnit]

    def tallies(self) -> list[Tally]:
        """Return an empty tally for each source."""
        return [
            Tally(describe(source, number), self.data.max_bad_rows) for number, source in enumerate(self.data.sources)
        ]

    def digest(self) -> str:
        """Return what is another one whenever the settings or the content of the sources are."""
        return hashlib.sha256(json.dumps(_content(self, _LAYOUT), sort_keys=True).encode()).hexdigest()


def make_plan(data: Preparable, seed: int, work: Work) -> Plan:
    """Return the plan for some sources as they are now.

    Raises: UsageError, DataError where a source is not there or of no known format; PreparationStopped.
    """
    states = file_states(data.sources)
    sources = range(len(data.sources))
    formats = [{} if isinstance(data, TextData) else row_formats(data, number) for number in sources]
    least, most = UNIT_BYTES
    size = min(most, max(least, sum(state.bytes for state in states) // UNITS))
    units = [
        unit
        for number, shapes in zip(sources, formats, strict=True)
        for unit in _grouped(
            units_of(data.sources[number], number, split_bytes=_split_bytes(shapes, size)), shapes, size
        )
    ]
    return Plan(
        version=VERSION,
        seed=seed,
        data=data,
        formats=[", ".join(dict.fromkeys(shapes.values())) for shapes in formats],
        files=[source_file_records(source, work) for source in data.sources],
        filter_files=filter_file_records(data, work),
        libraries=library_versions(),
        states=states,
        units=units,
    )


def file_states(sources: list[Source]) -> list[FileState]:
    """Return size and time of change of every file of the sources."""
    paths = [path for source in sources for path in source_files(source)]
    return [
        FileState(path=str(path), bytes=(status := path.stat()).st_size, modified_ns=status.st_mtime_ns)
        for path in paths
    ]


def begin(folder: Path, plan: Plan) -> None:
    """Write the plan into a folder; where one is there, it must read and filter the same, wherever that lies now.

    Raises: KeptWorkError where the sources or the settings are not those of the plan that is there.
    """
    path = folder / "plan.json"
    if path.is_file() and _content(earlier := read_plan(folder), _LATER) != _content(plan, _LATER):
        raise KeptWorkError(
            f"{_difference(earlier, plan)} since this preparation was begun",
            hint=f"Put it back and resume, or start a new run. (What was done so far lies in {folder}.)",
        )
    write_whole(path, plan.model_dump_json().encode())  # the same files may lie elsewhere now
    read_plan.cache_clear()


@lru_cache(maxsize=4)
def read_plan(folder: Path) -> Plan:
    """Return the plan of a folder.

    Raises: DataError where it is of another version.
    """
    path = folder / "plan.json"
    try:
        return Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DataError(
            f"{path}: expected a plan of version {VERSION}, found: {error.errors()[0]['msg']}",
            hint="It was begun by another version of Footplate: delete the folder and begin again.",
        ) from error


def _grouped(units: list[Unit], shapes: dict[str, RowFormat], most: int) -> Iterator[PlannedUnit]:
    """Yield small units of a source together, since each costs files on the disk; the order stays."""
    group: list[Part] = []
    total = 0
    for unit in units:
        part = Part(file=unit.file, start=unit.start, stop=unit.stop, format=shapes.get(unit.file))
        size = unit.bytes
        if group and (total + size > most or len(group) == GROUP_PARTS):
            yield PlannedUnit(source=unit.source, parts=group, bytes=total)
            group, total = [], 0
        group.append(part)
        total += size
    if group:
        yield PlannedUnit(source=units[0].source, parts=group, bytes=total)


def _split_bytes(shapes: dict[str, RowFormat], size: int) -> int | None:
    """Return how large a unit may be; None where a conversation reaches over the rows of a whole file."""
    return None if any(map(needs_whole_files, shapes.values())) else size


def _content(plan: Plan, without: set[str]) -> dict[str, Any]:
    values = plan.model_dump(mode="json", exclude={"states": True, "units": True, "data": without})
    for source in values["data"]["sources"]:
        source.pop("path", None)
        if "mix" in without:
            source.pop("share")
            source.pop("group")
    return values


def _difference(earlier: Plan, plan: Plan) -> str:
    if earlier.version != plan.version:
        return f"the version of the plan changed from {earlier.version} to {plan.version}"
    before = {(number, file.name): file for number, files in enumerate(earlier.files) for file in files}
    now = {(number, file.name): file for number, files in enumerate(plan.files) for file in files}
    for key in [*before, *now]:
        if key not in now:
            return f"data.sources[{key[0]}]: the file {key[1]} is gone"
        if key not in before:
            return f"data.sources[{key[0]}]: the file {key[1]} is new"
        if before[key] != now[key]:
            return f"data.sources[{key[0]}]: the file {key[1]} changed"
    for number, (old, new) in enumerate(zip(earlier.filter_files, plan.filter_files, strict=False)):
        if old != new and earlier.data.filters[number] == plan.data.filters[number]:
            return f"data.filters[{number}]: a file that it looks into changed"
    for name in earlier.libraries.keys() | plan.libraries.keys():
        if earlier.libraries.get(name) != plan.libraries.get(name):
            return f"{name} is of another version ({plan.libraries.get(name)}, not {earlier.libraries.get(name)})"
    was, now_is = ({"seed": one.seed, "data": _content(one, _LATER)["data"]} for one in (earlier, plan))
    changed = list(_changed(was, now_is, ""))
    more = f"; {len(changed) - _CHANGES_SHOWN} more" if len(changed) > _CHANGES_SHOWN else ""
    return "; ".join(changed[:_CHANGES_SHOWN]) + more if changed else "the detected format of the rows changed"


def _changed(old: Any, new: Any, place: str) -> Iterator[str]:
    """Yield the fields that differ, as a user writes them in a preset."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _changed(old.get(name), new.get(name), f"{place}.{name}" if place else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changed(one, other, f"{place}.{number}")
    elif old != new:
        yield f"{place} changed from {_short(old)} to {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CHARACTERS_SHOWN else f"{text[:_CHARACTERS_SHOWN]}..."
