"""The helper process for what needs the heavy libraries at once: `python -m core.query`.

A question is one JSON line on standard input, `{"verb": "sample" | "fetch" | "doctor", ...}`. The answers are JSON
lines on standard output: `{"type": "progress", "stage", "done", "total", "unit"}` any number of times, then
`{"type": "result", ...}` or `{"type": "error", "message", "hint", "exit_code"}`. It owns no run, answers one question
at a time, is cancelled by ending it, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.cadence import Sampling
from core.config.data import PreparedData
from core.config.phases import SFTConfig
from core.errors import ExitCode, FootplateError, UsageError
from core.run.directory import Home, RunDirectory, home_from

Say = Callable[[Mapping[str, Any]], None]

_LONGEST_LINE = 1 << 20
_OPTIONAL = ("peft", "bitsandbytes", "trl", "deepspeed", "flash_attn", "lm_eval", "kenlm", "fasttext")


def main() -> int:
    """Answer questions until standard input ends."""
    # Libraries print as they like: standard output is ours alone, theirs goes where the words go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers, home_from(os.environ))
    return 0


def serve(questions: IO[bytes], answers: IO[str], home: Home) -> None:
    """Answer each line of `questions` by lines of `answers`."""

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    while line := questions.readline(_LONGEST_LINE):
        if line.strip():
            say(_answer(line, say, home))


def _answer(line: bytes, say: Say, home: Home) -> dict[str, Any]:
    try:
        return {"type": "result", **_result(line, say, home)}
    except FootplateError as error:
        return _error(error.message, error.hint, int(error.exit_code))
    except MemoryError:
        return _error("the machine has no memory left", "End other programs, or take a smaller model.", 7)
    except Exception as error:  # the boundary of this process: the console shows it and goes on
        traceback.print_exc()
        hint = "This is a bug of Footplate; the traceback is on the standard error of the helper."
        return _error(f"unexpected {type(error).__name__}: {error}", hint, int(ExitCode.UNEXPECTED))


def _error(message: str, hint: str, exit_code: int) -> dict[str, Any]:
    return {"type": "error", "message": message, "hint": hint, "exit_code": exit_code}


def _result(line: bytes, say: Say, home: Home) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except ValueError as error:
        raise UsageError(f"the question is not JSON: {error}") from error
    verb = question.get("verb") if isinstance(question, dict) else None
    match verb:
        case "sample":
            return _sample(_SampleQuestion.of(question))
        case "fetch":
            return _fetch(question, say, home)
        case "doctor":
            return _doctor()
        case _:
            raise UsageError(f"{verb!r} is no verb", hint="Ask for sample, fetch or doctor.")


class _SampleQuestion(BaseModel):
    """What to write, and with which run's model."""

    model_config = ConfigDict(strict=True, extra="forbid")

    verb: str
    run: str = Field(min_length=1)
    prompt: str = Field(min_length=1, max_length=_LONGEST_LINE)
    max_new_tokens: int = Field(default=128, ge=1, le=100_000)
    temperature: float = Field(default=0.8, ge=0, le=100)
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=17, ge=0, le=2**32 - 1)

    @classmethod
    def of(cls, question: dict[str, Any]) -> _SampleQuestion:
        try:
            return cls.model_validate_json(json.dumps(question))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _sample(question: _SampleQuestion) -> dict[str, Any]:
    from core.data.templates import render_prompt
    from core.model.generate import generate
    from core.model.load import load_folder

    run = RunDirectory(Path(question.run))
    if not (run.model / "config.json").is_file():
        raise UsageError(f"{run.path} has made no model", hint="A training run writes it at its end.")
    template = _template(run)
    ids = render_prompt(run.model, template, question.prompt)
    sampling = Sampling(max_new_tokens=question.max_new_tokens, temperature=question.temperature, top_p=question.top_p)
    text = generate(load_folder(run.model), run.model, ids, sampling, seed=question.seed)
    return {"text": text, "prompt_tokens": len(ids), "template": template}


def _template(run: RunDirectory) -> Any:
    """Return how this run's training turned a prompt into tokens."""
    from core.data.manifest import read_manifest
    from core.data.templates import resolve_template
    from core.data.tokenizer_files import load_tokenizer
    from core.run.overrides import resolved_config
    from core.run.runs import find_run

    config = resolved_config(run).config
    if not isinstance(config, SFTConfig):
        return "none"
    if isinstance(config.data, PreparedData):
        return read_manifest(find_run(run.home, config.data.run).data).template
    return resolve_template(config.data.template, load_tokenizer(run.model))


def _fetch(question: dict[str, Any], say: Say, home: Home) -> dict[str, Any]:
    from core.model.fetch import SMOLLM2, fetch_smollm2

    if question.get("what") != SMOLLM2:
        raise UsageError(f"{question.get('what')!r} cannot be fetched", hint=f"What can be fetched: {SMOLLM2}.")

    def progress(stage: str, done: float, total: float | None, unit: str) -> None:
        say({"type": "progress", "stage": stage, "done": done, "total": total, "unit": unit})

    return {"folder": str(fetch_smollm2(home, progress))}


def _doctor() -> dict[str, Any]:
    import torch
    import transformers

    from core.training.device import choose_device, device_name, is_bf16_fast

    device = choose_device()
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device_name(device),
        "cuda": torch.version.cuda or "not in this build of torch",
        "threads": torch.get_num_threads(),
        "bfloat16": "fast" if is_bf16_fast(device) else "slow here: precision.dtype auto takes fp32",
        "optional": ", ".join(name for name in _OPTIONAL if find_spec(name)) or "none installed",
    }
    if device.type == "cuda":
        found["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return found


if __name__ == "__main__":
    sys.exit(main())
