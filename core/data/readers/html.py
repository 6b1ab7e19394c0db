"""The readable text of HTML pages: the main content, without menus, scripts and forms."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.readers.opening import opened
from core.data.rows import Row
from core.data.tally import RowError, Tally
from core.errors import DataError

if TYPE_CHECKING:
    from resiliparse.parse.html import HTMLTree
    from resiliparse.parse.html.node import Node

MAX_PAGE_BYTES = 64 * 2**20
MAX_DEPTH = 2000
"""How deep elements may stand inside one another. Extraction takes time that grows with the square of the depth: 2,000
take 0.1 s, 10,000 1.7 s, 100,000 minutes (resiliparse 2.0.1). A browser takes 512."""

_TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/>]*)")
# Elements without content, or ended by the next of their kind: they do not nest when their end tag is left out.
_FLAT = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li td th tr dt dd option".split()
)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# What MediaWiki, and so many of the pages of an encyclopedia, puts between the sentences.
_SKIPPED = ["sup.reference", ".mw-editsection", ".infobox", ".navbox", ".ambox"]


@dataclass(frozen=True)
class Page:
    """What is known of a page: text, title, the language and the licence that it states; "" where it has none."""

    text: str
    title: str
    language: str
    licence: str


def read_html(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield the page of one file: text, title, language, licence."""
    tally.rows += 1
    try:
        with opened(path) as stream:
            html = stream.read(MAX_PAGE_BYTES + 1)
        if len(html) > MAX_PAGE_BYTES:
            raise RowError("too_long", f"expected a page of at most {MAX_PAGE_BYTES} bytes, found a longer one")
        page = page_of(html)
    except DataError as error:
        tally.refuse(str(path), RowError("damaged", error.message))
    except RowError as error:
        tally.refuse(str(path), error)
    else:
        if page.text:
            values = {"text": page.text, "title": page.title, "language": page.language, "licence": page.licence}
            yield Row(values, str(path))
        else:
            tally.empty += 1


def html_to_text(html: bytes, encoding: str | None = None) -> str:
    """Return the main text of a page; `encoding` is the one that the server stated.

    Raises: RowError where elements stand too deep inside one another.
    """
    return page_of(html, encoding).text


def page_of(html: bytes, encoding: str | None = None) -> Page:
    """Return text, title, language and licence of a page; `encoding` is the one that the server stated.

    The text is that of the main content; where none is told from the rest of the page, all that is visible.

    Raises: RowError where elements stand too deep inside one another.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    if is_too_deep(html):
        raise RowError("too_deep", f"expected at most {MAX_DEPTH} HTML elements inside one another, found more")
    tree = HTMLTree.parse(decoded_html(html, encoding))
    _keep_lists(tree)
    text = ""
    for main_content in (True, False):
        text = extract_plain_text(
            tree,
            preserve_formatting=True,
            main_content=main_content,
            list_bullets=True,
            alt_texts=False,
            links=False,
            form_fields=False,
            noscript=False,
            skip_elements=_SKIPPED,
        )
        if text.strip():
            break
    root = tree.document.query_selector("html[lang]") if tree.document else None
    licence = tree.document.query_selector('[rel~="license"][href]') if tree.document else None
    return Page(
        text=_tidy(text),
        title=" ".join((tree.title or "").split()),
        language=(root.getattr("lang") or "").strip() if root else "",
        licence=(licence.getattr("href") or "").strip() if licence else "",
    )


def _keep_lists(tree: HTMLTree) -> None:
    """Make paragraphs of the items of lists that say something, each behind a hyphen.

    Taking out the main content drops every list that is not numbered (resiliparse 2.0.1), for most are menus. A list
    is taken for one where links make up half of its text or more.
    """
    if tree.document is None:
        return
    for found in reversed(list(tree.document.query_selector_all("ul"))):
        if found.closest("nav, header, footer, aside, form, [role=navigation], [hidden]"):
            continue
        linked = sum(_length(link) for link in found.query_selector_all("a"))
        block = tree.create_element("div") if 2 * linked < _length(found) else None
        if block is None:
            continue
        for item in list(found.child_nodes):
            paragraph, hyphen = tree.create_element("p"), tree.create_text_node("- ")
            if paragraph is not None and hyphen is not None and item.node_name == "LI":
                for child in (hyphen, *item.child_nodes):
                    paragraph.append_child(child)
                block.append_child(paragraph)
        found.replace_with(block)


def _length(element: Node) -> int:
    return len(" ".join((element.text or "").split()))


def decoded_html(html: bytes, encoding: str | None = None) -> str:
    """Return a page as text, never failing: what cannot be decoded becomes U+FFFD.

    The encoding is that of the byte order mark; UTF-8 where the bytes beyond ASCII fit it, for then the statements of
    servers and pages are what is wrong; the server's; the one that the page states; what its bytes look like.
    """
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    for mark, name in _MARKS:
        if html.startswith(mark):
            return html[len(mark) :].decode(name, "replace")
    if not html.isascii():
        try:
            return html.decode()
        except UnicodeDecodeError:
            pass
    stated = map_encoding_to_html5(encoding, fallback_utf8=False) if encoding else None
    name = stated or detect_encoding(html, from_html_meta=True) or "utf-8"
    return bytes_to_str(html, name, errors="replace", fallback_encodings=())


def is_too_deep(html: bytes) -> bool:
    """Whether elements may stand deeper than MAX_DEPTH inside one another."""
    if html.count(b"<") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _TAG.finditer(html):
        ends, name = found.groups()
        if name.lower() in _FLAT:
            continue
        depth = max(depth - 1, 0) if ends else depth + 1
        if depth > MAX_DEPTH:
            return True
    return False


def _tidy(text: str) -> str:
    lines: list[str] = []
    for line in text.splitlines():
        line = re.sub(r"^[ \t]*•[ \t]", "- ", line)
        line = re.sub(r"[ \t]*\t[ \t]*", "\t", line).strip("\t").rstrip()  # a tab stands between the cells of a table
        if line.startswith("- ") and len(lines) > 1 and not lines[-1] and lines[-2].startswith("- "):
            lines.pop()
        lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
