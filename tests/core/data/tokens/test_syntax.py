"""Classes of characters and of tokens, against texts marked by hand."""

from __future__ import annotations

import io
import keyword
import sysconfig
import tokenize
from pathlib import Path

import numpy as np
import pytest

from core.data.tally import RowError
from core.data.tokens import syntax
from core.data.tokens.syntax import CLASSES, code_classes, fenced_classes, outside, token_classes

LETTERS = dict(zip(CLASSES, "-knolsc_", strict=True))
LETTER_OF = {number: LETTERS[name] for number, name in enumerate(CLASSES)} | {len(CLASSES): "."}


def letters(classes: np.ndarray) -> str:
    return "".join(LETTER_OF[int(number)] for number in classes)


@pytest.mark.parametrize(
    ("code", "marked"),
    [
        ("def f(x):\n\treturn x+10 # a b", "kkk_nonoo__kkkkkk_noll_c_c_c"),
        ("x = 'a b' and True", "n_o_ss_ss_kkk_kkkk"),
        ("\n\n  x\n\n", "____" + "n" + "__"),
        ("if x:\r\n  y\r\n", "kk_no" + "____" + "n" + "__"),
        ("x\ry # c\rz", "n_n_c_c_n"),
        ("größe = '日本 ü'", "nnnnn_o_sss_ss"),
        ('"""Doc\nstring"""\n', "ssssss_sssssssss_"),
        ("@wraps\nx: int", "nnnnnn_no_nnn"),
    ],
)
def test_python_by_hand(code: str, marked: str) -> None:
    assert letters(code_classes(code, "Python")) == marked


def test_a_preprocessor_is_of_the_language() -> None:
    assert letters(code_classes("#include <a.h>\n", "C")) == "kkkkkkkk_sssss_"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_change_no_class(end: str) -> None:
    """Also within a string that goes on in the next line: the grammars know no other end of a line than a newline."""
    code = "x = 'a\\\nb' and True # c\ny = '''d\ne'''\n"
    plain = code_classes(code, "Python")
    other = code_classes(code.replace("\n", end), "Python")
    kept = [number for number, character in enumerate(code.replace("\n", end)) if character != "\r" or end == "\r"]
    assert letters(other[kept]) == letters(plain)


@pytest.mark.parametrize("module", ["heapq.py", "textwrap.py", "dataclasses.py"])
def test_the_standard_library_as_pythons_own_tokenizer_has_it(module: str) -> None:
    """Keywords, strings, comments and numbers of an independent lexer, character by character."""
    code = Path(sysconfig.get_path("stdlib"), module).read_text(encoding="utf-8")
    starts = np.cumsum([0, *(len(line) for line in code.splitlines(keepends=True))])
    classes = letters(code_classes(code, "Python"))
    checked = 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        start, stop = (int(starts[row - 1]) + column for row, column in (token.start, token.end))
        expected = {tokenize.STRING: "s", tokenize.COMMENT: "c", tokenize.NUMBER: "l"}.get(token.type)
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            expected = "k"
        is_formatted = token.string[:1] in "fF" and expected == "s"  # holds code of its own
        if expected is not None and not is_formatted:
            found = set(classes[start:stop]) - {"_"}
            assert found == {expected}, (token, classes[start:stop])
            checked += 1
    assert checked > 300


def test_only_what_stands_between_fences_is_source_code() -> None:
    text = "Add a b:\n\n```py\nx = 1\n```\nand  ```js\n~~~~ js\nlet y\n~~~\n~~~~\n```\nx\n```\n```klingon\nx\n```"
    marked = letters(fenced_classes(text))
    assert marked[text.index("x = 1") :][:6] == "n_o_l_"
    assert marked[text.index("let y") :][:10] == "kkk_n_ooo_"
    outsides = set(range(len(text))) - {*range(text.index("x = 1"), text.index("x = 1") + 6)}
    outsides -= {*range(text.index("let y"), text.index("let y") + 10)}
    assert {marked[number] for number in outsides} == {"."}


@pytest.mark.parametrize(
    ("words", "is_code"), [("python", True), ("{.python}", True), ("py title=a", True), ("", False)]
)
def test_the_language_of_a_fence(words: str, is_code: bool) -> None:
    marked = letters(fenced_classes(f"```{words}\nif x\n```"))
    assert ("kk_n_" in marked) == is_code


def test_a_fence_that_nobody_closed_goes_to_the_end() -> None:
    assert letters(fenced_classes("```py\nif x")) == "......kk_n"


def spans(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def named(characters: str, *pairs: tuple[int, int], is_space: tuple[int, ...] = ()) -> str:
    numbers = {letter: number for number, letter in LETTER_OF.items()}
    classes = np.array([numbers[letter] for letter in characters], dtype=np.uint8)
    flags = np.array([number in is_space for number in range(len(pairs))], dtype=np.bool_)
    return letters(token_classes(classes, spans(*pairs), flags))


def test_a_token_over_two_classes_has_that_of_most_of_its_characters() -> None:
    assert named("noo", (0, 3)) == "o"
    assert named("noon", (0, 4)) == "n", "as many of both: the first"
    assert named("onno", (0, 4)) == "o"
    assert named("_n___", (0, 5)) == "n", "spaces do not count"
    assert named("--n", (0, 3)) == "-"


def test_a_token_of_nothing_but_space_is_whitespace_in_source_code_only() -> None:
    assert named("n___..", (0, 1), (1, 4), (4, 6)) == "n_-"


def test_a_space_that_the_tokenizer_put_before_a_word_is_whitespace() -> None:
    assert named("ko", (0, 1), (0, 1), (1, 2), is_space=(0,)) == "_ko"
    assert named(".o", (0, 1), (1, 2), is_space=(0,)) == "-o"


def test_a_token_that_covers_no_character_is_other() -> None:
    assert named("kk", (0, 0), (0, 2), (2, 2)) == "-k-"
    assert named("", (0, 0)) == "-"
    assert named("k") == ""


def test_parts_of_one_character_have_its_class() -> None:
    assert named("sk", (0, 1), (0, 1), (0, 1), (1, 2)) == "sssk"


def test_a_lexer_that_fails_names_its_language(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def get_tokens_unprocessed(self, text: str) -> None:
            raise KeyError("state")

    monkeypatch.setattr(syntax, "_lexer", lambda language: Broken())
    with pytest.raises(RowError, match="the lexer of Python can read, found: KeyError") as error:
        code_classes("x", "Python")
    assert error.value.code == "syntax"


def test_what_a_lexer_reports_at_a_wrong_place_is_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    from pygments.token import Keyword, Name

    class Shifted:
        def get_tokens_unprocessed(self, text: str) -> list[tuple[int, object, str]]:
            return [(0, Keyword, "ab"), (3, Name, "ab"), (4, Name, "zzzz")]

    monkeypatch.setattr(syntax, "_lexer", lambda language: Shifted())
    assert letters(code_classes("ab cd", "Python")) == "kk_--"


def test_a_text_outside() -> None:
    assert letters(outside("a b")) == "..."
