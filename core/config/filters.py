"""What keeps a document out, masks something in it, or removes it because another one says the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class LengthFilter(Section):
    """Drops documents that are too short or too long."""

    kind: Literal["length"]
    min_characters: int = Field(default=50, ge=0, le=10**9)
    """Shortest document that stays."""
    max_characters: int = Field(default=100_000, ge=1, le=10**9)
    """Longest document that stays."""


class LanguageFilter(Section):
    """Keeps documents of some languages, by fastText's lid.176."""

    kind: Literal["language"]
    languages: list[str] = Field(default=["en"], min_length=1, max_length=200)
    """ISO codes of the languages that stay, as lid.176 writes them."""
    min_confidence: float = Field(default=0.9, ge=0, le=1)
    """Least probability of the language."""
    model: str | None = Field(default=None, min_length=1, max_length=4096)
    """A lid.176.bin or .ftz file. Empty: the quantised model that comes with Footplate's packages."""


class GopherQualityFilter(Section):
    """The quality rules of Gopher (Rae et al. 2021, table A1)."""

    kind: Literal["gopher_quality"]
    min_words: int = Field(default=50, ge=0, le=10**9)
    """Fewest words (without punctuation)."""
    max_words: int = Field(default=100_000, ge=1, le=10**9)
    """Most words (without punctuation)."""
    min_word_length: float = Field(default=3, ge=0, le=1000)
    """Least mean length of a word, in characters."""
    max_word_length: float = Field(default=10, ge=0, le=1000)
    """Greatest mean length of a word, in characters."""
    max_symbol_ratio: float = Field(default=0.1, ge=0, le=1000)
    """Most hash signs, and most ellipses, a word."""
    max_bullet_lines: float = Field(default=0.9, ge=0, le=1)
    """Greatest share of lines that begin with a bullet."""
    max_ellipsis_lines: float = Field(default=0.3, ge=0, le=1)
    """Greatest share of lines that end with an ellipsis."""
    min_alphabetic_words: float = Field(default=0.8, ge=0, le=1)
    """Least share of words with a letter."""
    min_stop_words: int = Field(default=2, ge=0, le=1000)
    """How many of the stop words must occur."""
    stop_words: list[str] = Field(default=["the", "be", "to", "of", "and", "that", "have", "with"], max_length=1000)
    """The stop words."""


class GopherRepetitionFilter(Section):
    """The repetition rules of Gopher (Rae et al. 2021, table A1), with its thresholds."""

    kind: Literal["gopher_repetition"]
    max_duplicate_lines: float = Field(default=0.3, ge=0, le=1)
    """Greatest share of lines that stood before."""
    max_duplicate_paragraphs: float = Field(default=0.3, ge=0, le=1)
    """Greatest share of paragraphs that stood before."""
    max_duplicate_line_characters: float = Field(default=0.2, ge=0, le=1)
    """Greatest share of characters in lines that stood before."""
    max_duplicate_paragraph_characters: float = Field(default=0.2, ge=0, le=1)
    """Greatest share of characters in paragraphs that stood before."""
    top_ngrams: list[float] = Field(default=[0.2, 0.18, 0.16], max_length=20)
    """Greatest share of characters in the most frequent n-gram, for n = 2, 3, 4."""
    duplicate_ngrams: list[float] = Field(default=[0.15, 0.14, 0.13, 0.12, 0.11, 0.10], max_length=20)
    """Greatest share of characters in n-grams that stood before, for n = 5, 6, 7, 8, 9, 10."""


class C4QualityFilter(Section):
    """The rules of C4 (Raffel et al. 2020, section 2.2): lines are left out, and pages with too little left."""

    kind: Literal["c4_quality"]
    end_punctuation: bool = True
    """Leave out lines that do not end like a sentence."""
    min_line_words: int = Field(default=3, ge=0, le=1000)
    """Leave out shorter lines."""
    min_sentences: int = Field(default=5, ge=0, le=10**6)
    """Drop pages with fewer sentences left."""
    max_word_characters: int = Field(default=1000, ge=0, le=10**6)
    """Leave out lines with a longer word; 0 for none."""
    no_javascript: bool = True
    """Leave out lines that mention javascript."""
    no_policies: bool = True
    """Leave out lines about cookies, privacy and terms of use."""
    no_citations: bool = True
    """Take marks such as [12], [edit] and [citation needed] out of lines."""
    no_lorem_ipsum: bool = True
    """Drop pages with lorem ipsum."""
    no_curly_brackets: bool = True
    """Drop pages with a curly bracket."""


class FineWebQualityFilter(Section):
    """The rules that FineWeb added (Penedo et al. 2024, section 3.5)."""

    kind: Literal["fineweb_quality"]
    min_punctuated_lines: float = Field(default=0.12, ge=0, le=1)
    """Least share of lines that end like a sentence."""
    max_short_lines: float = Field(default=0.67, ge=0, le=1)
    """Greatest share of lines of at most short_line_characters."""
    short_line_characters: int = Field(default=30, ge=0, le=10**6)
    """What a short line is."""
    max_duplicate_characters: float = Field(default=0.01, ge=0, le=1)
    """Greatest share of characters in lines that stood before."""
    max_line_ends: float = Field(default=0.3, ge=0, le=10)
    """Most line ends a word."""


