"""Wikitext as plain text: what a reader of the article reads, without tables, boxes, pictures and references.

Own rules and not a parser of the whole language: mwparserfromhell 0.7.2 takes seven times as long (1.6 against 11 MB a
second of 106 articles), and leaves pictures' captions, tables' cells and categories to its caller all the same.

Source: https://www.mediawiki.org/wiki/Help:Formatting , https://www.mediawiki.org/wiki/Help:Links
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable

_DROPPED_TAGS = (
    "ref|references|gallery|timeline|score|imagemap|graph|mapframe|maplink|templatestyles|hiero|inputbox|"
    "indicator|section|noinclude|style|script"
)
# A tag that is closed in itself, or with all up to its end; (?!...) so that an unclosed one takes no other's end.
_DROPPED = re.compile(
    rf"<({_DROPPED_TAGS})\b[^<>]*?/>|<({_DROPPED_TAGS})\b[^<>]*>(?:(?!<\2\b).)*?</\2\s*>", re.I | re.S
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_VERBATIM = re.compile(
    r"<(nowiki|pre|syntaxhighlight|source|math|chem|ce)\b[^<>/]*>((?:(?!<\1\b).)*?)</\1\s*>", re.I | re.S
)
_BRACES = re.compile(r"\{\{|\}\}|^[ \t:*]*\{\||^[ \t]*\|\}(?!\})", re.M)
_LINK = re.compile(r"\[\[((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]\]")
_MOST_NESTED_LINKS = 8
_EXTERNAL = re.compile(
    r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]*+[ \t]*+([^\[\]\n]*)\]|\[mailto:[^\s\[\]]*+ ([^\[\]\n]*)\]", re.I
)
_MAGIC = re.compile(r"__[A-Z]{3,}__")
_LIST = re.compile(r"^([*#:;]+)[ \t]*", re.M)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,2000}>")
_BREAK = re.compile(r"<br\b[^<>]*>|</(?:p|div|li|tr|blockquote|poem|center)>", re.I)
_KEPT = "\x01"  # stands, with a number, for what is not wikitext; XML cannot hold it

FILES = frozenset({"file", "image", "media"})
CATEGORIES = frozenset({"category"})
_INTERLANGUAGE = re.compile(r"^(?:[a-z]{2,3}|simple|[a-z]{2,3}-[a-z-]{2,12})$")
# Templates that stand for words of a sentence: what is left of their arguments, named by position.
_WORDS: dict[str, Callable[[list[str]], str]] = {
    **dict.fromkeys(("lang", "transl", "tlit", "langx", "transliteration", "wikt-lang"), lambda args: _at(args, 1)),
    **dict.fromkeys(
        ("nowrap", "nobr", "quote", "blockquote", "cquote", "quotation", "small", "smaller", "big", "em", "strong",
         "abbr", "sc", "smallcaps", "math", "mvar", "var", "sub", "sup", "val", "num", "formatnum", "center", "chem",
         "circa", "c.", "lang-en", "music", "angle bracket", "noitalic", "italics correction", "not a typo", "sic",
         "linktext", "visible anchor", "vanchor", "tooltip"),
        lambda args: _at(args, 0),
    ),
    **dict.fromkeys(("convert", "cvt"), lambda args: " ".join(filter(None, args[:2]))),
    **dict.fromkeys(("as of",), lambda args: " ".join(["As of", *args[:1]])),
    **dict.fromkeys(("frac", "sfrac", "fraction"), lambda args: "/".join(args[-2:])),
    **dict.fromkeys(("ndash", "en dash"), lambda args: "–"),
    **dict.fromkeys(("mdash", "em dash"), lambda args: "—"),
    **dict.fromkeys(("snd", "spnd", "spaced ndash", "spaced en dash"), lambda args: " – "),
    **dict.fromkeys(("nbsp", "space"), lambda args: " "),
    **dict.fromkeys(("'", "`"), lambda args: "'"),
    "!": lambda args: "|",
}  # fmt: skip


def wikitext_to_text(source: str, files: Iterable[str] = FILES, categories: Iterable[str] = CATEGORIES) -> str:
    """Return the text of an article: paragraphs, headings as lines of their own, list items after "- ".

    Tables, templates, references, comments, pictures with their captions, categories and links to other languages are
    left out; a few templates stand for words of a sentence and leave them ({{lang|la|verbatim}}, {{convert|5|km}}).
    Links leave their text; formulas stay as TeX between dollar signs, code as it is. `files` and `categories` are the
    names that these namespaces have in the wiki's language besides the English ones. A heading without text below it
    is left out.
    """
    kept: list[str] = []
    text = _COMMENT.sub("", source.replace(_KEPT, ""))
    text = _VERBATIM.sub(lambda found: _set_aside(found.group(1), found.group(2), kept), text)
    text = _DROPPED.sub("", text)
    dropped = FILES | CATEGORIES | {name.lower() for name in (*files, *categories)}
    text = _without_braces(text, dropped)
    text = _without_links(text, dropped)
    text = _EXTERNAL.sub(lambda found: found.group(1) or found.group(2) or "", text)
    text = _MAGIC.sub("", re.sub(r"'{2,5}", "", text))
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = html.unescape(text)
    text = _laid_out(text)
    text = re.sub(rf"{_KEPT}(\d+){_KEPT}", lambda found: kept[int(found.group(1))], text)
    return re.sub(r"[ \t]+\n", "\n", text).strip()


def _set_aside(tag: str, content: str, kept: list[str]) -> str:
    content = content.strip() if tag.lower() in ("math", "chem", "ce") else content
    match tag.lower():
        case "math":
            kept.append(f"${content}$")
        case "chem" | "ce":
            kept.append(f"$\\ce{{{content}}}$")
        case "nowiki":
            kept.append(html.unescape(content))
        case _:
            kept.append("\n" + html.unescape(content).strip("\n") + "\n")
    return f"{_KEPT}{len(kept) - 1}{_KEPT}"


def _without_braces(text: str, dropped: frozenset[str]) -> str:
    """Return text without templates and tables, those inside one another too, in one pass.

    What is opened and never closed keeps its text, but for the lines of a table's cells.
    """
    stack: list[tuple[str, list[str]]] = [("", [])]  # what is open, and the text in it so far
    done = 0
    for found in _BRACES.finditer(text):
        token = found.group().lstrip(" \t:*")
        stack[-1][1].append(text[done : found.start()])
        done = found.end()
        if token in ("{{", "{|"):
            stack.append((token, []))
        elif (opener := "{{" if token == "}}" else "{|") in {kind for kind, _ in stack[-3:]}:
            while True:
                kind, parts = stack.pop()
                if kind == opener:
                    break
            stack[-1][1].append(_words_of(parts, dropped) if opener == "{{" else "")
    stack[-1][1].append(text[done:])
    return "".join(
        "".join(parts) if kind != "{|" else re.sub(r"\A.*|^[ \t]*[|!].*$", "", "".join(parts), flags=re.M)
        for kind, parts in stack
    )


def _words_of(parts: list[str], dropped: frozenset[str]) -> str:
    content = "".join(parts)
    name, _, rest = content.partition("|")
    key = name.strip().lower().replace("_", " ")
    rule = _WORDS.get(key) or (_WORDS["nowrap"] if re.fullmatch(r"lang-[a-z-]{2,12}", key) else None)
    if rule is None:
        return ""
    # A bar inside a link divides no arguments.
    arguments = _without_links(rest, dropped).split("|") if rest else []
    return rule([_unnamed(argument) for argument in arguments if _is_positional(argument)])


def _is_positional(argument: str) -> bool:
    name, equals, _ = argument.partition("=")
    return not equals or name.strip().isdigit() or "<" in name or "[" in name


def _unnamed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return value.strip() if equals and name.strip().isdigit() else argument.strip()


def _at(arguments: list[str], place: int) -> str:
    return arguments[place] if place < len(arguments) else ""


def _without_links(text: str, dropped: frozenset[str]) -> str:
    """Return text with links as their words, the innermost first: a picture's caption may hold links."""

    def words(found: re.Match[str]) -> str:
        target, bar, label = found.group(1).partition("|")
        prefix, colon, _ = target.partition(":")
        prefix = prefix.strip().lower()
        if colon and prefix in dropped:
            return ""
        if colon and not bar and _INTERLANGUAGE.match(prefix):
            return ""
        label = label.rpartition("|")[2] if bar else target.strip().lstrip(":")
        return label.strip() or re.sub(r"\s*\(.*\)$", "", target.rpartition(":")[2])

    for _ in range(_MOST_NESTED_LINKS):
        text, count = _LINK.subn(words, text)
        if not count:
            break
    return text


def _laid_out(text: str) -> str:
    """Return text with headings, lists and paragraphs as lines, without the headings that have nothing below."""
    text = re.sub(r"\([\s,;:]*\)", "", text)  # what is left of "({{lang|...}}; {{IPA|...}})"
    text = re.sub(r" +\)", ")", re.sub(r"\([;,:\s]+", "(", text))
    text = _LIST.sub(lambda found: "" if found.group(1).strip(":;") == "" else "- ", text)
    lines: list[str] = []
    headings: list[tuple[int, str]] = []  # with nothing below them yet
    for line in text.splitlines():
        line = re.sub(r"[ \t\xa0]+", " ", line).strip()
        title = line.strip("=")
        if title and line.startswith("=") and line.endswith("="):
            level = len(line) - len(line.lstrip("="))
            headings = [(above, heading) for above, heading in headings if above < level]
            headings.append((level, title.strip()))
        elif line and line != "-":
            lines += [part for _, heading in headings for part in ("", heading, "")]
            headings = []
            lines.append(re.sub(r" +([.,;:](?:\s|$))", r"\1", line))
        else:
            lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
