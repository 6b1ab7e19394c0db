"""The optimizer of a configuration, and its state by parameter name: what is kept, saved and put back bit for bit.

torch's fused AdamW keeps both moments in float32. bitsandbytes' AdamW keeps them in 8 bits, or paged, or both; its
state carries a look-up table that all parameters share, which is made anew and not saved.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.config.optimization import AdamW

BLOCK = 256  # numbers that share a scale in bitsandbytes' 8-bit states
NEW_TOKENS = "trainable_tokens_delta"  # peft's rows of an embedding that are trained alone


@dataclass(frozen=True)
class Piece:
    """One tensor of a parameter's state."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """The memory it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def build_optimizer(model: nn.Module, config: AdamW) -> torch.optim.Optimizer:
    """Return the optimizer of the section over the trainable parameters; its learning rate is set at every step."""
    groups = decay_groups(model, weight_decay=config.weight_decay)
    options: dict[str, Any] = {"lr": 0.0, "betas": config.betas, "eps": config.epsilon}
    if not is_from_bitsandbytes(config):
        return torch.optim.AdamW(groups, fused=True, **options)
    import bitsandbytes as bnb

    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")  # a run's notice says it
    kind = bnb.optim.AdamW8bit if config.states == "8bit" else bnb.optim.AdamW32bit
    optimizer: torch.optim.Optimizer = kind(groups, is_paged=config.paged, **options)
    # The library keeps exceptions in one table of the process by id(), which a later parameter may inherit.
    table = bnb.optim.GlobalOptimManager.__new__(bnb.optim.GlobalOptimManager)
    table.initialize()
    table.override_config(_embeddings(model), "optim_bits", 32)
    optimizer.mng = table  # type: ignore[attr-defined]
    return optimizer


def is_from_bitsandbytes(config: AdamW) -> bool:
    """Tell whether bitsandbytes makes the optimizer of the section, and torch does not."""
    return config.states == "8bit" or config.paged


def optimizer_words(config: AdamW, optimizer: torch.optim.Optimizer, device: torch.device) -> str:
    """Return in words which optimizer a run has, in which type its states are, and where they lie."""
    maker = "bitsandbytes" if is_from_bitsandbytes(config) else "torch, fused"
    kept = [any(piece.dtype is torch.uint8 for piece in pieces.values()) for pieces in state_pieces(optimizer).values()]
    states = f"8 bits for {sum(kept)} of {len(kept)} tensors, else fp32" if config.states == "8bit" else "fp32"
    paging = ", paged" if config.paged else ""
    return f"AdamW ({maker}), states in {states}{paging if is_paging(config, device) else ''}"


def is_paging(config: AdamW, device: torch.device) -> bool:
    """Tell whether states can move to the host's memory: there must be a GPU from which they move."""
    return config.paged and device.type == "cuda"


def paging_words(config: AdamW, device: torch.device) -> str:
    """Return what a run must say where paging is asked for and means nothing, else ""."""
    if config.paged and not is_paging(config, device):
        return "optimizer.paged does nothing here: there is no GPU, so the moments lie in the host's memory anyway"
    return ""


def decay_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Return two parameter groups: matrices with weight decay; norms, biases and embeddings without.

    Each trainable parameter is in one group, tied ones once (as an embedding).
    """
    embeddings = {id(parameter) for parameter in _embeddings(model)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trainable if p.ndim >= 2 and id(p) not in embeddings]
    kept = [p for p in trainable if p.ndim < 2 or id(p) in embeddings]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _embeddings(model: nn.Module) -> list[nn.Parameter]:
    modules = {name for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    return [
        parameter
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[0] in modules or NEW_TOKENS in name.split(".")
    ]


def state_pieces(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, dict[str, Piece]]:
    """Return what the optimizer keeps for each parameter once a step is made, by the names that it is saved under."""
    return {p: _pieces(optimizer, p, place) for p, place in _placed(optimizer)}


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the memory that the whole state takes once a step is made."""
    return sum(piece.bytes for pieces in state_pieces(optimizer).values() for piece in pieces.values())


def _placed(optimizer: torch.optim.Optimizer) -> Iterator[tuple[nn.Parameter, tuple[int, int]]]:
    """Yield each parameter with the number of its group and its number in there."""
    for group, entry in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(entry["params"]):
            yield parameter, (group, index)


def _pieces(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, place: tuple[int, int]) -> dict[str, Piece]:
    shape = tuple(parameter.shape)
    if isinstance(optimizer, torch.optim.AdamW):
        moment = Piece(shape, torch.float32)
        return {"exp_avg": moment, "exp_avg_sq": moment, "step": Piece((), torch.float32)}
    step = {"step": Piece((), torch.int64)}
    settings = optimizer.get_config(*place, optimizer.param_groups[place[0]])  # type: ignore[attr-defined]
    if settings["optim_bits"] == 32 or parameter.numel() < settings["min_8bit_size"]:
        moment = Piece(shape, torch.float32)
        return {"state1": moment, "state2": moment, **step}
    moment, scales = Piece(shape, torch.uint8), Piece((math.ceil(parameter.numel() / BLOCK),), torch.float32)
    return {"state1": moment, "state2": moment, "absmax1": scales, "absmax2": scales, **step}


def state_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return the state by parameter name (NAME/exp_avg, NAME/state1, NAME/step, ...); {} before the first step."""
    pieces = state_pieces(optimizer)
    return {
        f"{name}/{key}": torch.as_tensor(optimizer.state[parameter][key], dtype=piece.dtype)
        for name, parameter in parameters.items()
        for key, piece in pieces[parameter].items()
        if optimizer.state.get(parameter)
    }


def missing_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> list[str]:
    """Name each piece of state that `tensors` lack, or have in another shape or type."""
    pieces = state_pieces(optimizer)
    return [
        f"{name}/{key}"
        for name, parameter in parameters.items()
        for key, piece in pieces[parameter].items()
        if not _fits(tensors.get(f"{name}/{key}"), piece)
    ]


def _fits(tensor: Tensor | None, piece: Piece) -> bool:
    return tensor is not None and tuple(tensor.shape) == piece.shape and tensor.dtype == piece.dtype


def load_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `state_tensors` gave; hyper-parameters come from the configuration, not from here.

    A parameter of whose state a piece is missing (see `missing_state`) begins with none.
    """
    pieces = state_pieces(optimizer)
    places = dict(_placed(optimizer))
    for name, parameter in parameters.items():
        saved = {key: tensors.get(f"{name}/{key}") for key in pieces[parameter]}
        if not all(_fits(saved[key], piece) for key, piece in pieces[parameter].items()):
            optimizer.state.pop(parameter, None)
            continue
        whole = {key: tensor for key, tensor in saved.items() if tensor is not None}
        if isinstance(optimizer, torch.optim.AdamW):
            optimizer.state[parameter] = {key: tensor.to(parameter.device).clone() for key, tensor in whole.items()}
        else:
            _fill(optimizer, parameter, places[parameter], whole)


def _fill(optimizer: Any, parameter: nn.Parameter, place: tuple[int, int], saved: Mapping[str, Tensor]) -> None:
    """Let bitsandbytes make the state, so that paged memory stays paged, and copy what was saved into it."""
    optimizer.state[parameter] = {}
    optimizer.init_state(optimizer.param_groups[place[0]], parameter, *place)
    state = optimizer.state[parameter]
    for key, tensor in saved.items():
        if key == "step":
            state[key] = int(tensor)
        else:
            state[key].copy_(tensor)
