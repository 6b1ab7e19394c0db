from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import NumericError, UsageError
from core.model.adapters import attach
from core.model.reordered import reordered_weights
from core.model.responses import Asked, Response, choose, respond
from core.model.verification import verify_reading
from core.model.written_rows import closed_up
from tests.core.model.adapted import NF4, disturb, loaded, lora

NONE: frozenset[int] = frozenset()
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15, 16], [20], [30, 31, 32, 33, 34]]
GREEDY = Asked(each=1, max_new_tokens=20, temperature=0, ends=NONE, seeds=range(4), micro_size=8)
WARM = Asked(each=3, max_new_tokens=20, temperature=1.0, ends=NONE, seeds=range(100, 112), micro_size=16)


@pytest.fixture
def model(build: Callable[..., Any]) -> Any:
    return _large(build(seed=11, tie_embeddings=False))


def _large(model: Any) -> Any:
    """Large weights: otherwise a fresh model repeats its last token."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(12)
    return model


def _respond(model: Any, prompts: Sequence[Sequence[int]], asked: Asked) -> list[Response]:
    found = respond(model, prompts, asked, is_leaving=lambda: False)
    assert found is not None
    return found


def _by_transformers(model: Any, prompt: list[int], tokens: int) -> list[int]:
    model.eval()
    ids = torch.tensor([prompt])
    found = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, eos_token_id=None
    )
    model.train()
    return list(found[0, len(prompt) :].tolist())


def _check_greedy(model: Any) -> None:
    found = _respond(model, PROMPTS, GREEDY)
    expected = [_by_transformers(model, prompt, 20) for prompt in PROMPTS]
    assert [list(response.tokens) for response in found] == expected
    assert [list(response.prompt) for response in found] == PROMPTS
    assert len({token for tokens in expected for token in tokens}) > 20
    assert not any(response.ended for response in found)


@pytest.mark.parametrize("attention", ["sdpa", "documents"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_greedy_equals_transformers_token_for_token(
    architecture: str, attention: Any, build: Callable[..., Any]
) -> None:
    model = _large(build(architecture, seed=11, tie_embeddings=False))
    verify_reading(model, attention)
    _check_greedy(model)


def test_shared_key_heads(build: Callable[..., Any]) -> None:
    model = _large(build(seed=11, tie_embeddings=False, key_value_heads=2))
    verify_reading(model, "documents")
    _check_greedy(model)


def test_a_window_shorter_than_the_row() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(3)
    config = MistralConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=6, max_position_embeddings=64,
    )  # fmt: skip
    model = _large(MistralForCausalLM(config))
    _check_greedy(model)
    found = _respond(model, PROMPTS, replace(GREEDY, each=3, seeds=range(12)))
    assert [list(response.tokens) for response in found[1::3]] == [_by_transformers(model, p, 20) for p in PROMPTS]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_and_gradient_checkpointing(checkpointing: bool, build: Callable[..., Any]) -> None:
    model = _large(build(seed=11, tie_embeddings=False, gradient_checkpointing=checkpointing))
    attach(model, lora(), seed=3)
    base = _respond(model, PROMPTS, GREEDY)
    disturb(model)
    assert model.is_activation_checkpointing == checkpointing
    _check_greedy(model)
    assert _respond(model, PROMPTS, GREEDY) != base


def test_a_base_in_four_bits(build: Callable[..., Any], tmp_path: Path) -> None:
    _large(build(seed=11, tie_embeddings=False, hidden_size=64)).save_pretrained(tmp_path)
    model = loaded(tmp_path, quantization=NF4)
    attach(model, lora(), seed=3)
    disturb(model)
    _check_greedy(model)


def test_autocast_keeps_the_distribution_of_transformers(model: Any) -> None:
    """Greedy tokens in bfloat16 are compared on logits: near ties fall either way."""
    logits = []
    model.lm_head.register_forward_hook(lambda _, __, output: logits.append(output.float().clone()))
    prompts = [PROMPTS[0], PROMPTS[3]]
    with torch.autocast("cpu", torch.bfloat16):
        found = _respond(model, prompts, replace(GREEDY, seeds=range(2)))
        steps, logits[:] = list(logits), []
        with torch.no_grad():
            for response in found:
                model(input_ids=torch.tensor([[*response.prompt, *response.tokens[:-1]]]), use_cache=False)
    for row, whole in enumerate(logits):
        written = torch.stack([step[row, -1] for step in steps])
        expected = whole[0, len(prompts[row]) - 1 :]
        assert (written - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_response_is_the_same_whatever_is_beside_it(temperature: float, model: Any) -> None:
    asked = replace(WARM, temperature=temperature, ends=frozenset(range(4)))
    together = _respond(model, PROMPTS, asked)
    assert len({response.tokens for response in together}) == 12
    assert 0 < sum(response.ended for response in together) < 12
    for micro_size in (1, 2, 5):
        assert _respond(model, PROMPTS, replace(asked, micro_size=micro_size)) == together
    order = [2, 0, 3, 1]
    seeds = [asked.seeds[3 * place + number] for place in order for number in range(3)]
    shuffled = _respond(model, [PROMPTS[place] for place in order], replace(asked, seeds=seeds))
    assert shuffled == [together[3 * place + number] for place in order for number in range(3)]
    alone = _respond(model, [PROMPTS[1]], replace(asked, each=1, seeds=[asked.seeds[4]]))
    assert alone == [together[4]]


def test_one_seed_gives_one_response_to_the_same_prompt(model: Any) -> None:
    asked = replace(WARM, each=1, seeds=[7, 8, 7])
    first, other, again = _respond(model, [PROMPTS[0], PROMPTS[0], PROMPTS[0]], asked)
    assert first == again != other


def test_each_distinct_prompt_is_read_once(model: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    _respond(model, [PROMPTS[0], PROMPTS[1], PROMPTS[0]], replace(WARM, seeds=range(9)))
    hook.remove()
    assert shapes[0] == (2, 9)
    assert set(shapes[1:]) == {(9, 1)}


def test_similar_lengths_are_written_together_and_groups_kept_whole(model: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    _respond(model, PROMPTS, replace(WARM, micro_size=7))
    hook.remove()
    assert [shape for shape in shapes if shape[1] > 1] == [(2, 3), (2, 9)]


def test_rows_that_ended_leave_the_batch(model: Any) -> None:
    sizes: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    found = _respond(model, PROMPTS, replace(WARM, ends=frozenset(range(12))))
    hook.remove()
    lengths = [len(response.tokens) for response in found]
    assert len(set(lengths)) > 1
    # The last token of a response is not read.
    assert sizes[1:] == [sum(length > step + 1 for length in lengths) for step in range(max(lengths) - 1)]


def test_ended_and_cut(model: Any) -> None:
    right = _by_transformers(model, PROMPTS[0], 20)
    place = next(at for at in range(3, 12) if right[at] not in right[:at])
    asked = replace(GREEDY, seeds=[1], ends=frozenset({right[place]}))
    assert _respond(model, [PROMPTS[0]], asked) == [Response(tuple(PROMPTS[0]), tuple(right[: place + 1]), True)]
    cut = replace(asked, max_new_tokens=place)
    assert _respond(model, [PROMPTS[0]], cut) == [Response(tuple(PROMPTS[0]), tuple(right[:place]), False)]
    exact = replace(asked, max_new_tokens=place + 1)
    assert _respond(model, [PROMPTS[0]], exact)[0].ended


def test_an_empty_response_is_its_end_token(model: Any) -> None:
    first = _by_transformers(model, PROMPTS[0], 1)[0]
    found = _respond(model, PROMPTS[:2], replace(GREEDY, seeds=[1, 2], ends=frozenset({first})))
    assert found[0] == Response(tuple(PROMPTS[0]), (first,), True)
    assert len(found[1].tokens) > 1


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_full_context_cuts_each_row_at_its_own_length(architecture: str, build: Callable[..., Any]) -> None:
    model = build(architecture, context_length=16)
    found = _respond(model, PROMPTS, replace(GREEDY, max_new_tokens=50))
    assert [len(response.tokens) for response in found] == [13, 7, 15, 11]
    assert not any(response.ended for response in found)


def test_prompts_that_leave_nothing_to_write_are_refused(build: Callable[..., Any]) -> None:
    model = build(context_length=16)
    with pytest.raises(UsageError, match="16 tokens leaves no room in the model's context of 16"):
        _respond(model, [list(range(16))], replace(GREEDY, seeds=[1]))
    with pytest.raises(UsageError, match="a prompt is empty"):
        _respond(model, [[5], []], replace(GREEDY, seeds=[1, 2]))


class _ThreeTokens(nn.Module):
    """A model whose next token has the same chances everywhere."""

    def __init__(self, chances: Sequence[float]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 1)
        self.logits = torch.tensor(chances).log() * 2 + 5
        self.config = SimpleNamespace(get_text_config=lambda decoder=True: SimpleNamespace())

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.logits.expand(len(input_ids), 1, 3))


def test_tokens_come_as_often_as_their_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    monkeypatch.setattr(transformers, "DynamicCache", lambda config: SimpleNamespace(layers=[]))
    chances = [0.5, 0.3, 0.2]
    asked = Asked(each=400, max_new_tokens=50, temperature=2.0, ends=NONE, seeds=range(400), micro_size=400)
    found = _respond(_ThreeTokens(chances), [[0]], asked)
    counts = Counter(token for response in found for token in response.tokens)
    total = sum(counts.values())
    assert total == 20_000
    for token, chance in enumerate(chances):
        assert abs(counts[token] / total - chance) < 4 * (chance * (1 - chance) / total) ** 0.5
    followed = Counter((a, b) for response in found for a, b in zip(response.tokens, response.tokens[1:], strict=False))
    assert abs(followed[0, 0] / sum(followed.values()) - 0.25) < 0.015  # one draw says nothing of the next


def test_the_ends_of_the_unit_interval() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).repeat(3, 1)
    uniform = torch.tensor([0.0, 0.5, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert choose(logits, uniform, 1.0).tolist() == [3, 1, 1]
    rounded = torch.randn(64, 1000, generator=torch.Generator().manual_seed(1))
    assert (rounded.softmax(-1).double().sum(-1) < 1).any(), "some probabilities sum to less than 1"
    assert int(choose(rounded, torch.zeros(64, dtype=torch.float64), 1.0).max()) < 1000


def test_a_draw_turns_its_probabilities_by_the_temperature() -> None:
    logits, uniform = torch.tensor([[2.0, 0.0]]).repeat(1000, 1), torch.linspace(0, 0.999, 1000, dtype=torch.float64)
    share = 1 / (1 + torch.e ** (-2.0 / 4))
    assert abs((choose(logits, uniform, 4.0) == 0).double().mean().item() - share) < 2e-3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_refused(temperature: float, wrong: float) -> None:
    logits = torch.zeros(2, 5)
    logits[1, 3] = wrong
    with pytest.raises(NumericError, match="not finite"):
        choose(logits, torch.zeros(2, dtype=torch.float64), temperature)


def test_flags_gradients_and_generators_are_as_before(model: Any) -> None:
    model.model.layers[1].eval()
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    flags = [module.training for module in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    use_cache, torch_state, numpy_state = model.config.use_cache, torch.get_rng_state(), np.random.get_state()[1].copy()
    _respond(model, PROMPTS, WARM)
    assert [module.training for module in model.modules()] == flags
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert model.config.use_cache == use_cache
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert "forward" not in model.lm_head.__dict__
    model(input_ids=torch.tensor([[1, 2]])).logits.sum().backward()
    assert model.lm_head.weight.grad is not None


def test_dropout_is_off(build: Callable[..., Any]) -> None:
    model = _large(build("gpt2", seed=11, tie_embeddings=False))
    model.config.resid_pdrop = 0.9
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.9
    assert _respond(model, PROMPTS, GREEDY) == _respond(model, PROMPTS, GREEDY)
    _check_greedy(model)


@pytest.mark.parametrize("after", [0, 3])
def test_leaving_gives_nothing(after: int, model: Any) -> None:
    asked: list[int] = []

    def is_leaving() -> bool:
        asked.append(1)
        return len(asked) > after

    assert respond(model, PROMPTS, WARM, is_leaving=is_leaving) is None
    assert len(asked) == after + 1
    assert all(module.training for module in model.modules())


def test_rows_close_up_with_as_few_moves_as_there_are_gaps() -> None:
    stays = torch.tensor([True, False, True, False, False, True, True])
    assert closed_up(stays).tolist() == [0, 5, 2, 6]
    assert closed_up(torch.tensor([False, False])).tolist() == []


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("autocast", [False, True])
def test_reordered_weights_change_rounding_alone(architecture: str, autocast: bool, build: Callable[..., Any]) -> None:
    model = build(architecture, seed=4).eval()
    disturb(model)
    ids = torch.arange(40).reshape(4, 10)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.no_grad():
        plain = model(input_ids=ids).logits
        with reordered_weights(model):
            found = model(input_ids=ids).logits
            assert "forward" in model.lm_head.__dict__
    assert found.dtype == plain.dtype
    torch.testing.assert_close(found, plain, atol=(2e-2 if autocast else 1e-5) * plain.abs().max().item(), rtol=0)
    assert not any("forward" in module.__dict__ for module in model.modules())
