"""Classes of tokens of every kind of tokenizer, against a count that knows no offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from core.config.code import CodeTokens, FillInTheMiddle
from core.config.sources import (
    CodeSource,
    FilesSource,
    JSONSource,
    PathSource,
    Source,
    StandardLibrarySource,
)
from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.tokens import marking, tokenize
from core.data.tokens.examples import Example, ExampleEncoder
from core.data.tokens.fill_in_the_middle import document_parts
from core.data.tokens.marking import document_language, marked_document
from core.data.tokens.syntax import CLASSES, code_classes
from core.data.tokens.token_text import token_text
from core.data.tokens.tokenize import (
    DocumentPart,
    TextTokenizer,
    encode_documents,
    encode_parts,
)
from core.data.tokens.tokenizer_files import load_tokenizer

CODE = (
    "def add(größe, b):\n\treturn größe+b  # 日本語 😀 tab\there\n\n\n"
    "class Zwölf:\r\n    '''Doc über\r\n    Boxkämpfer'''\r\n    name = '日本語'+\"x\"\r\n\n"
    "print(add(1, 2), \t'quick brown fox') ;x=[1,2 ,3]\n"
)
KINDS = [("byte_level", ""), ("sentence_piece", "first"), ("sentence_piece", "never"), ("byte_fallback", "llama"),
         ("byte_fallback", "gemma")]  # fmt: skip


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Callable[[str, str], TextTokenizer]:
    def load(kind: str, scheme: str) -> TextTokenizer:
        folder: Path = request.getfixturevalue(kind)(**({"scheme": scheme} if scheme else {}))
        return load_tokenizer(folder)

    return load


def names(classes: np.ndarray) -> list[str]:
    return [CLASSES[number] for number in classes]


def raw_of(tokenizer: TextTokenizer, number: int) -> bytes:
    """The bytes of a token, by its text, in which bytes that are no character alone stand as <0xE2>."""
    token = tokenizer.backend.id_to_token(number)
    text = token_text(tokenizer.backend)(token)
    raw = b""
    while text:
        if text.startswith("<0x") and text[5:6] == ">":
            raw, text = raw + bytes([int(text[3:5], 16)]), text[6:]
        else:
            raw, text = raw + text[0].encode(), text[1:]
    return raw


def expected_classes(tokenizer: TextTokenizer, ids: list[int], text: str) -> list[str]:
    """By the bytes of the tokens, which are those of the text one after another: a loop, without offsets."""
    characters = code_classes(text, "Python")
    owner = [number for number, character in enumerate(text) for _ in character.encode()]
    raws = [raw_of(tokenizer, number) for number in ids]
    added = len(b"".join(raws)) - len(owner)
    assert added in (0, 1), "a space before the text, or none"
    assert b"".join(raws)[added:] == text.encode()
    result, at = [], -added
    for raw in raws:
        covered = dict.fromkeys(owner[place] for place in range(max(at, 0), at + len(raw)))
        at += len(raw)
        seen = [CLASSES[characters[number]] for number in covered if not text[number].isspace()]
        count = Counter(seen)
        result.append(max(count, key=lambda name: (count[name], -seen.index(name))) if seen else "whitespace")
    return result


@pytest.mark.parametrize(("kind", "scheme"), KINDS)
def test_every_token_of_a_document(make: Callable[..., TextTokenizer], kind: str, scheme: str) -> None:
    tokenizer = make(kind, scheme)
    # The unigram model of this test knows neither of these signs, and all unknown ones are one token.
    text = CODE.translate({ord(sign): None for sign in "ß😀\r"}) if kind == "sentence_piece" else CODE
    found, classes = marked_document(tokenizer, text, [DocumentPart(text, 0)], "Python")
    (ids,) = encode_documents(tokenizer, [text])
    assert found.ids.tolist() == ids.tolist()
    begin = len(tokenizer.prefix_ids)
    inner = found.ids[begin:-1].tolist()
    assert tokenizer.backend.token_to_id("<unk>") not in inner
    assert names(classes[begin:-1]) == expected_classes(tokenizer, inner, text)
    assert names(classes[:begin]) == ["other"] * begin
    assert names(classes[-1:]) == ["other"]
    assert set(names(classes)) == set(CLASSES)


@pytest.mark.parametrize(("kind", "scheme"), KINDS)
def test_pieces_and_gaps_leave_ids_and_classes_as_they_are(
    make: Callable[..., TextTokenizer], kind: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document in many pieces is lexed whole: the docstring's second piece is a string although it has no quotes."""
    tokenizer = make(kind, scheme)
    monkeypatch.setattr(tokenize, "_PIECES_AT_ONCE", 2)
    monkeypatch.setattr(tokenize.pieces, "__defaults__", (7,))
    text = '"""One\nthe quick\nbrown fox\nBonjour le\nmonde jumps\n"""\nx = 1\n'
    found, classes = marked_document(tokenizer, text, [DocumentPart(text, 0)], "Python")
    (ids,) = encode_documents(tokenizer, [text])
    assert found.ids.tolist() == ids.tolist()
    strings = names(classes).count("string")
    assert names(classes).count("name") == names(classes).count("operator") == names(classes).count("literal") == 1
    assert strings > 10

    cut = FillInTheMiddle(rate=1.0, prefix_token="<|im_start|>", suffix_token="<|im_end|>", middle_token="<|im_end|>")
    for seed in range(6):
        parts = document_parts(text, cut, seed=seed)
        (ids,) = encode_parts(tokenizer, [parts])
        found, classes = marked_document(tokenizer, text, parts, "Python")
        assert found.ids.tolist() == ids.tolist()
        by_id: dict[str, set[str]] = {}
        for number, name in zip(found.ids.tolist(), names(classes), strict=True):
            by_id.setdefault(tokenizer.backend.id_to_token(number), set()).add(name)
        assert by_id["<|im_start|>"] == by_id["<|im_end|>"] == {"other"}
        assert names(classes).count("literal") == 1


