from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import disk_errno


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
def test_errors_of_the_disk_are_known_by_number_and_by_text(number: int) -> None:
    assert disk_errno(OSError(number, "words")) == number
    assert disk_errno(RuntimeError(f"I/O error: words (os error {number})")) == number


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "no"), OSError("no number"), ValueError("(os error 2)"), ValueError("error 28")]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert disk_errno(error) is None


@pytest.mark.parametrize(
    "code",
    [
        "from safetensors.numpy import save_file; import numpy; save_file({'a': numpy.zeros(9999)}, place)",
        "from tokenizers import Tokenizer, models\n"
        "Tokenizer(models.WordLevel({f'w{n}': n for n in range(9999)}, unk_token='w0')).save(place)",
    ],
    ids=["safetensors", "tokenizers"],
)
def test_what_the_libraries_raise_on_a_full_disk_is_known(code: str, tmp_path: Path) -> None:
    """Real files under a limit of 8 KiB."""
    script = (
        f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nplace = {str(tmp_path / 'file')!r}\n"
        "from core.errors import disk_errno\n"
        "def write():\n    " + code.replace("\n", "\n    ") + "\n"
        "try:\n    write()\nexcept Exception as error:\n    print(type(error).__name__, disk_errno(error))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )  # fmt: skip
    assert found.stdout.split()[-1] == str(errno.EFBIG)
