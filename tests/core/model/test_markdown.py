from __future__ import annotations

import math

import pytest
from markdown_it import MarkdownIt

from core.model.markdown import escaped, fenced, sparkline, table

_HOSTILE = [
    "a|b|c", "![x](http://evil/x.png)", "[click](javascript:alert(1))", "<script>alert(1)</script>", "`x` **y** __z__",
    "# heading", "- item", "1. item", "1) item", "12. item", "3.",
    "> quote", "a\n\n# second line", "---", "====", "&lt;b&gt;",
    "https://evil.example/x", "www.evil.example", "$x$ ~~gone~~", "\x1b[31mred\x1b[0m \u202eback", "<https://evil>",
    "[ref]: http://evil", "| --- |", "\\", "end\\", "``` \n", "    code", "\ud800", "&#106;",
]  # fmt: skip


@pytest.mark.parametrize("text", _HOSTILE)
def test_text_stands_in_markdown_as_it_is(text: str) -> None:
    """CommonMark's own parser finds plain text and nothing else, in a paragraph and in a table's cell."""
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    shown = escaped(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    tokens = parser.parse(shown)
    assert [token.type for token in tokens] in (["paragraph_open", "inline", "paragraph_close"], [])
    children = tokens[1].children or [] if tokens else []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    visible = "".join(child.content for child in children)
    expected = "".join(" " if c.isspace() else c for c in text).strip()
    assert visible == "".join(c for c in expected if c.isprintable())
    cells = [token for token in parser.parse(table(["a", "b"], [[text, "2"]])) if token.type == "td_open"]
    assert len(cells) == 2


def test_a_block_of_code_cannot_be_closed_from_inside() -> None:
    text = "a: 1\n```\n# heading\n````\n\x1b[2J"
    (block,) = MarkdownIt().parse(fenced(text, "yaml"))
    assert (block.type, block.info) == ("fence", "yaml")
    assert block.content == "a: 1\n```\n# heading\n````\n[2J\n"


def test_a_curve_is_drawn_between_its_least_and_largest_value() -> None:
    assert sparkline([4.0, 3.0, 2.0, 1.0]) == "█▆▃▁"
    assert sparkline([1.0, math.nan, 2.0, math.inf]) == "▁×█×"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([math.nan]) == "×"
    assert sparkline([]) == ""
