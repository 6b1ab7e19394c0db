"""Papers of the National Library of Medicine: PubMed's abstracts, PMC's full texts.

Source: PubMed's DTD, https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/ ; JATS, https://jats.nlm.nih.gov/archiving/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from core.data.readers.xml_stream import text_of, xml_records
from core.data.rows import Row
from core.data.tally import Tally

_PUBMED = frozenset({"PubmedArticle", "PubmedBookArticle"})
_DROPPED = frozenset({
    "table-wrap", "table", "table-wrap-group", "fig", "fig-group", "graphic", "inline-graphic", "media",
    "supplementary-material", "ref-list", "back", "notes", "app-group", "fn", "fn-group", "label", "object-id",
    "tex-math", "related-article", "permissions", "funding-group", "author-notes", "contrib-group", "kwd-group",
    "processing-meta",
})  # fmt: skip
_BLOCKS = frozenset({
    "p", "disp-quote", "disp-formula", "list", "list-item", "def-list", "def-item", "boxed-text", "sec", "title",
    "statement", "verse-group", "verse-line", "preformat", "break", "speech",
})  # fmt: skip
_MARK = "\x00"


def read_pubmed(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row an article that has an abstract: text (title and abstract), title, pmid, date, mesh, language, url.

    An article without an abstract is counted as empty.
    """
    for record in xml_records(path, _PUBMED, tally):
        tally.rows += 1
        article = record.element
        title = text_of(_first(article, "ArticleTitle", "BookTitle"))
        abstract = pubmed_abstract(article.find(".//Abstract"))
        if not abstract:
            tally.empty += 1
            continue
        pmid = text_of(article.find(".//PMID"))
        yield Row(
            {
                "text": f"{title}\n\n{abstract}" if title else abstract,
                "title": title,
                "pmid": pmid,
                "date": _pubmed_year(article),
                "mesh": [text_of(name) for name in article.iterfind(".//MeshHeading/DescriptorName")],
                "language": text_of(article.find(".//Language")),
                "licence": text_of(article.find(".//CopyrightInformation")),
                "url": f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid else "",
            },
            record.place,
        )


def pubmed_abstract(abstract: Element | None) -> str:
    """Return the sections of an abstract, a paragraph each, with their labels: `BACKGROUND: ...`."""
    if abstract is None:
        return ""
    sections = [(section.get("Label", ""), text_of(section)) for section in abstract.iterfind("AbstractText")]
    return "\n\n".join(f"{label}: {text}" if label else text for label, text in sections if text)


def read_pmc(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield one row a paper in JATS: text (title, abstract, body), title, pmid, pmcid, doi, date, licence, language.

    A paper of which there is neither abstract nor body is counted as empty.
    """
    for record in xml_records(path, frozenset({"article"}), tally):
        tally.rows += 1
        article = record.element
        front = article.find("front")
        meta = front.find("article-meta") if front is not None else None
        title = text_of(_bare(meta.find("title-group/article-title"))) if meta is not None else ""
        text = jats_to_text(article)
        if not text:
            tally.empty += 1
            continue
        ids = {found.get("pub-id-type", ""): text_of(found) for found in article.iterfind("front//article-id")}
        pmcid = ids.get("pmc") or ids.get("pmcid") or ids.get("pmcaid") or ""
        pmcid = f"PMC{pmcid}" if pmcid.isdigit() else pmcid
        yield Row(
            {
                "text": f"{title}\n\n{text}" if title else text,
                "title": title,
                "pmid": ids.get("pmid", ""),
                "pmcid": pmcid,
                "doi": ids.get("doi", ""),
                "date": _years(article.iterfind("front//pub-date/year")),
                "licence": _licence(article),
                "language": _attribute(article, "lang"),
                "url": f"https://pmc.ncbi.nlm.nih.gov/articles/{pmcid}/" if pmcid else "",
            },
            record.place,
        )


def jats_to_text(article: Element) -> str:
    """Return abstract and body of a paper: headings as lines, paragraphs between blank lines, lists as lines.

    Tables, figures, footnotes, references and the list of references are left out, and so are marks in brackets that
    only named one of them, such as `[12]`; a formula stays as the text that it has besides its TeX.
    """
    parts: list[str] = []
    for abstract in article.iterfind("front/article-meta/abstract"):
        if abstract.get("abstract-type") in (None, "summary", "section"):
            _write(abstract, parts)
    for body in article.iterfind("body"):
        _write(body, parts)
    return _laid_out("".join(parts))


def _write(element: Element, parts: list[str]) -> None:
    """Put an element's text into `parts`, with a mark at each end of a block."""
    block = element.tag in _BLOCKS
    if block:
        parts.append(_MARK)
    if element.tag == "list-item":
        parts.append("- ")
    parts.append(element.text or "")
    for child in element:
        if child.tag == "xref" and child.get("ref-type") in ("bibr", "fn", "table-fn"):
            parts.append(_without_reference(parts, child))
        elif child.tag not in _DROPPED:
            _write(child, parts)
        parts.append(child.tail or "")
    if block:
        parts.append(_MARK)


def _without_reference(parts: list[str], mark: Element) -> str:
    """Return what stands for a reference: nothing for a number, the name where it is one (`Smith et al.`)."""
    text = text_of(mark)
    return "" if re.fullmatch(r"[\d\s,;–\-\[\]()*†‡§a-z]{0,8}", text) else text


def _laid_out(text: str) -> str:
    # What numbers leave behind: "[ , – ]", "()", and the blank before a full stop.
    text = re.sub(r"[\[(][\s,;–\-]*[\])]", "", text)
    text = text.replace(f"- {_MARK}", "- ")
    blocks = (" ".join(block.split()) for block in text.split(_MARK))
    text = "\n\n".join(block for block in blocks if block)
    return re.sub(r" +(?=[.,;:](?:\s|$))", "", text)


def _bare(title: Element | None) -> Element | None:
    if title is not None:
        for mark in title.findall("xref") + title.findall("fn"):
            kept = mark.tail or ""
            mark.clear()
            mark.tail = kept
    return title


def _licence(article: Element) -> str:
    for licence in article.iterfind("front//permissions//license"):
        address = _attribute(licence, "href") or text_of(licence.find("license_ref"))
        if not address:
            links = (_attribute(link, "href") for link in licence.iter("ext-link"))
            address = next((link for link in links if "creativecommons.org" in link), "")
        return address or licence.get("license-type", "") or text_of(licence)[:200]
    return ""


def _attribute(element: Element, name: str) -> str:
    """Return an attribute by its name without a prefix: `xlink:href`, `xml:lang`."""
    return next((value for key, value in element.attrib.items() if key.rpartition(":")[2] == name), "")


def _pubmed_year(article: Element) -> str:
    found = _years(article.iterfind(".//PubDate/Year")) or _years(article.iterfind(".//ArticleDate/Year"))
    return found or _years(article.iterfind(".//PubDate/MedlineDate"))


def _years(found: Iterator[Element]) -> str:
    years = [year.group() for element in found if (year := re.search(r"\d{4}", text_of(element)))]
    return min(years, default="")


def _first(element: Element, *names: str) -> Element | None:
    return next((found for name in names if (found := element.find(f".//{name}")) is not None), None)
