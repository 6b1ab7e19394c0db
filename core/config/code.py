"""How source code is laid into tokens."""

from __future__ import annotations

from pydantic import Field

from core.config.section import Section


class CodeTokens(Section):
    """Special tokens around code in the code template; the tokenizer must have them."""

    code_begin: str = Field(default="<|code|>", min_length=1, max_length=100)
    """Stands before code."""
    code_end: str = Field(default="<|/code|>", min_length=1, max_length=100)
    """Stands behind code."""
    comment_begin: str = Field(default="<|comment|>", min_length=1, max_length=100)
    """Stands before a comment, with mark_comments."""
    comment_end: str = Field(default="<|/comment|>", min_length=1, max_length=100)
    """Stands behind a comment, with mark_comments."""
    mark_comments: bool = False
    """Set the comment tokens around each comment of the code, which is read as Python."""


class FillInTheMiddle(Section):
    """Documents cut in three, of which the middle comes last (Bavarian et al. 2022, arXiv:2207.14255)."""

    rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the documents that are cut, such as 0.5; the others stay as they are."""
    suffix_first_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the cut ones that begin with the suffix (SPM) and not with the prefix (PSM)."""
    prefix_token: str = Field(default="<|fim_prefix|>", min_length=1, max_length=100)
    """Stands before the beginning of the document."""
    suffix_token: str = Field(default="<|fim_suffix|>", min_length=1, max_length=100)
    """Stands before its end."""
    middle_token: str = Field(default="<|fim_middle|>", min_length=1, max_length=100)
    """Stands before the middle, which the model is to fill in."""
