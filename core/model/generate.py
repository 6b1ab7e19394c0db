"""Text that a model writes, the same for the same seed and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from core.config.cadence import Sampling
from core.errors import UsageError
from core.model.dropout import evaluating

_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>", "<|return|>")
"""What ends a turn in the chat templates of ChatML, Llama 3 and 4, Gemma, Phi, and their like."""


def generate(
    model: Any,
    tokenizer_folder: Path,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    *,
    seed: int,
    is_leaving: Callable[[], bool] | None = None,
) -> str:
    """Return the text with which the model continues the prompt, without special tokens.

    It ends at the model's end of text or the chat template's end of turn, after `sampling.max_new_tokens`, or where the
    model's context is full; a prompt that fills the context alone loses its beginning. Training flags, the cache
    setting and the global random generators are as before afterwards. `is_leaving` is asked before each token: once it
    is true, what was written so far is the text.
    Raises: UsageError for an empty prompt, or a tokenizer folder without tokenizer.json.
    """
    tokenizer = _tokenizer(tokenizer_folder)
    ends = end_tokens(model, tokenizer_folder, tokenizer)
    written = generate_ids(model, prompt_ids, sampling, ends=ends, seed=seed, is_leaving=is_leaving)
    # Decoded together with the prompt: what a token reads as may depend on its neighbours.
    before = tokenizer.decode(list(prompt_ids), skip_special_tokens=True)
    both = tokenizer.decode([*prompt_ids, *written], skip_special_tokens=True)
    return both[len(before) :] if both.startswith(before) else tokenizer.decode(written, skip_special_tokens=True)


def generate_ids(
    model: Any,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    *,
    ends: frozenset[int],
    seed: int,
    is_leaving: Callable[[], bool] | None = None,
) -> list[int]:
    """Return the tokens that follow the prompt, without the one that ended them; see `generate`."""
    from transformers import DynamicCache

    if not prompt_ids:
        raise UsageError("the prompt is empty", hint="Give the model at least one token to begin with.")
    limit = getattr(model.config, "max_position_embeddings", None)
    prompt = list(prompt_ids)
    if limit is not None and len(prompt) >= limit:
        prompt = prompt[-max(limit - sampling.max_new_tokens, limit // 2) :]
    device = model.get_input_embeddings().weight.device
    choose = _chooser(sampling, seed, device)
    written: list[int] = []
    with _writing(model), torch.no_grad():
        cache = DynamicCache(config=model.config)
        following = torch.tensor([prompt], device=device)
        while len(written) < sampling.max_new_tokens and (limit is None or len(prompt) + len(written) < limit):
            if is_leaving is not None and is_leaving():
                break
            logits = model(input_ids=following, cache=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            token = choose(logits.float())
            if token in ends:
                break
            written.append(token)
            following = torch.tensor([[token]], device=device)
    return written


def end_tokens(model: Any, tokenizer_folder: Path, tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids that end a text: the model's, the tokenizer's, and the end of a turn in its chat template."""
    settings_file = tokenizer_folder / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text(encoding="utf-8")) if settings_file.is_file() else {}
    template_file = tokenizer_folder / "chat_template.jinja"
    template = template_file.read_text(encoding="utf-8") if template_file.is_file() else settings.get("chat_template")
    names = [settings.get("eos_token"), *(name for name in _TURN_ENDS if name in str(template or ""))]
    words = (name.get("content") if isinstance(name, dict) else name for name in names)
    found = [tokenizer.token_to_id(word) for word in words if isinstance(word, str)]
    return frozenset(token for token in [*found, *declared_ends(model)] if token is not None)


def declared_ends(model: Any) -> list[int]:
    """Return the ids that end a text by the model's config and then by its generation config, each once.

    The end of a turn of a chat model often stands in the generation config alone.
    """
    found: list[int] = []
    for config in (model.config, getattr(model, "generation_config", None)):
        ends = getattr(config, "eos_token_id", None)
        found.extend(ends if isinstance(ends, list | tuple) else [] if ends is None else [ends])
    return list(dict.fromkeys(found))


def _tokenizer(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UsageError(f"{folder} has no tokenizer.json", hint="The tokenizer lies beside the model in its folder.")
    return Tokenizer.from_file(str(file))


def _chooser(sampling: Sampling, seed: int, device: torch.device) -> Callable[[Tensor], int]:
    """Return the function from logits (vocabulary,) to the next token; it draws from a generator of its own."""
    generator = torch.Generator(device=device).manual_seed(seed)

    def choose(logits: Tensor) -> int:
        if sampling.temperature == 0:
            return int(logits.argmax())
        probabilities, tokens = torch.softmax(logits / sampling.temperature, 0).sort(descending=True, stable=True)
        # A token stays while those before it have not reached top_p together: the first one always does.
        probabilities[probabilities.cumsum(0) - probabilities >= sampling.top_p] = 0
        return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])

    return choose


@contextmanager
def _writing(model: Any) -> Iterator[None]:
    """Run the block in evaluation mode; the training flag of every module is put back."""
    # Compiled layers would be compiled again for every length.
    with evaluating(model), torch.compiler.set_stance("force_eager"):
        yield
