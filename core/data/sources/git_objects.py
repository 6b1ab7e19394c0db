"""The committed files of a git repository, read through git's own plumbing, without a work tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import DataError, UsageError

LINK, SUBMODULE = "120000", "160000"


@dataclass(frozen=True)
class Entry:
    """One entry of a commit: its path, git's mode, the object's name and its size in bytes, 0 of a submodule."""

    path: str
    mode: str
    name: str
    size: int


def repository_at(folder: Path) -> Path | None:
    """Return the git directory of a repository that is bare or has its work tree here; None where there is none."""
    if (folder / ".git").exists():
        return folder / ".git"
    is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return folder if is_bare else None


def head_commit(repository: Path) -> str:
    """Return the commit that HEAD names.

    Raises: UsageError where git is not there; DataError where the repository has no commit.
    """
    return _answer(repository, ["rev-parse", "--verify", "HEAD^{commit}"]).decode().strip()


def entries(repository: Path) -> list[Entry]:
    """Return what HEAD holds, in the order of paths.

    Raises: UsageError where git is not there; DataError where the repository has no commit or is broken.
    """
    listing = _answer(repository, ["ls-tree", "-rz", "--long", "--full-tree", "HEAD"])
    found = []
    for record in listing.split(b"\0"):
        if record:
            description, _, path = record.partition(b"\t")
            mode, _, name, size = description.decode().split()
            found.append(
                Entry(path.decode("utf-8", "surrogateescape"), mode, name, int(size) if size.isdecimal() else 0)
            )
    return sorted(found, key=lambda entry: entry.path)


@contextmanager
def blobs(repository: Path, names: Sequence[str]) -> Iterator[Iterator[bytes]]:
    """Give the content of each named object in turn.

    Raises: DataError where one is not there.
    """
    process = subprocess.Popen(
        _command(repository, ["cat-file", "--batch"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            yield (_blob(process.stdin, process.stdout, name, repository) for name in names)
        finally:
            process.kill()


def _blob(requests: IO[bytes], answers: IO[bytes], name: str, repository: Path) -> bytes:
    try:
        requests.write(f"{name}\n".encode())
        requests.flush()
        header = answers.readline().split()
    except BrokenPipeError:
        header = []
    if len(header) != 3:
        raise DataError(
            f"{repository}: expected the object {name}, found none", hint="Run `git fsck` on the repository."
        )
    size = int(header[2])
    content = answers.read(size)
    answers.read(1)
    if len(content) != size:
        raise DataError(f"{repository}: expected {size} bytes of the object {name}, found {len(content)}")
    return content


def _command(repository: Path, words: list[str]) -> list[str]:
    # A repository of another user is read, not trusted: the plumbing that is used here runs nothing that it holds.
    return ["git", "-c", "safe.directory=*", f"--git-dir={repository}", *words]


def _answer(repository: Path, words: list[str]) -> bytes:
    try:
        answer = subprocess.run(_command(repository, words), capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError(
            f"{repository}: expected git on this machine to read a repository, found none",
            hint="Install git, or point at a folder without .git.",
        ) from None
    if answer.returncode:
        found = answer.stderr.decode("utf-8", "replace").strip() or f"git's exit code {answer.returncode}"
        raise DataError(
            f"{repository}: expected a git repository with a commit, found: {found}",
            hint="Commit the files, or point at a folder without .git.",
        )
    return answer.stdout
