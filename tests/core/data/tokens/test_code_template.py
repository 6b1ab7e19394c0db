"""Template code: its text, what the loss counts, comments, prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.code import CodeTokens
from core.config.data import InstructionData
from core.data.formats import Conversation, Turn
from core.data.prepare import prepare
from core.data.progress import Work, silent
from core.data.tally import RowError
from core.data.tokens.added_tokens import add_tokens
from core.data.tokens.code_template import code_pieces, comments
from core.data.tokens.examples import Example, ExampleEncoder, stop_token_ids
from core.data.tokens.shards import TokenShards
from core.data.tokens.templates import render_prompt, resolve_template
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

TOKENS = ["<|code|>", "<|/code|>", "<|comment|>", "<|/comment|>"]
CODE = 'def add(a, b):\n    # the sum\n    """Not # a comment."""\n    return a + b  # of both\n'
QUESTION = Turn("user", "Add two numbers.", input="def add(a, b):")
WORK = Work(silent, lambda: False)


def asked(answer: str, question: Turn = QUESTION) -> Conversation:
    return Conversation((question, Turn("assistant", answer)))


def encoded(folder: Path, conversation: Conversation, tokens: CodeTokens, max_tokens: int = 2**20) -> Example:
    encoder = ExampleEncoder(load_tokenizer(folder), "code", max_tokens, code_tokens=tokens)
    found = encoder.encode([conversation])[0]
    if isinstance(found, RowError):
        raise found
    assert encoder.faults.counts.total() == 0
    (example,) = found
    return example


def read(folder: Path, ids: list[int], *, skip: bool = False) -> str:
    backend = load_tokenizer(folder).backend
    return str(backend.decode(ids, skip_special_tokens=skip))


@pytest.fixture
def folder(byte_level: Callable[..., Path]) -> Path:
    made = byte_level()
    add_tokens(made, TOKENS)
    return made


def test_it_is_the_alpaca_template_with_code_tokens(folder: Path) -> None:
    example = encoded(folder, asked(CODE), CodeTokens())
    assert read(folder, example.ids.tolist()) == (
        "### Instruction:\nAdd two numbers.\n\n### Input:\n<|code|>def add(a, b):<|/code|>\n\n### Response:\n"
        f"<|code|>{CODE}<|/code|><|endoftext|>"
    )
    # An independent road: all of the text at once.
    tokenizer = load_tokenizer(folder)
    whole = tokenizer.backend.decode(example.ids.tolist(), skip_special_tokens=False)
    assert tokenizer.encode([whole], control=True, continued=False) == [example.ids.tolist()]
    example = encoded(folder, asked("a", Turn("user", "Say a.", input=" \n")), CodeTokens())
    assert read(folder, example.ids.tolist()) == (
        "### Instruction:\nSay a.\n\n### Response:\n<|code|>a<|/code|><|endoftext|>"
    )


@pytest.mark.parametrize("mark_comments", [False, True])
def test_the_loss_counts_the_response_with_its_code_tokens_and_the_end(folder: Path, mark_comments: bool) -> None:
    example = encoded(folder, asked(CODE), CodeTokens(mark_comments=mark_comments))
    marked = CODE.replace("# the sum", "<|comment|># the sum<|/comment|>")
    marked = marked.replace("# of both", "<|comment|># of both<|/comment|>")
    expected = f"<|code|>{marked if mark_comments else CODE}<|/code|><|endoftext|>"
    assert read(folder, example.ids[example.supervised].tolist()) == expected
    unsupervised = Conversation((QUESTION, Turn("assistant", CODE, supervised=False)))
    encoder = ExampleEncoder(load_tokenizer(folder), "code", 2**20, code_tokens=CodeTokens())
    (found,) = encoder.encode([unsupervised])
    assert not isinstance(found, RowError)
    assert not found[0].supervised.any()
    assert encoder.faults.counts == {"unlabelled_rows": 1}


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece", "byte_fallback"])
@pytest.mark.parametrize("mark_comments", [False, True])
def test_without_special_tokens_the_text_is_the_text_again(
    request: pytest.FixtureRequest, kind: str, mark_comments: bool
) -> None:
    folder = request.getfixturevalue(kind)()
    add_tokens(folder, TOKENS)
    code = f"#!first\n{CODE}\tx = '# no'  # <|code|>\n# last"
    tokens = CodeTokens(mark_comments=mark_comments)
    example = encoded(folder, asked(code), tokens)
    assert read(folder, example.ids.tolist(), skip=True).removeprefix(" ") == (
        f"### Instruction:\nAdd two numbers.\n\n### Input:\ndef add(a, b):\n\n### Response:\n{code}"
    )
    backend = load_tokenizer(folder).backend
    counts = [example.ids.tolist().count(backend.token_to_id(token)) for token in TOKENS]
    assert counts == [2, 2, *([5, 5] if mark_comments else [0, 0])]


