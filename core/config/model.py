"""Which model a phase trains, and how its forward pass is computed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section

AttentionChoice = Literal["auto", "documents", "sdpa", "eager", "flash_attention_2"]


class _Computation(Section):
    attention: AttentionChoice = "auto"
    """How attention is computed: auto takes documents (one causal attention a packed document) where a check at load
    shows that this model honours it, else sdpa with a mask. Naming one makes it an error where it does not hold."""
    gradient_checkpointing: bool = False
    """Recompute each layer in the backward pass: less memory for about a third more time."""
    compile: bool = False
    """Compile each layer with torch.compile: faster after a warm-up of some seconds to minutes."""


class ScratchModel(_Computation):
    """A decoder built from these numbers, with fresh weights."""

    kind: Literal["scratch"]
    architecture: Literal["llama", "gpt2"] = "llama"
    """llama: rotary positions, RMS norms, gated feed-forward. gpt2: learned positions, layer norms, GELU."""
    layers: int = Field(ge=1, le=1000)
    """Number of decoder layers."""
    hidden_size: int = Field(ge=8, le=65536)
    """Width of the residual stream; a multiple of heads."""
    heads: int = Field(ge=1, le=1024)
    """Number of attention heads."""
    key_value_heads: int | None = Field(default=None, ge=1, le=1024)
    """Number of key and value heads (llama only); heads must be a multiple of it. Empty: as many as heads."""
    feed_forward_size: int | None = Field(default=None, ge=8, le=262144)
    """Inner width of the feed-forward part. Empty: 8/3 of hidden_size rounded up to 64 (llama), 4 times (gpt2)."""
    context_length: int = Field(default=2048, ge=8, le=1048576)
    """Longest sequence in tokens that the model is built for; at least batch.sequence_length."""
    tie_embeddings: bool = True
    """Use one matrix for the token embedding and the output head."""
    rope_theta: float = Field(default=10000.0, gt=0, le=1e9)
    """Base of the rotary positions (llama only)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate while training (attention only for llama)."""


class PretrainedModel(_Computation):
    """A model in the Hugging Face layout: a folder on this machine or a name on the hub."""

    kind: Literal["pretrained"]
    path: str = Field(min_length=1, max_length=4096)
    """A folder, or a hub name such as Qwen/Qwen3-0.6B. Code that comes with a model is never run."""
    revision: str | None = Field(default=None, max_length=255)
    """Branch, tag or commit on the hub."""


class GGUFModel(_Computation):
    """A model in a GGUF file, converted once to the Hugging Face layout and cached by the hash of the file."""

    kind: Literal["gguf"]
    path: str = Field(min_length=1, max_length=4096)
    """The .gguf file, or smollm2 for the small real model that `footplate fetch smollm2` brings."""


class RunModel(_Computation):
    """The model that an earlier run made."""

    kind: Literal["run"]
    run: str = Field(min_length=1, max_length=4096)
    """Name of a finished run."""


class PresetModel(_Computation):
    """The model that a preset trains: that of the oldest finished run of it, else the preset is run first."""

    kind: Literal["preset"]
    preset: str = Field(min_length=1, max_length=4096)
    """Name of a training preset, such as quickstart."""


Model = Annotated[ScratchModel | PretrainedModel | GGUFModel | RunModel | PresetModel, Field(discriminator="kind")]
