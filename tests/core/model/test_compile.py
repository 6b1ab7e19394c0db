from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from core.config.cadence import Sampling
from core.errors import UsageError
from core.model.batch import PackedBatch
from core.model.compile import compile_layers
from core.model.generate import generate_ids
from core.model.reading import next_token_loss
from core.model.verification import verify_reading
from tests.core.model.reference import gradients


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Any:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def _graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.fixture
def _graph_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and differentiate, but leave out the C++: what recompiles does so here too."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled(self, backend="aot_eager"))


@pytest.mark.usefixtures("_graph_only")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_graph_serves_all_layers_and_every_number_of_documents(
    checkpointing: bool, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model = build(layers=4, gradient_checkpointing=checkpointing)
    reading = verify_reading(model, "auto", chunk=8)
    batches = [row(*lengths) for lengths in [(7, 1, 12), (20,), (3, 3, 4, 4, 2, 4), (10, 10), (1,) * 20, (19, 1)]]
    eager = [gradients(model, next_token_loss(model, reading, batch)) for batch in batches]
    assert compile_layers(model) == 4
    for batch, expected in zip(batches, eager, strict=True):
        found = gradients(model, next_token_loss(model, reading, batch))
        for name, gradient in expected.items():  # fused float32 sums in another order
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    # A row of one document has no mask to mark it, so that is a graph of its own.
    assert _graphs() <= 2
    assert not counters["graph_break"]


@pytest.mark.usefixtures("_graph_only")
def test_generation_goes_past_the_compiler(build: Callable[..., Any]) -> None:
    model = build()
    greedy = Sampling(max_new_tokens=6, temperature=0)
    right = generate_ids(model, [5, 6], greedy, ends=frozenset(), seed=1)
    compile_layers(model)
    assert generate_ids(model, [5, 6], greedy, ends=frozenset(), seed=1) == right
    assert _graphs() == 0


@pytest.mark.usefixtures("_graph_only")
def test_names_of_parameters_stay(build: Callable[..., Any]) -> None:
    model = build()
    names = [name for name, _ in model.named_parameters()]
    compile_layers(model)
    assert [name for name, _ in model.named_parameters()] == names
    assert list(model.state_dict()) == list(build().state_dict())


def test_a_model_without_layers_is_an_error(build: Callable[..., Any]) -> None:
    model = build()
    model._no_split_modules = None
    with pytest.raises(UsageError, match="no layers"):
        compile_layers(model)


def test_without_a_compiler_it_says_what_to_install(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    def absent() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", absent)
    with pytest.raises(UsageError, match=r"C\+\+ compiler"):
        compile_layers(build())


@pytest.mark.slow
def test_machine_code_gives_the_eager_loss_and_gradients(
    build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Under bf16 too, where fusing saves roundings: 2^-8 of the largest gradient of a tensor, some times over."""
    batch = row(7, 1, 12)
    for half in (False, True):
        model = build()
        reading = replace(verify_reading(model, "auto"), chunk=8)
        results = []
        for compiled in (False, True):
            if compiled:
                compile_layers(model)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = next_token_loss(model, reading, batch)
            results.append((loss.item(), gradients(model, loss)))
        tolerance = 3e-2 if half else 1e-4
        assert results[1][0] == pytest.approx(results[0][0], rel=tolerance / 10)
        for name, gradient in results[0][1].items():
            difference = (results[1][1][name] - gradient).abs().max() / gradient.abs().max()
            assert difference < tolerance, name
        torch._dynamo.reset()
