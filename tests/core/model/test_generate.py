from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from core.config.cadence import Sampling
from core.errors import UsageError
from core.model.generate import end_tokens, generate, generate_ids
from core.model.verification import verify_reading

GREEDY = Sampling(max_new_tokens=12, temperature=0)
NONE: frozenset[int] = frozenset()


@pytest.fixture
def model(build: Callable[..., Any]) -> Any:
    """Large weights: otherwise a fresh model repeats its last token."""
    made = build(seed=11, tie_embeddings=False)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(12)
    return made


def _folder(path: Path, *, template: str | None = None) -> Path:
    words = {"<|endoftext|>": 0, "<|im_end|>": 1, **{f"w{number}": number for number in range(2, 96)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_end|>"])
    path.mkdir(exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|endoftext|>"}}))
    if template:
        (path / "chat_template.jinja").write_text(template)
    return path


def _without_cache(model: Any, prompt: list[int], tokens: int) -> list[int]:
    """The likeliest token each time, the whole text through the model for each."""
    model.eval()
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    model.train()
    return ids[len(prompt) :]


@pytest.mark.parametrize("attention", ["sdpa", "documents"])
def test_greedy_equals_the_whole_text_each_time(attention: Any, model: Any) -> None:
    right = _without_cache(model, [5, 6, 7], 12)
    assert len(set(right)) > 4
    verify_reading(model, attention)
    assert generate_ids(model, [5, 6, 7], GREEDY, ends=NONE, seed=1) == right


def test_padded_prompts_under_documents_equal_each_alone(model: Any) -> None:
    """transformers' own batched generation, left-padded, through our attention."""
    verify_reading(model, "documents")
    model.eval()
    ids = torch.tensor([[0, 0, 5, 6], [8, 9, 10, 11]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    found = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert found[0, 4:].tolist() == _without_cache(model, [5, 6], 8)
    assert found[1, 4:].tolist() == _without_cache(model, [8, 9, 10, 11], 8)


def test_it_ends_before_an_end_token(model: Any) -> None:
    right = _without_cache(model, [5, 6, 7], 12)
    place = next(at for at in range(3, 12) if right[at] not in right[:at])
    assert generate_ids(model, [5, 6, 7], GREEDY, ends=frozenset({right[place]}), seed=1) == right[:place]


def test_the_seed_decides_and_the_global_generator_stays(model: Any) -> None:
    warm = Sampling(max_new_tokens=20, temperature=1.0, top_p=1.0)
    before = torch.get_rng_state()
    first, again, other = (generate_ids(model, [5], warm, ends=NONE, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_top_p_keeps_the_likeliest_tokens_that_reach_it(model: Any) -> None:
    model.eval()
    with torch.no_grad():
        chances = model(input_ids=torch.tensor([[5]])).logits[0, -1].div(2.0).softmax(0)
    model.train()
    order = chances.argsort(descending=True).tolist()
    reached, allowed = 0.0, set()
    for token in order:
        allowed.add(token)
        reached += chances[token].item()
        if reached >= 0.6:
            break
    assert 1 < len(allowed) < 96
    sampling = Sampling(max_new_tokens=1, temperature=2.0, top_p=0.6)
    drawn = {generate_ids(model, [5], sampling, ends=NONE, seed=seed)[0] for seed in range(300)}
    assert drawn <= allowed
    assert len(drawn) > 1


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_full_context_ends_the_text(architecture: str, build: Callable[..., Any]) -> None:
    model = build(architecture, context_length=16)
    long = Sampling(max_new_tokens=50, temperature=0)
    assert len(generate_ids(model, [5, 6, 7], long, ends=NONE, seed=1)) == 13
    short = Sampling(max_new_tokens=6, temperature=0)
    assert len(generate_ids(model, list(range(40)), short, ends=NONE, seed=1)) == 6


def test_flags_and_cache_setting_are_put_back(model: Any, tmp_path: Path) -> None:
    model.model.layers[1].eval()
    flags = [module.training for module in model.modules()]
    generate(model, _folder(tmp_path / "t"), [5, 6], GREEDY, seed=1)
    assert [module.training for module in model.modules()] == flags
    assert not model.config.use_cache
    assert all(parameter.grad is None for parameter in model.parameters())


def test_flags_are_put_back_after_an_error(model: Any) -> None:
    with pytest.raises(IndexError):
        generate_ids(model, [5, 960], GREEDY, ends=NONE, seed=1)
    assert model.training


def test_checkpointing_does_not_reach_generation(build: Callable[..., Any]) -> None:
    plain, checkpointed = build(), build(gradient_checkpointing=True)
    assert generate_ids(plain, [5], GREEDY, ends=NONE, seed=1) == generate_ids(
        checkpointed, [5], GREEDY, ends=NONE, seed=1
    )


def test_the_text_is_the_continuation_alone(model: Any, tmp_path: Path) -> None:
    ids = [token for token in _without_cache(model, [5, 6, 7], 12)]
    text = generate(model, _folder(tmp_path / "t"), [5, 6, 7], GREEDY, seed=1)
    ends = [at for at, token in enumerate(ids) if token == 0]
    kept = ids[: ends[0]] if ends else ids
    assert text.split() == [f"w{token}" for token in kept if token > 1]


def test_a_turn_ends_where_the_chat_template_ends_it(model: Any, tmp_path: Path) -> None:
    plain, chat = _folder(tmp_path / "plain"), _folder(tmp_path / "chat", template="{{ m }}<|im_end|>")
    read = Tokenizer.from_file(str(chat / "tokenizer.json"))
    model.config.eos_token_id = [40, 41]
    model.generation_config.eos_token_id = None
    assert end_tokens(model, plain, read) == {0, 40, 41}
    assert end_tokens(model, chat, read) == {0, 1, 40, 41}
    model.generation_config.eos_token_id = [41, 42]
    assert end_tokens(model, plain, read) == {0, 40, 41, 42}


def test_leaving_keeps_what_was_written(model: Any, tmp_path: Path) -> None:
    right = _without_cache(model, [5, 6, 7], 12)
    answers = iter([False, False, False, True])
    found = generate_ids(model, [5, 6, 7], GREEDY, ends=NONE, seed=1, is_leaving=lambda: next(answers))
    assert found == right[:3]
    assert model.training
    assert generate(model, _folder(tmp_path / "t"), [5], GREEDY, seed=1, is_leaving=lambda: True) == ""


def test_an_empty_prompt_is_an_error(model: Any) -> None:
    with pytest.raises(UsageError, match="empty"):
        generate_ids(model, [], GREEDY, ends=NONE, seed=1)


def test_a_folder_without_tokenizer_is_an_error(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokenizer\.json"):
        generate(model, tmp_path, [5], GREEDY, seed=1)