def test_a_tokenizer_that_writes_text_anew() -> None:
    """A normaliser changes lengths: a ligature becomes two letters, a full-width sign one, capitals small ones."""
    vocabulary = {token: number for number, token in enumerate(["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz#+=1 \n"])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = TextTokenizer(backend, "<|endoftext|>", "", False, "", "", None)
    text = "if ﬁX+1 # ﬁＢ"
    found, classes = marked_document(tokenizer, text, [DocumentPart(text, 0)], "Python")
    shown = [(backend.id_to_token(number), name[0]) for number, name in zip(found.ids, names(classes), strict=True)]
    assert shown == [
        ("i", "k"), ("f", "k"), (" ", "w"), ("f", "n"), ("i", "n"), ("x", "n"), ("+", "o"), ("1", "l"), (" ", "w"),
        ("#", "c"), (" ", "w"), ("f", "c"), ("i", "c"), ("b", "c"), ("<|endoftext|>", "o"),
    ]  # fmt: skip


def test_one_token_over_two_classes() -> None:
    """Most of its characters decide, and where two classes have as many, the first."""
    words = ["x):", "x)", ")x", "if(ab", '"a"', "+", " "]
    backend = Tokenizer(models.WordLevel({token: number for number, token in enumerate(["<|endoftext|>", *words])}))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = TextTokenizer(backend, "<|endoftext|>", "", False, "", "", None)
    text = 'x): x) )x if(ab "a" +'
    found, classes = marked_document(tokenizer, text, [DocumentPart(text, 0)], "Python")
    shown = [backend.id_to_token(number) for number in found.ids]
    marked = [pair for pair in zip(shown, names(classes), strict=True) if pair[0] != " "]
    assert marked == [
        ("x):", "operator"), ("x)", "name"), (")x", "operator"), ("if(ab", "keyword"), ('"a"', "string"),
        ("+", "operator"), ("<|endoftext|>", "other"),
    ]  # fmt: skip


def test_text_of_no_language_is_other_throughout(make: Callable[..., TextTokenizer]) -> None:
    tokenizer = make("byte_level", "")
    _, classes = marked_document(tokenizer, CODE, [DocumentPart(CODE, 0)], None)
    assert set(names(classes)) == {"other"}


FILES = FilesSource(kind="files", path="/a")
LINES = FilesSource(kind="files", path="/a", document="line")
PATH = PathSource(kind="path", path="/a")


@pytest.mark.parametrize(
    ("source", "place", "language"),
    [
        (StandardLibrarySource(kind="standard_library"), "/usr/lib/python3.11/heapq.py", "Python"),
        (CodeSource(kind="code", path="/r"), "/r/src/main.rs", "Rust"),
        (CodeSource(kind="code", path="/r"), "/r/Makefile", "Makefile"),
        (FILES, "/a/x.py.gz", "Python"),
        (FILES, "/a/x.py:1200", "Python"),
        (FILES, "/a/x.txt", None),
        (FILES, "/a/no_suffix", None),
        (LINES, "/a/x.py:3", None),
        (PATH, "/a/x.go", "Go"),
        (PATH, "/a/x.html", None),
        (PATH, "/a/rows.json:3", None),
        (PATH.model_copy(update={"format": "code"}), "/a/x.html", "HTML"),
        (PATH.model_copy(update={"format": "json_lines"}), "/a/x.py:7", None),
        (JSONSource(kind="json", path="/a.json"), "/a.json:1", None),
    ],
)
def test_the_language_of_a_document(source: Source, place: str, language: str | None) -> None:
    assert document_language("auto", source, place) == language
    assert document_language("c++", source, place) == "C++"


def conversation(answer: str, *, supervised: bool = True) -> Conversation:
    return Conversation((Turn("user", "x = 1"), Turn("assistant", answer, supervised=supervised)))


def encoded(tokenizer: TextTokenizer, answer: Conversation, template: str, syntax: str | None, **more: int) -> Example:
    codes = CodeTokens(code_begin="<|im_start|>", code_end="<|im_end|>", mark_comments=True,
                       comment_begin="<|im_start|>", comment_end="<|im_end|>")  # fmt: skip
    encoder = ExampleEncoder(tokenizer, template, more.get("max_tokens", 1000), code_tokens=codes, syntax=syntax,
                             accept=["cut_answers"])  # type: ignore[arg-type]  # fmt: skip
    (found,) = encoder.encode([answer])
    assert not isinstance(found, RowError), found
    return found[0]


def shown(tokenizer: TextTokenizer, example: Example) -> list[tuple[str, str]]:
    assert example.classes is not None
    text_of = token_text(tokenizer.backend)
    return [
        (text_of(tokenizer.backend.id_to_token(number)), name)
        for number, name in zip(example.ids.tolist(), names(example.classes), strict=True)
    ]


@pytest.mark.parametrize("template", ["alpaca", "chat", "code"])
@pytest.mark.parametrize(("kind", "scheme"), KINDS)
def test_only_answers_are_marked_and_special_tokens_are_other(
    request: pytest.FixtureRequest, chatml: str, kind: str, scheme: str, template: str
) -> None:
    """The lexer sees the answer without what the template wrote into it: the string goes on behind no token."""
    folder = request.getfixturevalue(kind)(chatml, **({"scheme": scheme} if scheme else {}))
    tokenizer = load_tokenizer(folder)
    answer = conversation("x = 'a # b' # c\ny = 2")
    example = encoded(tokenizer, answer, template, "python")
    plain = encoded(tokenizer, answer, template, None)
    assert example.ids.tolist() == plain.ids.tolist()
    assert plain.classes is None
    pairs = shown(tokenizer, example)
    assert {name for (_, name), counted in zip(pairs, example.supervised, strict=True) if not counted} == {"other"}
    marked = [(text, name) for (text, name), counted in zip(pairs, example.supervised, strict=True) if counted]
    inside = [name for text, name in marked if text not in tokenizer.special_tokens and text.strip()]
    assert {name for text, name in marked if text in tokenizer.special_tokens} == {"other"}
    assert "other" not in inside
    assert [name for index, name in enumerate(inside) if index == 0 or inside[index - 1] != name] == [
        "name", "operator", "string", "comment", "name", "operator", "literal",
    ]  # fmt: skip


def test_auto_reads_fences_and_in_template_code_everything(byte_level: Callable[..., Path], chatml: str) -> None:
    tokenizer = load_tokenizer(byte_level(chatml))
    fenced = shown(tokenizer, encoded(tokenizer, conversation("if x\n```python\nif x\n```\n"), "chat", "auto"))
    assert [name for _, name in fenced].count("keyword") > 0
    assert [text for text, name in fenced if name == "keyword"] == ["i", "f"]
    whole = shown(tokenizer, encoded(tokenizer, conversation("if x"), "code", "auto"))
    assert "".join(text for text, name in whole if name == "keyword") == "if"
    none = shown(tokenizer, encoded(tokenizer, conversation("if x"), "alpaca", "auto"))
    assert {name for _, name in none} == {"other"}


def test_an_answer_that_is_not_counted_is_not_marked(byte_level: Callable[..., Path], chatml: str) -> None:
    tokenizer = load_tokenizer(byte_level(chatml))
    example = encoded(tokenizer, conversation("if x", supervised=False), "chat", "python")
    assert {name for _, name in shown(tokenizer, example)} == {"other"}


@pytest.mark.parametrize("max_tokens", [46, 30, 12])
def test_classes_are_cut_with_their_tokens(sentence_piece: Callable[..., Path], max_tokens: int) -> None:
    """Shortened at its start, or where the answer does not fit at its end, the begin token kept."""
    tokenizer = load_tokenizer(sentence_piece())
    answer = conversation("def add(a, b):\n return a + b")
    whole = encoded(tokenizer, answer, "alpaca", "python")
    cut = encoded(tokenizer, answer, "alpaca", "python", max_tokens=max_tokens)
    assert len(cut.ids) == max_tokens < len(whole.ids)
    assert cut.classes is not None
    assert whole.classes is not None
    pairs = list(zip(whole.ids.tolist(), whole.classes.tolist(), strict=True))
    rest = list(zip(cut.ids.tolist(), cut.classes.tolist(), strict=True))[1:]
    assert any(pairs[start : start + len(rest)] == rest for start in range(len(pairs)))
    assert len(set(cut.classes.tolist())) > 2


def test_a_row_whose_lexer_fails_is_refused(byte_level: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, language: str) -> None:
        raise RowError("syntax", "no")

    monkeypatch.setattr(marking, "code_classes", fail)
    encoder = ExampleEncoder(load_tokenizer(byte_level()), "alpaca", 100, syntax="python")
    refused, kept = encoder.encode([conversation("x"), conversation("y", supervised=False)])
    assert isinstance(refused, RowError)
    assert refused.code == "syntax"
    assert not isinstance(kept, RowError)
