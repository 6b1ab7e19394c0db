"""Several models that are one base under different adapters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import UsageError
from core.model.active_adapter import active_adapter
from core.model.adapters import WEIGHTS, Part, adapter_tensors, attach, save_adapter
from core.model.base_record import Quantization, weights_digest
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.frozen import store_frozen
from core.model.injection import adapter_of
from core.model.log_probs import target_log_probs
from core.model.quantized import quantized_layers
from core.model.reading import Reading
from core.model.roles import Role, activate, add_adapter, add_saved_adapter
from core.model.scalar_head import add_head, document_scores, target_values
from core.model.verification import verify_reading
from tests.core.model.adapted import ADDED, NF4, digest, disturb, frozen, loaded, logits, lora, record_of

Make = Callable[..., tuple[Any, Reading]]


@pytest.fixture
def shared(base: Callable[..., Path]) -> Make:
    """A policy and a value function on one base, both moved away from it."""
    folder = base()

    def make(*, checkpointing: bool = False, quantization: Quantization | None = None, **values: Any) -> Any:
        model = loaded(folder, quantization=quantization, gradient_checkpointing=checkpointing)
        attach(model, lora(**values), seed=3)
        reading = replace(verify_reading(model, "auto"), chunk=4)
        add_adapter(model, lora(rank=2), "value", seed=4)
        add_head(model, "value", seed=5)
        disturb(model)
        return model, reading

    return make


def roles_of(model: Any, reading: Reading) -> tuple[Role, Role, Role]:
    names = {"policy": "default", "value": "value", "reference": ""}
    policy, value, reference = (Role(name, model, reading, adapter) for name, adapter in names.items())
    return policy, value, reference


def gradients_of(model: Any) -> dict[str, Tensor]:
    """Return the gradients that are there, and leave none behind."""
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    model.zero_grad(set_to_none=True)
    return found


def policy_loss(role: Role, batch: PackedBatch) -> Tensor:
    return -target_log_probs(activate(role), role.reading, batch).values.sum()


def value_loss(role: Role, batch: PackedBatch) -> Tensor:
    return (target_values(activate(role), role.reading, batch) - 1).square().sum()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("quantization", [None, NF4])
def test_each_loss_reaches_its_own_adapter_alone(
    checkpointing: bool, quantization: Quantization | None, shared: Make, row: Callable[..., PackedBatch]
) -> None:
    model, reading = shared(checkpointing=checkpointing, quantization=quantization)
    policy, value, _ = roles_of(model, reading)
    batch = row(9, 12)
    policy_loss(policy, batch).backward()
    of_policy = gradients_of(model)
    assert {adapter_of(name) for name in of_policy} == {"default"}
    value_loss(value, batch).backward()
    of_value = gradients_of(model)
    assert {adapter_of(name) or name for name in of_value} == {"value", "value.weight"}
    assert len(of_policy) == len(of_value) - 1 == 2 * 7 * 2, "A and B of seven layers in two blocks"


@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_backward_pass_through_two_adapters(
    checkpointing: bool, shared: Make, row: Callable[..., PackedBatch]
) -> None:
    """With gradient checkpointing layers are computed again: each under the adapter of its own forward pass."""
    model, reading = shared(checkpointing=checkpointing)
    policy, value, reference = roles_of(model, reading)
    batch = row(9, 12)
    plain, plain_reading = shared()
    plain_policy, plain_value, _ = roles_of(plain, plain_reading)
    policy_loss(plain_policy, batch).backward()
    value_loss(plain_value, batch).backward()
    expected = gradients_of(plain)
    loss = policy_loss(policy, batch) + value_loss(value, batch)
    activate(reference)
    loss.backward()
    assert active_adapter(model) == ""
    found = gradients_of(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("quantization", [None, NF4])
def test_without_adapters_the_model_is_the_base_to_the_last_bit(
    quantization: Quantization | None, base: Callable[..., Path]
) -> None:
    folder = base()
    ids = torch.arange(20)[None]
    right = logits(loaded(folder, quantization=quantization), ids)
    model = loaded(folder, quantization=quantization)
    attach(model, lora(), seed=3)
    reading = verify_reading(model, "auto")
    add_adapter(model, lora(), "value", seed=4)
    disturb(model)
    policy, _, reference = roles_of(model, reading)
    model.set_attn_implementation("sdpa")
    assert torch.equal(logits(activate(reference), ids), right)
    assert not torch.equal(logits(activate(policy), ids), right)
    assert torch.equal(logits(activate(reference), ids), right)


def test_switching_changes_nothing_of_what_is_trained(shared: Make) -> None:
    model, reading = shared()
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert {adapter_of(name) for name, trained in before.items() if trained} == {"default", "value", None}
    assert {name for name, trained in before.items() if trained and adapter_of(name) is None} == {"value.weight"}
    for role in roles_of(model, reading) * 2:
        activate(role)
        assert active_adapter(model) == role.adapter
        assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before


def test_a_model_without_adapters_is_its_own_role(build: Callable[..., Any]) -> None:
    model = build()
    assert activate(Role("reference", model, verify_reading(model, "auto"))) is model


def test_steps_move_no_base_weight_and_no_other_adapter(shared: Make, row: Callable[..., PackedBatch]) -> None:
    model, reading = shared()
    policy, value, _ = roles_of(model, reading)
    others = {name: p.detach() for name, p in model.named_parameters() if adapter_of(name) == "value"}
    before, before_others = digest(frozen(model)), digest(others)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    batch = row(9, 12)
    for _ in range(3):
        policy_loss(policy, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert digest(frozen(model)) == before
    assert digest(others) == before_others
    value_loss(value, batch).backward()
    optimizer.step()
    assert digest(frozen(model)) == before
    assert digest(others) != before_others


@pytest.mark.parametrize("is_narrow", [False, True])
def test_each_adapter_alone_has_the_tensors_of_a_run_with_it_alone(base: Callable[..., Path], is_narrow: bool) -> None:
    """Also where the frozen weights beside it are stored in 16 bits by the time that the second one comes."""
    folder = base()
    first, second = (attach(loaded(folder), lora(rank=4), seed=seed) for seed in (3, 4))
    model = attach(loaded(folder), lora(rank=4), seed=3)
    if is_narrow:
        assert store_frozen(model, torch.bfloat16)
        assert any(parameter.dtype is torch.bfloat16 for parameter in model.parameters())
    add_adapter(model, lora(rank=4), "value", seed=4)
    assert active_adapter(model) == "default"
    for found, right in (
        (adapter_tensors(model), adapter_tensors(first)),
        (adapter_tensors(model, Part("value")), adapter_tensors(second)),
    ):
        assert found.keys() == right.keys()
        assert all(torch.equal(found[name], right[name]) for name in right)


def test_an_adapter_may_have_other_layers_and_scale(base: Callable[..., Path], row: Callable[..., PackedBatch]) -> None:
    """Layers that only one of two has are passed over by the other; alpha and rank are each one's own."""
    folder, batch = base(), row(9, 12)
    narrow = {"targets": ["down_proj"], "rank": 2, "alpha": 5.0}
    model = attach(loaded(folder), lora(targets=["attention"]), seed=3)
    reading = verify_reading(model, "auto")
    add_adapter(model, lora(**narrow), "value", seed=4)
    disturb(model)
    alone = attach(loaded(folder), lora(**narrow), seed=4)
    verify_reading(alone, "auto")
    moved = adapter_tensors(model, Part("value"))
    with torch.no_grad():
        for name, tensor in adapter_tensors(alone).items():
            tensor.copy_(moved[name])
        right = target_log_probs(alone, reading, batch).values
        _, value, _ = roles_of(model, reading)
        found = target_log_probs(activate(value), reading, batch).values
    torch.testing.assert_close(found, right, rtol=0, atol=1e-6)