LINES = st.sampled_from(["x = 1", "# é", "'''", '"""', "'#'", "f'{a!r:#x}'", "\\", "\r", "\x0c", "", "  # b  ", "日#"])


@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_pieces_hold_every_character_and_comments_are_marked_in_pairs(lines: list[str], end: str) -> None:
    code = end.join(lines)
    spans = comments(code)
    assert spans == sorted(spans)
    assert all(code[start] == "#" and "\n" not in code[start:stop] and "\r" not in code[start:stop]
               for start, stop in spans)  # fmt: skip
    conversation = asked(code or "x")
    pieces = code_pieces(conversation, _End(), CodeTokens(mark_comments=True))  # type: ignore[arg-type]
    start = next(number for number, piece in enumerate(pieces) if piece.supervised)
    answer = pieces[start:]
    assert "".join(piece.text for piece in answer if not piece.control) == (code or "x")
    names = [piece.text for piece in answer if piece.control]
    assert names == ["<|code|>", *["<|comment|>", "<|/comment|>"] * len(comments(code)), "<|/code|>", "<end>"]


class _End:
    """All that is asked of a tokenizer here."""

    end_token = "<end>"


def test_strings_and_docstrings_are_no_comments() -> None:
    assert [CODE[start:stop] for start, stop in comments(CODE)] == ["# the sum", "# of both"]
    assert comments('a = \'#\'\nb = f\'{a} # c\'\n"""\n# d\n"""') == []
    assert comments("a  # b \r\nc") == [(3, 6)]


def test_it_takes_one_question_and_one_answer(folder: Path) -> None:
    twice = Conversation((*asked("a").turns, *asked("b").turns))
    with pytest.raises(RowError, match="one user turn and its answer for template code"):
        encoded(folder, twice, CodeTokens())


def test_a_long_prompt_loses_its_start_and_never_the_code(folder: Path) -> None:
    question = Turn("user", "word " * 500, input="def add(a, b):")
    example = encoded(folder, asked(CODE, question), CodeTokens(), max_tokens=200)
    assert len(example.ids) == 200
    text = read(folder, example.ids[example.supervised].tolist())
    assert text == f"<|code|>{CODE}<|/code|><|endoftext|>"


def test_a_prompt_is_what_stands_before_a_response(folder: Path) -> None:
    example = encoded(folder, asked(CODE), CodeTokens(mark_comments=True))
    before = example.ids[: int(example.supervised.argmax())].tolist()
    prompt = "Add two numbers.\n\n### Input:\ndef add(a, b):"
    assert render_prompt(folder, "code", prompt, CodeTokens(mark_comments=True)) == before
    alone = render_prompt(folder, "code", "Say <|code|>.", CodeTokens())
    assert read(folder, alone) == "### Instruction:\nSay <|code|>.\n\n### Response:\n"
    assert load_tokenizer(folder).backend.token_to_id("<|code|>") not in alone


def test_only_the_end_token_ends_a_continuation(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert stop_token_ids(tokenizer, "code") == [tokenizer.end_token_id]


def test_a_tokenizer_without_the_tokens_is_refused(byte_level: Callable[..., Path]) -> None:
    folder = byte_level()
    add_tokens(folder, TOKENS[:2])
    tokenizer = load_tokenizer(folder)
    assert resolve_template("code", tokenizer, CodeTokens()) == "code"
    with pytest.raises(DataError, match=r"data\.code_tokens\.comment_begin: expected a special token"):
        resolve_template("code", tokenizer, CodeTokens(mark_comments=True))
    with pytest.raises(DataError, match=r"code_begin: .*'<x>'"):
        render_prompt(folder, "code", "a", CodeTokens(code_begin="<x>"))


def test_rows_are_prepared_with_a_tokenizer_that_is_trained(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "Add.", "input": "", "output": "a + b  # sum"}\n' * 40)
    data = InstructionData.model_validate(
        {
            "kind": "instructions",
            "sources": [{"kind": "json", "path": str(source)}],
            "tokenizer": {"kind": "train", "vocabulary_size": 280, "special_tokens": TOKENS},
            "template": "code",
            "code_tokens": {"mark_comments": True},
            "held_out_fraction": 0.0,
        }
    )
    made = prepare(data, tmp_path / "made", seed=1, model_tokenizer=None, work=WORK)
    assert (made.manifest.template, made.manifest.added_tokens) == ("code", [])
    assert made.manifest.code_tokens == data.code_tokens
    ids, marks = TokenShards(made.folder, "train").document(0)
    assert marks is not None
    text = read(made.tokenizer, ids[marks.astype(bool)].tolist())
    assert text == "<|code|>a + b  <|comment|># sum<|/comment|><|/code|><|endoftext|>"
