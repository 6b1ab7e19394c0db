"""What alignment learns from: pairs of answers, answers that are judged, and prompts alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.code import CodeTokens
from core.config.data import Accepted, InstructionData, ModelTokenizer, PreparedData, RowFormat, TextData, Tokenizer
from core.config.filters import Filter
from core.config.section import Section
from core.config.sources import Mix, Source


class Damage(Section):
    """How a worse answer is made from the answer of a row, where rows have one answer only."""

    rule: Literal["none", "shuffle_lines", "shuffle_words", "repeat", "cut", "other_answer"] = "none"
    """none: rows are pairs already. shuffle_lines, shuffle_words: put lines or words in another order. repeat: say a
    part of the answer again and again in place of what follows it. cut: leave out its end. other_answer: take the
    answer of another row. Of a single line the words are damaged, of a single word its characters."""
    strength: float = Field(default=0.5, gt=0, le=1)
    """Share of the answer's lines, words or characters that is damaged; at least one. Says nothing with
    other_answer."""


class _Answers(Section):
    sources: list[Source] = Field(min_length=1, max_length=1000)
    """Where the rows come from, in this order."""
    tokenizer: Tokenizer = Field(default_factory=lambda: ModelTokenizer(kind="model"))
    """How text becomes tokens; the model's own unless stated."""
    format: Literal["auto", RowFormat] = "auto"
    """What a row looks like; auto looks at the first rows of each source, and at its columns."""
    template: Literal["auto", "alpaca", "chat", "code"] = "auto"
    """How a row becomes text, as in fine-tuning; a reward model and the policy that it judges must have the same."""
    code_tokens: CodeTokens = CodeTokens()
    """The tokens of template code."""
    filters: list[Filter] = Field(default=[], max_length=100)
    """What leaves rows out, or masks something in them, in this order."""
    dropped_samples: int = Field(default=1000, ge=0, le=10**9)
    """How many dropped rows are kept to look at, for each rule."""
    mix: Mix = Mix()
    """How much of each source is taken."""
    held_out_fraction: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the rows kept out of training for evaluation, chosen by the hash of seed and prompt, so that all answers
    to a prompt stay on one side."""
    max_bad_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may be unreadable, empty or over-long; more is an error."""


class PreferenceData(_Answers):
    """Prompts with a better and a worse answer, or with answers that are judged good or bad."""

    kind: Literal["preferences"]
    max_tokens: int = Field(default=2048, ge=8, le=1048576)
    """Longest prompt with answer in tokens. Where one of a pair is longer, both lose the same start of their prompt; a
    pair of which an answer alone is longer is a bad row."""
    damage: Damage = Damage()
    """Make pairs from rows with one answer: the answer is the better one, the damaged answer the worse one."""
    accept: list[Accepted] = Field(default=[], max_length=5)
    """Faults in the tokens that stop the run unless they are accepted by name. double_begin: two begin tokens at the
    start. no_end_of_turn: no special token at the end of an answer. dropped_answers: pairs of which an answer alone is
    longer than max_tokens are left out and counted."""


class PromptData(_Answers):
    """Prompts that the policy answers; a row's answer, where it has one, is kept for rewards that compare with it."""

    kind: Literal["prompts"]
    max_tokens: int = Field(default=1024, ge=8, le=1048576)
    """Longest prompt in tokens; a longer one loses its start."""


PairedData = Annotated[PreferenceData | PreparedData, Field(discriminator="kind")]
PromptedData = Annotated[PromptData | PreparedData, Field(discriminator="kind")]

RowData = InstructionData | PreferenceData | PromptData
"""Data whose records are rows."""
Preparable = TextData | RowData
"""Data that a prepare run, or a training phase before its first step, makes tokens of."""
PreparableData = Annotated[TextData | InstructionData | PreferenceData | PromptData, Field(discriminator="kind")]
