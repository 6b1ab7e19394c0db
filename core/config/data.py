"""What is prepared: documents or instructions, from where, through which filters, and how they become tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.code import CodeTokens, FillInTheMiddle
from core.config.filters import Filter
from core.config.section import Section
from core.config.sources import Mix, Source

RowFormat = Literal[
    "alpaca", "dolly", "messages", "sharegpt", "openassistant_tree", "openassistant_messages", "prompt_completion",
    "question_answer", "multiple_choice", "preference", "transcript_pair", "ranked", "judged", "prompts",
]  # fmt: skip
"""What the rows of a source say, whatever file they stand in."""

Accepted = Literal["unlabelled_rows", "double_begin", "no_end_of_turn", "dropped_answers", "cut_answers"]
"""Faults of the tokens that stop a run (`core.data.tokens.faults`), as the configuration accepts them."""


Syntax = Annotated[str, Field(min_length=1, max_length=50)]
"""auto, or the name of a Pygments lexer."""

AddedToken = Annotated[str, Field(min_length=1, max_length=100)]


class TrainedTokenizer(Section):
    """A byte-level BPE tokenizer trained on the training split of this data."""

    kind: Literal["train"]
    vocabulary_size: int = Field(default=4096, ge=260, le=1_000_000)
    """Number of tokens, the 256 bytes and the special tokens included."""
    special_tokens: list[str] = Field(default=[], max_length=1000)
    """Further special tokens besides <|endoftext|>."""
    max_bytes: int = Field(default=50_000_000, ge=1000, le=10**12)
    """Train on at most so many bytes of text."""


class LoadedTokenizer(Section):
    """A tokenizer that exists."""

    kind: Literal["load"]
    path: str = Field(min_length=1, max_length=4096)
    """A folder with tokenizer.json, such a file, a hub name, or smollm2 after `footplate fetch smollm2`."""
    added_tokens: list[AddedToken] = Field(default=[], max_length=1000)
    """Special tokens that are added to it where it lacks them; the model gets an embedding for each."""


class ModelTokenizer(Section):
    """The tokenizer that comes with the phase's model."""

    kind: Literal["model"]
    added_tokens: list[AddedToken] = Field(default=[], max_length=1000)
    """Special tokens that are added to it where it lacks them; the model gets an embedding for each."""


Tokenizer = Annotated[TrainedTokenizer | LoadedTokenizer | ModelTokenizer, Field(discriminator="kind")]


class TextData(Section):
    """Documents for next-token prediction."""

    kind: Literal["text"]
    sources: list[Source] = Field(min_length=1, max_length=1000)
    """Where the documents come from, in this order."""
    tokenizer: Tokenizer
    """How text becomes tokens."""
    held_out_fraction: float = Field(default=0.01, ge=0, le=0.5)
    """Share of the documents kept out of training for evaluation, chosen by the hash of seed and text."""
    filters: list[Filter] = Field(default=[], max_length=100)
    """What leaves documents out, or masks something in them, in this order."""
    dropped_samples: int = Field(default=1000, ge=0, le=10**9)
    """How many dropped documents are kept to look at, for each rule."""
    mix: Mix = Mix()
    """How much of each source is taken."""
    fill_in_the_middle: FillInTheMiddle = FillInTheMiddle()
    """Teach the model to fill a gap, where its rate is above 0."""
    syntax: Syntax | None = None
    """Mark tokens by their class of source code, for loss.syntax_weights: auto (by the document's file name; what has
    none, or one of no language, is not marked), or the Pygments name of one language. Empty: no marks."""
    attend_across_documents: bool = False
    """Let a token attend to earlier documents of its row, and predict the first token of the next one."""
    max_bad_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may be unreadable or lack the text; more is an error."""


class InstructionData(Section):
    """Instructions and conversations for supervised fine-tuning; the loss counts the responses only."""

    kind: Literal["instructions"]
    sources: list[Source] = Field(min_length=1, max_length=1000)
    """Where the rows come from, in this order."""
    tokenizer: Tokenizer = Field(default_factory=lambda: ModelTokenizer(kind="model"))
    """How text becomes tokens; the model's own unless stated."""
    format: Literal["auto", RowFormat] = "auto"
    """What a row looks like; auto looks at the first rows of each source, and at its columns."""
    template: Literal["auto", "alpaca", "chat", "code"] = "auto"
    """How a row becomes text: the two Alpaca templates, the tokenizer's chat template, or the Alpaca templates with
    code_tokens around input and response; auto takes chat where the tokenizer has one, else alpaca."""
    code_tokens: CodeTokens = CodeTokens()
    """The tokens of template code."""
    syntax: Syntax | None = None
    """Mark the tokens of responses by their class of source code, for loss.syntax_weights: auto (blocks between ```
    with their language, and all of a response in template code, as Python), or the Pygments name of one language for
    whole responses. Empty: no marks."""
    max_tokens: int = Field(default=2048, ge=8, le=1048576)
    """Longest example in tokens. A longer one loses the start of its prompt; one whose response alone is longer stops
    the run, unless `accept` says what becomes of it."""
    pack: bool = True
    """Lay several examples into one sequence (best fit); they never see one another."""
    filters: list[Filter] = Field(default=[], max_length=100)
    """What leaves documents out, or masks something in them, in this order."""
    dropped_samples: int = Field(default=1000, ge=0, le=10**9)
    """How many dropped documents are kept to look at, for each rule."""
    mix: Mix = Mix()
    """How much of each source is taken."""
    max_unlabelled_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows of which the loss may count nothing."""
    accept: list[Accepted] = Field(default=[], max_length=5)
    """Faults in the tokens that stop the run unless they are accepted by name. unlabelled_rows: more rows than
    max_unlabelled_rows of which the loss counts nothing. double_begin: two begin tokens at the start. no_end_of_turn:
    no special token at the end of an answer. dropped_answers: rows whose response alone is longer than max_tokens are
    left out and counted; cut_answers: such responses are cut at their end."""
    held_out_fraction: float = Field(default=0.02, ge=0, le=0.5)
    """Share of the rows kept out of training for evaluation, chosen by the hash of seed and first question, so that
    all answers to a question stay on one side."""
    max_bad_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may be unreadable, empty or over-long; more is an error."""


class PreparedData(Section):
    """Tokens that an earlier `prepare` run made."""

    kind: Literal["run"]
    run: str = Field(min_length=1, max_length=4096)
    """Name of a finished prepare run."""
    attend_across_documents: bool = False
    """Let a token attend to earlier documents of its row (text only)."""
    pack: bool = True
    """Lay several examples into one sequence (instructions only)."""


PretrainingData = Annotated[TextData | PreparedData, Field(discriminator="kind")]
InstructionTuningData = Annotated[InstructionData | PreparedData, Field(discriminator="kind")]
