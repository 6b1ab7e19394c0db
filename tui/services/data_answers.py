"""What the helper answers about data, as values. A field that is missing or of another kind is taken as unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from core.config.data import RowFormat
from tui.services.json_values import Json, counts_of, error_words, list_of, maps, shown, text_of, whole_of

DataKind = Literal["text", "instructions", "preferences", "prompts"]
ROW_FORMATS: tuple[str, ...] = get_args(RowFormat)
_ANSWERS = frozenset({"preference", "transcript_pair", "ranked", "judged"})


@dataclass(frozen=True)
class Column:
    """A column of a source: its name, what its values are, and one of them."""

    name: str
    type: str = ""
    example: str = ""

    @classmethod
    def of(cls, value: object) -> Column:
        """Return a column from the helper's answer: an object, or a bare name."""
        if not isinstance(value, Mapping):
            return cls(str(value))
        return cls(text_of(value, "name"), text_of(value, "type"), text_of(value, "example"))


@dataclass(frozen=True)
class Inspection:
    """What was found by looking at a source.

    `format` is how its records are written, `says` what its rows say where that is known. `files` are (path, format,
    rows), `left_out` (what, why), `repaired` (what was mended, how often). `is_whole` is False where reading stopped
    at a limit, so that there may be more of everything.
    """

    format: str
    says: str
    rows: int | None
    bad_rows: int
    unusable_rows: int
    documents: int | None
    is_whole: bool
    columns: tuple[Column, ...]
    bytes: int | None
    errors: tuple[str, ...]
    files: tuple[tuple[str, str, int], ...]
    left_out: tuple[tuple[str, str], ...]
    repaired: tuple[tuple[str, int], ...]

    @property
    def kind(self) -> DataKind:
        """What every row says: pairs or judged answers, prompts alone, something else that is known, or nothing."""
        forms = {self.says} if self.says else {form for _, form, _ in self.files}
        if forms and forms <= _ANSWERS:
            return "preferences"
        return "prompts" if forms == {"prompts"} else "instructions" if self.is_instructions else "text"

    @property
    def is_instructions(self) -> bool:
        """Whether every row says something of a known format, so that the loss can count responses only."""
        return bool(self.says) or (bool(self.files) and all(form in ROW_FORMATS for _, form, _ in self.files))

    @classmethod
    def of(cls, answer: Json) -> Inspection:
        """Return an inspection from the helper's answer."""
        form = text_of(answer, "format")
        files = maps(list_of(answer, "files"))
        return cls(
            format=text_of(answer, "container") or form,
            says=form if form in ROW_FORMATS else "",
            rows=whole_of(answer, "rows"),
            bad_rows=whole_of(answer, "bad_rows") or 0,
            unusable_rows=whole_of(answer, "unusable_rows") or 0,
            documents=whole_of(answer, "documents"),
            is_whole=answer.get("complete") is not False,
            columns=tuple(map(Column.of, list_of(answer, "column_details"))),
            bytes=whole_of(answer, "bytes"),
            errors=tuple(map(error_words, list_of(answer, "errors"))),
            files=tuple((text_of(one, "path"), text_of(one, "format"), whole_of(one, "rows") or 0) for one in files),
            left_out=tuple((text_of(one, "what"), text_of(one, "reason")) for one in maps(list_of(answer, "left_out"))),
            repaired=counts_of(answer, "repaired"),
        )


@dataclass(frozen=True)
class PreviewRow:
    """One row as it comes out of a source: where it stands, and its parts as (name, text)."""

    place: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, row: Json) -> PreviewRow:
        """Return a row from the helper's answer: a document's text, a conversation's turns, or the columns."""
        parts = [("", text_of(row, "text"))] if isinstance(row.get("text"), str) else []
        parts += [_turn(turn, "") for turn in maps(list_of(row, "turns"))]
        for side in ("chosen", "rejected"):
            parts += [_turn(turn, f"{side}: ") for turn in maps(list_of(row, side))]
        values = row.get("values")  # of rows of which nobody knows what they say
        parts += [(str(name), shown(value)) for name, value in values.items()] if isinstance(values, Mapping) else []
        if isinstance(row.get("answer"), Mapping):
            parts.append(("answer", text_of(row["answer"], "text")))
        if "label" in row:
            parts.append(("label", shown(row["label"])))
        return cls(text_of(row, "place"), tuple(parts))


def _turn(turn: Json, side: str) -> tuple[str, str]:
    """Return a turn as (who speaks, what); an input that belongs to it stands behind it."""
    name = f"{side}{text_of(turn, 'role')}" + (" · the loss counts it" if turn.get("supervised") is True else "")
    given = text_of(turn.get("input"), "text")
    return name, text_of(turn, "text") + (f"\n\n{given}" if given else "")


@dataclass(frozen=True)
class TokenShown:
    """One token: its number, its text, whether the loss counts it, and whether it is a special token."""

    id: int
    text: str
    is_counted: bool
    is_special: bool
    syntax: str | None = None
    """Its class of source code; None where the data is not marked."""


@dataclass(frozen=True)
class TokenRow:
    """A row as the model gets it: its tokens, and `rendered`, the text that the template made of it.

    `left_out` tokens were cut off; `further` are the other examples of a row that gives several. `stands_in` says that
    the tokenizer only stands for one that is still to be trained. `side` says what the tokens are of: chosen, rejected,
    good, bad, prompt, answer; "" where a row is an example to imitate.
    """

    place: str
    tokens: tuple[TokenShown, ...]
    template: str
    rendered: str
    faults: tuple[str, ...] = ()
    left_out: int = 0
    tokenizer: str = ""
    stands_in: bool = False
    further: tuple[TokenRow, ...] = ()
    side: str = ""

    @property
    def counted(self) -> int:
        """How many tokens the loss counts."""
        return sum(token.is_counted for token in self.tokens)


def preview_of(answer: Json) -> tuple[tuple[PreviewRow, ...], int | None]:
    """Return the rows of a preview, and how many there are in all where that is known."""
    return tuple(map(PreviewRow.of, maps(list_of(answer, "rows")))), whole_of(answer, "total")


def tokens_of(answer: Json) -> TokenRow:
    """Return the tokens of a row."""
    tokens = tuple(
        TokenShown(
            whole_of(one, "id") or 0, text_of(one, "text"), one.get("loss") is True, one.get("special") is True,
            text_of(one, "class") or None,
        )
        for one in maps(list_of(answer, "tokens"))
    )  # fmt: skip
    return TokenRow(
        place=text_of(answer, "place"),
        tokens=tokens,
        template=text_of(answer, "template"),
        rendered=text_of(answer, "text"),
        faults=tuple(map(error_words, list_of(answer, "faults"))),
        left_out=whole_of(answer, "left_out") or 0,
        tokenizer=text_of(answer, "tokenizer"),
        stands_in=answer.get("stands_in") is True,
        further=tuple(map(tokens_of, maps(list_of(answer, "further")))),
        side=text_of(answer, "side"),
    )
