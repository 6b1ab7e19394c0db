"""What an export is asked for, and what its answer says, in words. Knows no widget and no heavy library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.run.directory import RunDirectory
from tui.services.safe_text import size_words
from tui.services.words import count_text

_FORMS = {"full": "the whole model", "merged": "the merged model", "adapter": "the adapter alone"}


@dataclass(frozen=True)
class ExportWish:
    """Where to, and in which form; `push` is the name on the hub, "" for nowhere."""

    to: Path
    adapter_only: bool = False
    dtype: str | None = None
    max_shard_size: str = "5GB"
    gguf: bool = False
    push: str = ""
    private: bool = True

    def question(self, run: RunDirectory) -> dict[str, Any]:
        """Return what the helper is asked."""
        return {
            "verb": "export",
            "run": str(run.path.absolute()),
            "to": str(self.to),
            "adapter_only": self.adapter_only,
            "dtype": self.dtype,
            "max_shard_size": self.max_shard_size,
            "gguf": self.gguf,
            "push": self.push,
            "private": self.private,
        }


def default_folder(run: RunDirectory) -> Path:
    """Return where an export goes unless something else is said."""
    return Path.cwd() / f"{run.name}-export"


def is_adapter_run(run: RunDirectory) -> bool:
    """Tell whether a run's result is a low-rank adapter."""
    return (run.model / "adapter_config.json").is_file()


def progress_words(progress: Mapping[str, Any]) -> str:
    """Return how far the helper is."""
    stage, done, total = str(progress.get("stage", "")), progress.get("done"), progress.get("total")
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 1:
        return stage
    return f"{stage}: {count_text(done)} of {count_text(total)} {progress.get('unit', '')}"


def answer_words(answer: Mapping[str, Any]) -> list[str]:
    """Return what was made, one line each."""
    form, size = _FORMS.get(str(answer.get("form")), "the model"), answer.get("bytes")
    shown = size_words(size) if isinstance(size, int) else "?"
    lines = [f"{form}, stored as {answer.get('dtype')}: {answer.get('files')} files, {shown}"]
    merge, gguf = answer.get("merge"), answer.get("gguf")
    if isinstance(merge, dict):
        lines.append(f"merging changed the logits by {_apart(merge.get('merged'))}")
        if merge.get("quantized"):
            lines.append(f"against the quantised base with the adapter they differ by {_apart(merge.get('quantized'))}")
        if merge.get("stored"):
            lines.append(f"storing as {merge.get('dtype')} changed them by {_apart(merge.get('stored'))}")
    if isinstance(gguf, dict):
        lines.append(f"{gguf.get('file')}: read back, its logits differ by {_apart(gguf.get('logits'))}")
    if answer.get("pushed"):
        seen = "only you and those you let see it" if answer.get("private") else "everyone sees it"
        lines.append(f"uploaded to {answer.get('pushed')} ({seen})")
    return lines


def _apart(found: object) -> str:
    match found:
        case {
            "largest": int() | float() as largest,
            "mean": int() | float() as mean,
            "relative": int() | float() as share,
        }:
            return f"{largest:.2g} at most, {mean:.2g} in the mean ({share:.1e} of the largest logit)"
    return "?"
