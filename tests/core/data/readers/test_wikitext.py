"""Wikitext as plain text."""

from __future__ import annotations

import re
import time

import mwparserfromhell
import pytest

from core.data.readers.wikitext import wikitext_to_text

ARTICLE = """{{Infobox engine
| name = {{nowrap|Old Tom}} | image = [[File:Tom.jpg]]
| note = {{cite web|url=http://a.example|title=x|}}
}}<!-- made by hand -->
'''Old Tom''' is a [[steam engine|''steam'' engine]] of the [[Wend Railway]].<ref name="a">{{cite book|title=T}}</ref>
It is {{convert|9.5|m|ft}} long<ref name=b /> and was built in {{lang|de|Wörth}}; see [http://tom.example its page].

[[File:Tom.jpg|thumb|left|Old Tom at [[Wend]], [1903], by {{unknown|x}}]]
== History ==
=== Early years ===
{| class="wikitable"
! Year !! Owner
|-
| 1901 || {{flag|Wend}}
{|
| nested
|}
|}
The force is <math>F = m a</math>&nbsp;– so they say<sup>2</sup>.<br />A second line.
* coal
** brown [[coal]]s
# one
: indented
== Empty ==
== References ==
{{reflist}}
[[Category:Engines]]
[[de:Tom (Lokomotive)]]
__NOTOC__
"""


def test_an_article_is_what_its_reader_reads() -> None:
    assert wikitext_to_text(ARTICLE) == (
        "Old Tom is a steam engine of the Wend Railway.\n"
        "It is 9.5 m long and was built in Wörth; see its page.\n\n"
        "History\n\nEarly years\n\n"
        "The force is $F = m a$ – so they say2.\nA second line.\n- coal\n- brown coals\n- one\nindented"
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a {{unclosed|b c", "a unclosed|b c"),
        ("a }} b |} c", "a b |} c"),
        ("before\n{| class=x\n| cell\nafter", "before\n\nafter"),
        ("<ref>open [[a]] and on", "open a and on"),
        ("[[unclosed and on", "[[unclosed and on"),
        ("[[Lok (Bahn)|]] runs", "Lok runs"),
        ("[[:File:Tom.jpg]]", "File:Tom.jpg"),
        ("[[#Part|the part]]", "the part"),
        ("<nowiki>[[not]] a ''link''</nowiki>", "[[not]] a ''link''"),
        ("say <syntaxhighlight lang=c>if (a < b)\n  c[[1]];</syntaxhighlight>", "say\nif (a < b)\n  c[[1]];"),
        ("x ({{IPA|abc}}; born 1901) y ({{lang-la|}}) z", "x (born 1901) y z"),
        ("{{quote|It is {{nowrap|five o'clock}}.|source=me}}", "It is five o'clock."),
        ("[[Datei:a.jpg|mini|Text [[b]]]]rest", "rest"),
        ("5 &lt; 6 &amp;amp; 7", "5 < 6 &amp; 7"),
    ],
)
def test_small_pieces(source: str, text: str) -> None:
    assert wikitext_to_text(source, files=["Datei"]) == text


def test_words_agree_with_a_parser_of_the_whole_language() -> None:
    """Where nothing is dropped on purpose, mwparserfromhell finds the same words."""
    dropped = r"(?s)\[\[(?:File|Category|de):.*?\]\](?=\n)|\{\|.*\|\}|\{\{(?:convert|lang).*?\}\}|<ma.*th>"
    source = re.sub(dropped, "", ARTICLE)
    expected = mwparserfromhell.parse(source).strip_code()
    ours = wikitext_to_text(source)
    assert re.findall(r"\w+", ours) == [word for word in re.findall(r"\w+", expected) if word not in
                                        ("Empty", "References", "__NOTOC__")]  # fmt: skip


@pytest.mark.parametrize(
    "piece",
    ["{{", "}}", "\n{|", "[[", "[http://a", "<math>", "<ref>", "<gallery><ref>", "'''", "=", "( ", "{{quote|", "<!--"],
)
def test_time_does_not_grow_with_the_square(piece: str) -> None:
    began = time.process_time()
    wikitext_to_text(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 4
