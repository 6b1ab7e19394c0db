"""What no single field can know: rules over several fields, as pure functions on a draft that may be partial.

A rule reads plain values, takes a default where a field is absent, stays silent where a value that it needs is of the
wrong type or outside its bounds (pydantic says that), and yields a problem at the field that is most likely wrong.

    batch         size is a multiple of micro_size
    schedule      exactly one of steps and epochs; warmup_steps < steps; warm-up and decay do not overlap
    shape         hidden_size is a multiple of heads; heads of key_value_heads; a llama head is of even width
    architecture  key_value_heads and rope_theta only for llama
    length        sequence_length <= context_length; data.max_tokens <= sequence_length
    evaluation    evaluate_steps needs a held-out split; sample_steps needs prompts
    tokenizer     kind model needs a model that comes with one; kind train needs a model from scratch;
                  a vocabulary holds the 256 bytes and all special tokens, each of which is named once
    adapter       what low-rank additions need (core/config/adapter_rules.py)
    data          what filters, mixtures and instructions need (core/config/data_rules.py), and source code
                  (core/config/code_rules.py)
    syntax        classes of source code and their weights (core/config/syntax_rules.py)
    prepared      pack is about instructions, attend_across_documents about text
    alignment     what reward models, DPO, PPO and GRPO need (core/config/alignment_rules.py)
    pipeline      names of stages and what they refer to (core/config/pipeline_rules.py); each stage holds by itself
    sampling      temperature is 0 or at least 0.01
    precision     flash_attention_2 has no fp32
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from core.config.adapter_rules import ADAPTER_RULES
from core.config.alignment_rules import ALIGNMENT_RULES
from core.config.code_rules import CODE_RULES
from core.config.data_rules import DATA_RULES
from core.config.partial import ROWS, Partial
from core.config.pipeline_rules import pipeline_problems
from core.config.syntax_rules import SYNTAX_RULES, WEIGHT_RULES
from core.config.yaml_text import Value, shown
from core.errors import Problem

Rule = Callable[[Partial], Iterator[Problem]]
_END_OF_TEXT = "<|endoftext|>"
_LOWEST_TEMPERATURE = 0.01
_WRITING = ("pretrain", "sft", "dpo")
"""Phases with a section `sampling`."""


def cross_field_problems(values: Mapping[str, Value]) -> Iterator[Problem]:
    """Yield what is wrong between the fields of a draft; `path` names the field, without file and line."""
    partial = Partial(values)
    phase = partial.at("phase")
    if phase == "pipeline":
        yield from pipeline_problems(partial, cross_field_problems)
        return
    for rule in _RULES.get(str(phase), _TRAINING):
        yield from rule(partial)


def _batch(draft: Partial) -> Iterator[Problem]:
    size, micro = draft.whole("batch.size"), draft.whole("batch.micro_size")
    if size is None or micro is None or size % micro == 0:
        return
    sizes = [multiple for multiple in (size // micro * micro, (size // micro + 1) * micro) if multiple > 0]
    micros = _nearest_divisors(size, micro)
    message = (
        f"must be a multiple of batch.micro_size ({micro:,}); the nearest are {_and(sizes or [micro])}"
        f" (or a micro_size of {_and(micros, 'or')})"
    )
    yield Problem("batch.size", message, found=shown(size))


def _nearest_divisors(size: int, micro: int) -> list[int]:
    if size > 10_000_000:  # outside the bounds of batch.size
        return [1]
    divisors = [divisor for divisor in range(1, min(size, 1_000_000) + 1) if size % divisor == 0]
    below = [divisor for divisor in divisors if divisor < micro][-1:]
    return below + [divisor for divisor in divisors if divisor > micro][:1]


def _and(numbers: Sequence[int], word: str = "and") -> str:
    return f" {word} ".join(f"{number:,}" for number in numbers)


def _length_of_run(draft: Partial) -> Iterator[Problem]:
    if not isinstance(draft.at("schedule"), dict):
        return
    if draft.has("schedule.steps") and draft.has("schedule.epochs"):
        yield Problem("schedule.epochs", "stands beside schedule.steps; give one of them and leave the other empty")
    elif not draft.has("schedule.steps") and not draft.has("schedule.epochs"):
        yield Problem("schedule.steps", "is missing, and so is schedule.epochs; one of them says how long the run is")


def _warmup(draft: Partial) -> Iterator[Problem]:
    steps, warmup = draft.whole("schedule.steps"), draft.whole("schedule.warmup_steps")
    if steps is None or warmup is None:
        return
    if warmup >= steps:
        message = f"must be below schedule.steps ({steps:,}), so that the peak is reached"
        yield Problem("schedule.warmup_steps", message, found=shown(warmup))
    elif draft.at("schedule.kind") == "warmup_stable_decay":
        ratio = draft.number("schedule.decay_ratio", 0.1)
        if ratio is not None and 0 < ratio <= 1 and warmup + math.ceil(ratio * steps) > steps:
            message = f"leaves no room for a warm-up of {warmup:,} of {steps:,} steps; at most {1 - warmup / steps:.3g}"
            yield Problem("schedule.decay_ratio", message, found=shown(ratio))


def _heads(draft: Partial) -> Iterator[Problem]:
    if draft.at("model.kind") != "scratch":
        return
    hidden, heads = draft.whole("model.hidden_size"), draft.whole("model.heads")
    key_value = draft.whole("model.key_value_heads")
    is_llama = draft.at("model.architecture", "llama") == "llama"
    if hidden and heads and hidden % heads:
        message = f"must be a multiple of model.heads ({heads:,}); the nearest are {_multiples(hidden, heads)}"
        yield Problem("model.hidden_size", message, found=shown(hidden))
    elif hidden and heads and is_llama and hidden // heads % 2:
        message = f"gives {heads:,} heads of width {hidden // heads}; rotary positions need an even width"
        yield Problem("model.hidden_size", message, found=shown(hidden))
    if heads and key_value and is_llama and heads % key_value:
        message = f"must divide model.heads ({heads:,}); nearest: {_and(_nearest_divisors(heads, key_value), 'or')}"
        yield Problem("model.key_value_heads", message, found=shown(key_value))


def _multiples(number: int, factor: int) -> str:
    return _and([multiple for multiple in (number // factor * factor, (number // factor + 1) * factor) if multiple])


def _architecture(draft: Partial) -> Iterator[Problem]:
    if draft.at("model.kind") != "scratch" or draft.at("model.architecture") != "gpt2":
        return
    if draft.whole("model.key_value_heads"):
        message = "is for llama only; leave it empty with architecture gpt2"
        yield Problem("model.key_value_heads", message, found=shown(draft.at("model.key_value_heads")))
    theta = draft.number("model.rope_theta", 10000.0)
    if theta is not None and theta != 10000.0:
        message = "is for llama only; leave it out with architecture gpt2, whose positions are learned"
        yield Problem("model.rope_theta", message, found=shown(theta))


def _lengths(draft: Partial) -> Iterator[Problem]:
    sequence = draft.whole("batch.sequence_length")
    context = draft.whole("model.context_length", 2048) if draft.at("model.kind") == "scratch" else None
    if sequence and context and sequence > context:
        message = f"must be at most model.context_length ({context:,})"
        yield Problem("batch.sequence_length", message, found=shown(sequence))
    if draft.at("phase") == "sft" and draft.at("data.kind") == "instructions":
        longest = draft.whole("data.max_tokens", 2048)
        if sequence and longest and longest > sequence:
            default = "" if draft.has("data.max_tokens") else ", its default"
            message = f"must be at most batch.sequence_length ({sequence:,})"
            yield Problem("data.max_tokens", message, found=f"{shown(longest)}{default}")


def _evaluation(draft: Partial) -> Iterator[Problem]:
    every = draft.whole("cadence.evaluate_steps")
    has_sources = draft.at("data.kind") in ("text", *ROWS)
    if every and has_sources and draft.number("data.held_out_fraction", 0.01) == 0:
        message = "needs a held-out split, but data.held_out_fraction is 0; raise that, or set this to 0"
        yield Problem("cadence.evaluate_steps", message, found=shown(every))
    if draft.at("cadence.evaluate_first") is True and has_sources and draft.number("data.held_out_fraction", 0.01) == 0:
        message = "needs a held-out split, but data.held_out_fraction is 0; raise that, or set this to false"
        yield Problem("cadence.evaluate_first", message, found="true")
    every = draft.whole("cadence.sample_steps")
    prompts = draft.at("sampling.prompts", [])
    if every and draft.at("phase") in _WRITING and isinstance(prompts, list) and not prompts:
        message = "needs sampling.prompts, which is empty; add one, or set this to 0"
        yield Problem("cadence.sample_steps", message, found=shown(every))


def _tokenizer_of_model(draft: Partial) -> Iterator[Problem]:
    kind = _tokenizer_kind(draft)
    model = draft.at("model.kind")
    if kind == "model" and model == "scratch":
        message = "must be train or load: a model from scratch comes without a tokenizer"
        yield Problem("data.tokenizer.kind", message, found=_tokenizer_found(draft))
    if kind == "train" and model in ("pretrained", "gguf", "run", "preset"):
        message = "must be model or load: the ids of a new tokenizer mean nothing to a model that exists"
        yield Problem("data.tokenizer.kind", message, found="train")


def _tokenizer_to_prepare(draft: Partial) -> Iterator[Problem]:
    if _tokenizer_kind(draft) == "model":
        message = "must be train or load: a prepare run has no model"
        yield Problem("data.tokenizer.kind", message, found=_tokenizer_found(draft))


def _tokenizer_kind(draft: Partial) -> Value:
    kind = draft.at("data.kind")
    default = "model" if kind in ROWS and draft.at("data.tokenizer", "absent") == "absent" else None
    return draft.at("data.tokenizer.kind", default) if kind in ("text", *ROWS) else None


def _tokenizer_found(draft: Partial) -> str:
    return "model" if draft.has("data.tokenizer") else "model, the default"


def _vocabulary(draft: Partial) -> Iterator[Problem]:
    if draft.at("data.tokenizer.kind") != "train":
        return
    special = [token for token in draft.list_at("data.tokenizer.special_tokens") if isinstance(token, str)]
    size = draft.whole("data.tokenizer.vocabulary_size", 4096)
    for token in sorted({token for token in special if special.count(token) > 1}):
        yield Problem("data.tokenizer.special_tokens", "names a token twice", found=shown(token))
    if _END_OF_TEXT in special:
        message = f"need not name {_END_OF_TEXT}, which is always there"
        yield Problem("data.tokenizer.special_tokens", message, found=shown(_END_OF_TEXT))
    if "" in special:
        yield Problem("data.tokenizer.special_tokens", "must not hold an empty token", found=shown(""))
    if size and size < 257 + len(special):
        least = 257 + len(special)
        message = f"must be at least {least:,}: 256 bytes, {_END_OF_TEXT} and {len(special):,} special tokens"
        yield Problem("data.tokenizer.vocabulary_size", message, found=shown(size))


def _prepared(draft: Partial) -> Iterator[Problem]:
    if draft.at("data.kind") != "run":
        return
    phase = str(draft.at("phase"))
    if phase not in _RULES:
        return
    if phase != "sft" and draft.at("data.pack") is False:
        yield Problem("data.pack", f"is about instructions; leave it out in {phase}", found="false")
    if phase != "pretrain" and draft.at("data.attend_across_documents") is True:
        yield Problem("data.attend_across_documents", f"is about text; leave it out in {phase}", found="true")


def _temperature(draft: Partial) -> Iterator[Problem]:
    temperature = draft.number("sampling.temperature", 0.8)
    if temperature is not None and 0 < temperature < _LOWEST_TEMPERATURE:
        message = f"must be 0 (the likeliest token) or at least {_LOWEST_TEMPERATURE}, because logits are divided by it"
        yield Problem("sampling.temperature", message, found=shown(temperature))


def _precision(draft: Partial) -> Iterator[Problem]:
    if draft.at("model.attention") == "flash_attention_2" and draft.at("precision.dtype") == "fp32":
        message = "must be bf16, fp16 or auto with model.attention flash_attention_2, which has no fp32"
        yield Problem("precision.dtype", message, found="fp32")


_PREPARE: Sequence[Rule] = (_tokenizer_to_prepare, _vocabulary, *DATA_RULES, *CODE_RULES, *SYNTAX_RULES)
_TRAINING: Sequence[Rule] = (
    _vocabulary, *DATA_RULES, *CODE_RULES, _prepared, _length_of_run, _warmup, _batch, _evaluation, _temperature,
    _precision,
)  # fmt: skip
_LIKELIHOOD: Sequence[Rule] = (
    _heads, _architecture, _tokenizer_of_model, _lengths, *_TRAINING, *ADAPTER_RULES, *SYNTAX_RULES, *WEIGHT_RULES,
)  # fmt: skip
_ALIGNMENT: Sequence[Rule] = (*_TRAINING, *ADAPTER_RULES, *ALIGNMENT_RULES)
_RULES: Mapping[str, Sequence[Rule]] = {
    "prepare": _PREPARE,
    **dict.fromkeys(("pretrain", "sft"), _LIKELIHOOD),
    **dict.fromkeys(("reward", "dpo", "ppo", "grpo"), _ALIGNMENT),
}