def test_rows_of_new_tokens_belong_to_the_first_adapter(base: Callable[..., Path]) -> None:
    model = attach(loaded(base(), added=3), lora(), seed=3, added_token_ids=ADDED)
    reading = verify_reading(model, "auto")
    add_adapter(model, lora(), "value", seed=4)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    policy, value, reference = roles_of(model, reading)
    right = logits(activate(reference))
    disturb(model)
    assert torch.equal(logits(activate(reference)), right)
    rows = {name for name in before if "trainable_tokens_delta" in name}
    assert {adapter_of(name) for name in rows} == {"default"}
    activate(policy)
    logits(model)
    activate(value)
    logits(model)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before


def test_trained_embeddings_are_not_shared(base: Callable[..., Path]) -> None:
    model = attach(loaded(base()), lora(embeddings="whole"), seed=3)
    with pytest.raises(UsageError, match="is trained as a whole"):
        add_adapter(model, lora(), "value", seed=4)


@pytest.fixture
def saved(base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path) -> tuple[Path, Path, Any]:
    """A base, a folder with an adapter and a head of scores, and the model that was trained."""
    folder = base()
    model = attach(loaded(folder), lora(rank=2), seed=8)
    add_head(model, "score", seed=9)
    disturb(model)
    record = record_of(folder).model_copy(
        update={"vocabulary_size": 96, "added_tokens": [], "added_token_ids": []},
    )
    out = tmp_path / "reward"
    save_adapter(model, out, record=record, tokenizer=empty_tokenizer, part=Part(heads=("score",)))
    return folder, out, model


