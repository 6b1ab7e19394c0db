"""How much of a model is trained: all of it, or low-rank additions to a frozen base, which may be quantised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class Full(Section):
    """Every parameter is trained."""

    kind: Literal["full"]


class _LowRank(Section):
    rank: int = Field(default=16, ge=1, le=4096)
    """Rank r of the two factors of an addition: delta W = scale * B A."""
    alpha: float = Field(default=16.0, gt=0, le=1e6)
    """The scale is alpha / rank, and alpha / sqrt(rank) with rank_stabilised."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the input of the additions while training."""
    initialisation: Literal["kaiming_uniform", "gaussian"] = "kaiming_uniform"
    """How A is drawn. B is zero, so that training starts at the base model exactly."""
    targets: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(
        default=["all-linear"], min_length=1, max_length=1000
    )
    """Which layers get an addition: all-linear (every linear layer but the output head), attention (the projections of
    attention only), or names of modules such as q_proj."""
    rank_stabilised: bool = False
    """Scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732)."""
    dora: bool = False
    """Train the magnitude of each weight column apart from its direction (Liu et al. 2024, arXiv:2402.09353)."""
    embeddings: Literal["frozen", "new_tokens", "whole"] = "new_tokens"
    """What of the token embeddings and the output head is trained besides: nothing, the rows of tokens that the data's
    tokenizer adds, or all of them."""


class LoRA(_LowRank):
    """Low-rank additions to a frozen model (Hu et al. 2021, arXiv:2106.09685)."""

    kind: Literal["lora"]


class QLoRA(_LowRank):
    """Low-rank additions to a frozen model in 4 bits (Dettmers et al. 2023, arXiv:2305.14314)."""

    kind: Literal["qlora"]
    quantization: Literal["nf4", "fp4"] = "nf4"
    """The 16 levels of a weight: quantiles of a normal distribution, or floating point numbers of 4 bits."""
    double_quantization: bool = True
    """Quantise the scales of the blocks too: 0.37 bits less for each weight."""
    compute_dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Type in which weights are multiplied once they are read out of 4 bits; auto takes that of precision.dtype."""


Adapter = Annotated[Full | LoRA | QLoRA, Field(discriminator="kind")]
