"""Which tokens of source code the loss counts more than others."""

from __future__ import annotations

from pydantic import Field

from core.config.section import Section


class SyntaxWeights(Section):
    """Weights of the classes of tokens that data.syntax marks; the loss is divided by the sum of the weights.

    The loss of a step is the sum of weight times cross entropy over its tokens, divided by the sum of their weights. A
    token of the weight 0 is left out. The held-out loss has no weights, so that runs can be compared.
    """

    keyword: float = Field(default=1.0, ge=0, le=100)
    """Words of the language itself, also those that are operators, and what is meant for a preprocessor."""
    name: float = Field(default=1.0, ge=0, le=100)
    """Names of variables, functions, classes, modules."""
    operator: float = Field(default=1.0, ge=0, le=100)
    """Operators and punctuation."""
    literal: float = Field(default=1.0, ge=0, le=100)
    """Numbers and other literals that are no strings."""
    string: float = Field(default=1.0, ge=0, le=100)
    """Strings, with their quotes; docstrings too."""
    comment: float = Field(default=1.0, ge=0, le=100)
    """Comments."""
    whitespace: float = Field(default=1.0, ge=0, le=100)
    """Tokens of nothing but space."""
    other: float = Field(default=1.0, ge=0, le=100)
    """Everything that is no source code, special tokens among them."""


class Loss(Section):
    """What a token counts."""

    syntax_weights: SyntaxWeights = SyntaxWeights()
    """Weights by class of source code; all 1 is the plain cross entropy."""
