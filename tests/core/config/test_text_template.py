from __future__ import annotations

import pytest

from core.config.text_template import Column, Part, TemplateError, parsed


def test_text_columns_and_parts() -> None:
    template = parsed("{name}[[ is {kind.main}, {other}]].\n")
    inner = (" is ", Column("kind.main"), ", ", Column("other"))
    assert template.pieces == (Column("name"), Part(inner), ".\n")
    assert (template.names(), template.required()) == (["name", "kind.main", "other"], ["name"])


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("{{{a}}}", ("{", Column("a"), "}")),
        ("a [b] {c [mg]}", ("a [b] ", Column("c [mg]"))),
        ("[[[{a}]]]", (Part(("[", Column("a"), "]")),)),
        ("{a}[[{b}]][[{c}]]", (Column("a"), Part((Column("b"),)), Part((Column("c"),)))),
        ("{Name of drug}", (Column("Name of drug"),)),
    ],
)
def test_brackets_and_braces(text: str, pieces: tuple[object, ...]) -> None:
    assert parsed(text).pieces == pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a", "has { at character 1, which no } closes; for a brace write {{"),
        ("{a {b}", "has { at character 1, which no } closes"),
        ("a} {b}", "has } at character 2, which no { opens; for a brace write }}"),
        ("{a} [[ {b}", "has [[ at character 5, which no ]] closes"),
        ("{a}\n ]]", "has ]] at character 2 of line 2, which no [[ opens"),
        ("[[ {a} [[ {b} ]] ]]", "has [[ at character 8 in the part that begins at character 1"),
        ("{a} [[ b ]]", "has a part without a column at character 5"),
        ("{}", "has a column without a name at character 1: {}"),
        ("{a..b}", "has a column without a name at character 1: {a..b}"),
        ("only words", "names no column; write {name}"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parsed(text)
    assert words in str(caught.value)
