"""Wikipedia and other wikis by MediaWiki: the pages of an export file (dump) as text.

Source: https://www.mediawiki.org/wiki/Help:Export , schema export-0.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element

from core.data.readers.wikitext import wikitext_to_text
from core.data.readers.xml_stream import XMLRecord, text_of, xml_records
from core.data.rows import Row
from core.data.tally import Tally

NAMESPACES = frozenset({"0", "102", "110"})
"""Namespaces whose pages are documents: articles, and Cookbook and Wikijunior of Wikibooks. Talk, users, templates,
files and categories are rows without a document."""


def looks_like_mediawiki(head: bytes) -> bool:
    """Whether a file begins as MediaWiki's export does; `head` is its first few hundred (decompressed) bytes."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<mediawiki[\s>]", head) is not None


def read_mediawiki(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row an article: text (the title, then the article), title, url, date, language, pageid.

    Every page is a row. Redirects, pages of other namespaces and pages that are no wikitext give no document; an
    article that leaves no text is counted as empty. The last revision in the file is the one that is read.
    """
    base, files, categories = "", set[str](), set[str]()
    for record in xml_records(path, frozenset({"page", "siteinfo"}), tally):
        if record.element.tag == "siteinfo":
            base = text_of(record.element.find("base")).rpartition("/")[0]
            files, categories = _names(record.element, "6"), _names(record.element, "14")
            continue
        tally.rows += 1
        source = _article(record.element)
        if source is None:
            continue
        text = wikitext_to_text(source, files, categories)
        if not text:
            tally.empty += 1
            continue
        yield Row(_columns(record, text, base), record.place)


def _names(site: Element, key: str) -> set[str]:
    """Return what a namespace is called in the wiki's language."""
    return {text_of(name) for name in site.iter("namespace") if name.get("key") == key}


def _article(page: Element) -> str | None:
    """Return the wikitext of an article; None for a page that is no article."""
    if page.find("redirect") is not None or text_of(page.find("ns")) not in NAMESPACES | {""}:
        return None
    revisions = page.findall("revision")
    if not revisions or text_of(revisions[-1].find("model")) not in ("wikitext", ""):
        return None
    source = revisions[-1].findtext("text") or ""
    # Dumps before 2009 have no <redirect>.
    return None if re.match(r"\s*#redirect\b", source, re.I) else source


def _columns(record: XMLRecord, text: str, base: str) -> dict[str, str]:
    title = text_of(record.element.find("title"))
    revision = record.element.findall("revision")[-1]
    return {
        "text": f"{title}\n\n{text}" if title else text,
        "title": title,
        "url": f"{base}/{quote(title.replace(' ', '_'), safe=':/()!,')}" if base and title else "",
        "date": text_of(revision.find("timestamp")),
        "language": next((value for key, value in record.root.items() if key.endswith("lang")), ""),
        "pageid": text_of(record.element.find("id")),
    }