def test_a_saved_adapter_scores_as_it_did_and_is_frozen(
    saved: tuple[Path, Path, Any], row: Callable[..., PackedBatch]
) -> None:
    folder, out, trained = saved
    model = attach(loaded(folder), lora(), seed=3)
    reading = verify_reading(model, "auto")
    verify_reading(trained, "auto")
    disturb(model)
    policy = Role("policy", model, reading, "default")
    before = copy.deepcopy(logits(activate(policy), torch.arange(9)[None]))
    score = add_saved_adapter(model, out, "reward", base_digest=weights_digest(folder))
    assert active_adapter(model) == "default"
    assert torch.equal(logits(model, torch.arange(9)[None]), before)
    assert {adapter_of(name) for name, p in model.named_parameters() if p.requires_grad} == {"default"}
    batch = row(9, 12)
    with torch.no_grad():
        found = document_scores(activate(Role("reward", model, reading, "reward")), reading, batch, score)
        torch.testing.assert_close(found, document_scores(trained, reading, batch), rtol=0, atol=1e-6)
    assert adapter_tensors(model).keys() == adapter_tensors(attach(loaded(folder), lora(), seed=3)).keys()


@pytest.mark.parametrize("embeddings", ["new_tokens", "frozen"])
def test_a_saved_adapter_brings_its_rows_of_new_tokens(
    base: Callable[..., Path], empty_tokenizer: Path, tmp_path: Path, embeddings: str
) -> None:
    """Beside those of the policy, or where that has none; what is saved of the policy stays the same."""
    folder, out, batch = base(), tmp_path / "reward", packed([[ADDED[0], 5, ADDED[1]]], [[IGNORED] * 3])
    trained = attach(loaded(folder, added=3), lora(rank=2), seed=8, added_token_ids=ADDED)
    add_head(trained, "score", seed=9)
    disturb(trained)
    save_adapter(trained, out, record=record_of(folder), tokenizer=empty_tokenizer, part=Part(heads=("score",)))
    model = attach(loaded(folder, added=3), lora(embeddings=embeddings), seed=3, added_token_ids=ADDED)
    reading = verify_reading(model, "auto")
    disturb(model)
    before, right = adapter_tensors(model), logits(model, batch.input_ids)
    score = add_saved_adapter(model, out, "reward", base_digest=weights_digest(folder))
    assert torch.equal(logits(model, batch.input_ids), right)
    assert adapter_tensors(model).keys() == before.keys()
    verify_reading(trained, "auto")
    with torch.no_grad():
        found = document_scores(activate(Role("reward", model, reading, "reward")), reading, batch, score)
        torch.testing.assert_close(found, document_scores(trained, reading, batch), rtol=0, atol=1e-6)
    assert torch.equal(logits(activate(Role("policy", model, reading, "default")), batch.input_ids), right)


def test_each_of_two_saved_adapters_has_its_own_head(
    saved: tuple[Path, Path, Any], row: Callable[..., PackedBatch]
) -> None:
    """And an adapter that comes later takes none of them for a layer."""
    folder, out, trained = saved
    model = attach(loaded(folder), lora(), seed=3)
    reading, digest_of_base, batch = verify_reading(model, "auto"), weights_digest(folder), row(9, 12)
    first = add_saved_adapter(model, out, "reward0", base_digest=digest_of_base)
    tensors = load_file(out / WEIGHTS)
    save_file({name: tensor * 2 if "score" in name else tensor for name, tensor in tensors.items()}, out / WEIGHTS)
    second = add_saved_adapter(model, out, "reward1", base_digest=digest_of_base)
    add_adapter(model, lora(targets=["all-linear"]), "value", seed=4)
    assert not [name for name, _ in model.named_modules() if name.startswith("score") and "lora_" in name]
    verify_reading(trained, "auto")
    with torch.no_grad():
        right = document_scores(trained, reading, batch)
        for times, name, score in ((1, "reward0", first), (2, "reward1", second)):
            found = document_scores(activate(Role("reward", model, reading, name)), reading, batch, score)
            torch.testing.assert_close(found, right * times, rtol=0, atol=1e-6)


def test_a_saved_adapter_of_another_base_is_refused(saved: tuple[Path, Path, Any], base: Callable[..., Path]) -> None:
    folder, out, _ = saved
    model = attach(loaded(folder), lora(), seed=3)
    with pytest.raises(UsageError, match="belongs to a base with the digest"):
        add_saved_adapter(model, out, "reward", base_digest="0" * 64)
    in_4_bits = attach(loaded(folder, quantization=NF4), lora(), seed=3)
    assert quantized_layers(in_4_bits)
    with pytest.raises(UsageError, match=r"base in 16 or 32 bits, this one is in 4 bits \(nf4, scales quantised\)"):
        add_saved_adapter(in_4_bits, out, "reward", base_digest=weights_digest(folder))