class PersonalDataFilter(Section):
    """Masks personal data; drops nothing."""

    kind: Literal["personal_data"]
    emails: bool = True
    """Mask e-mail addresses."""
    ip_addresses: bool = True
    """Mask public IP addresses, of versions 4 and 6."""
    phone_numbers: bool = True
    """Mask phone numbers."""


class DeidentifyFilter(Section):
    """Masks what tells who a patient is in clinical notes; drops nothing.

    After the identifiers of HIPAA's Safe Harbor (45 CFR 164.514(b)(2)). It works by rules: a name without a title or a
    cue before it is not found.
    """

    kind: Literal["deidentify"]
    names: bool = True
    """Mask names behind a title or a cue, such as Dr. Jones or Patient: Mary Jones, and before M.D. and the like."""
    dates: bool = True
    """Mask dates but for the year (of a date of birth the year too), and ages over 89. Weekdays and times stay."""
    contacts: bool = True
    """Mask phone and fax numbers, e-mail and web addresses, IP addresses."""
    numbers: bool = True
    """Mask social security numbers, and record, account, licence, device and vehicle numbers behind a cue."""
    places: bool = True
    """Mask street addresses, ZIP codes behind a state, and towns before one; the state stays."""


class ContaminationFilter(Section):
    """Drops documents that share a long run of words with an evaluation set."""

    kind: Literal["contamination"]
    references: list[str] = Field(min_length=1, max_length=1000)
    """Files or folders of evaluation sets, in any format that is known."""
    ngram: int = Field(default=13, ge=2, le=100)
    """How many words in a row must be the same (13 in GPT-3, Brown et al. 2020, appendix C)."""


class ExactDuplicatesFilter(Section):
    """Keeps the first of documents with the same text."""

    kind: Literal["exact_duplicates"]
    on: Literal["whole", "prompt", "response"] = "whole"
    """What must be the same; prompt and response are about instructions."""
    normalise: bool = True
    """Compare without regard to case, and to how much space stands between words."""


class NearDuplicatesFilter(Section):
    """Keeps the first of documents that say nearly the same (MinHash, Broder 1997; banded)."""

    kind: Literal["near_duplicates"]
    ngram: int = Field(default=5, ge=1, le=100)
    """Words in a shingle."""
    bands: int = Field(default=14, ge=1, le=1000)
    """Two documents are near-duplicates where all hashes of one band are the same."""
    rows: int = Field(default=8, ge=1, le=100)
    """Hashes in a band; with 14 bands of 8, half of the pairs of similarity 0.68 are found."""


class PerplexityFilter(Section):
    """Drops what a causal language model finds unlikely: exp of the mean negative log-likelihood of a token."""

    kind: Literal["perplexity"]
    model: str = Field(min_length=1, max_length=4096)
    """A folder with a model, a run, or smollm2 after `footplate fetch smollm2`."""
    max_perplexity: float | None = Field(default=None, gt=1, le=1e12)
    """Greatest perplexity that stays."""
    percentile: float | None = Field(default=None, gt=0, le=100)
    """Instead: the share of documents, the likeliest, that stays, in percent."""
    max_tokens: int = Field(default=1024, ge=2, le=1_000_000)
    """Score at most so many tokens of a document."""
    batch_tokens: int = Field(default=4096, ge=2, le=10_000_000)
    """Tokens that the device takes at once."""


class NgramPerplexityFilter(Section):
    """Drops what a KenLM n-gram model finds unlikely."""

    kind: Literal["ngram_perplexity"]
    model: str = Field(min_length=1, max_length=4096)
    """A KenLM model: .arpa or .bin."""
    max_perplexity: float | None = Field(default=None, gt=1, le=1e12)
    """Greatest perplexity of a word that stays."""
    percentile: float | None = Field(default=None, gt=0, le=100)
    """Instead: the share of documents, the likeliest, that stays, in percent."""


class InstructionFilter(Section):
    """Drops rows of instructions that teach nothing good."""

    kind: Literal["instruction_quality"]
    refusals: bool = True
    """Drop answers that decline to answer."""
    truncated: bool = True
    """Drop answers that break off inside a sentence, a list or a block of code."""
    min_response_characters: int = Field(default=1, ge=0, le=10**9)
    """Shortest answer that stays, without space around it."""
    max_response_characters: int = Field(default=100_000, ge=1, le=10**9)
    """Longest answer that stays."""
    max_prompt_characters: int = Field(default=100_000, ge=1, le=10**9)
    """Longest prompt that stays, all its turns together."""


Filter = Annotated[
    LengthFilter | LanguageFilter | GopherQualityFilter | GopherRepetitionFilter | C4QualityFilter
    | FineWebQualityFilter | PersonalDataFilter | DeidentifyFilter | ContaminationFilter | ExactDuplicatesFilter
    | NearDuplicatesFilter | PerplexityFilter | NgramPerplexityFilter | InstructionFilter,
    Field(discriminator="kind"),
]  # fmt: skip
