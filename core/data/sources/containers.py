"""How the records of a file are written down, told by its name and beginning, and the reader of each way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, assert_never

from core.config.sources import Container
from core.data.readers.delimited import read_delimited
from core.data.readers.json_rows import read_json_array, read_json_lines, read_json_object, read_squad
from core.data.readers.lines import WHOLE, Span
from core.data.readers.opening import head_of, logical_name
from core.data.readers.parquet import read_parquet
from core.data.readers.text_files import TextUnit, read_file, read_hellaswag_text, read_text
from core.data.rows import Row
from core.data.sources import signs
from core.data.sources.json_shapes import is_object, json_shape
from core.data.sources.programming_languages import language_of
from core.data.tally import Tally, show
from core.errors import DataError

HEAD_BYTES = 64 * 2**10
_BY_SUFFIX: dict[str, Container] = {
    ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "json_lines", ".ndjson": "json_lines", ".jsonlines": "json_lines", ".json": "json_lines",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".tex": "latex", ".latex": "latex", ".ltx": "latex",
    ".warc": "warc", ".wat": "warc", ".wet": "wet",
    ".txt": "text", ".text": "text", ".rst": "text", ".log": "text",
}  # fmt: skip
_TEXT_SUFFIXES = frozenset({"", ".txt", ".text", ".lst", ".list", ".paths", ".labels"})
_KNOWN = (
    "JSON or JSON Lines, Parquet, CSV, TSV, text, Markdown, HTML, LaTeX, WARC, WET, a MediaWiki dump, PubMed, PMC or "
    "MedQuAD XML, SQuAD, or source code"
)
TEXT_CONTAINERS: frozenset[Container] = frozenset({"text", "markdown", "latex", "html", "gutenberg", "code"})


def detect_container(path: Path) -> Container:
    """Return how the records of a file are written down.

    Raises: DataError where the file is no data set, with what it is; where it cannot be read or decompressed.
    """
    name = logical_name(path).lower()
    suffix = name[name.rfind(".") :] if "." in name[1:] else ""
    head = head_of(path, HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"WARC/"):
        return "wet" if suffix == ".wet" or signs.is_wet(head) else "warc"
    if signs.is_tar(head) and signs.is_latex_package(head):
        return "latex"
    if (words := signs.foreign(head)) is not None:
        raise no_data_set(path, words)
    known = _BY_SUFFIX.get(suffix)
    if known is None and b"\0" in head:
        raise no_data_set(path, f"binary data (a NUL at byte {head.index(0)})")
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    if known == "json_lines":
        return json_shape(path, head)
    if suffix in (".xml", ".nxml"):
        return _xml_container(path, text)
    if suffix in _TEXT_SUFFIXES:
        return _text_container(path, text)
    if known is not None:
        return known
    return "code" if language_of(name) is not None else _text_container(path, text)


def read_container(
    path: Path,
    container: Container,
    tally: Tally,
    *,
    document: TextUnit = "file",
    span: Span = WHOLE,
    choose: Callable[[Sequence[str]], list[str]] = list,
) -> Iterator[Row]:
    """Yield the records of a file, or of a span of it; bad ones are counted in the tally.

    `document` is what one document of a plain text is; `choose` says which columns of a Parquet file are read.

    Raises: DataError where the file is another thing than stated, or breaks off.
    """
    match container:
        case "json_lines":
            return read_json_lines(path, tally, span)
        case "parquet":
            return read_parquet(path, tally, span, choose)
        case "csv":
            return read_delimited(path, tally, ",")
        case "tsv":
            return read_delimited(path, tally, "\t")
        case "text" | "markdown":
            return read_text(path, tally, document, span)
        case "code":
            return _with_language(path, read_file(path, tally))
        case "xml":
            raise AssertionError("rows of XML are read with the name of their element, by read_xml_rows")
        case "json_array" | "json_object" | "squad" | "hellaswag_text" | "medquad":
            return _read_rows(path, container, tally)
        case _:
            return _read_documents(path, container, tally)


def _read_rows(
    path: Path,
    container: Literal["json_array", "json_object", "squad", "hellaswag_text", "medquad"],
    tally: Tally,
) -> Iterator[Row]:
    match container:
        case "json_array":
            return read_json_array(path, tally)
        case "json_object":
            return read_json_object(path, tally)
        case "squad":
            return read_squad(path, tally)
        case "hellaswag_text":
            return read_hellaswag_text(path, tally)
        case "medquad":
            from core.data.readers.medquad import read_medquad

            return read_medquad(path, tally)
        case _:
            assert_never(container)


def _read_documents(
    path: Path,
    container: Literal["warc", "wet", "html", "latex", "gutenberg", "mediawiki", "pubmed", "pmc"],
    tally: Tally,
) -> Iterator[Row]:
    """Read what needs a library made for it; each is imported when it is first needed."""
    match container:
        case "warc" | "wet":
            from core.data.readers.warc import read_warc

            return read_warc(path, tally)
        case "html":
            from core.data.readers.html import read_html

            return read_html(path, tally)
        case "latex":
            from core.data.readers.latex import read_arxiv_package, read_latex

            return (
                read_arxiv_package(path, tally) if signs.is_tar(head_of(path, HEAD_BYTES)) else read_latex(path, tally)
            )
        case "gutenberg":
            from core.data.readers.gutenberg import read_gutenberg

            return read_gutenberg(path, tally)
        case "mediawiki":
            from core.data.readers.mediawiki import read_mediawiki

            return read_mediawiki(path, tally)
        case "pubmed" | "pmc":
            from core.data.readers.nlm import read_pmc, read_pubmed

            return read_pubmed(path, tally) if container == "pubmed" else read_pmc(path, tally)
        case _:
            assert_never(container)


def no_data_set(path: Path, found: str, hint: str = "") -> DataError:
    """Return the error for a file that holds no records."""
    return DataError(
        f"{path}: expected a data set, found {found}",
        hint=hint or f"Known are {_KNOWN}; plain, .gz, .bz2 or .zst.",
    )


def _with_language(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    language = language_of(logical_name(path))
    for row in rows:
        yield Row({**row.values, "path": path.name, "language": language}, row.place)


def code_language(path: Path, container: Container | Literal["auto"]) -> str | None:
    """Return the language of a file that is read as source code, told by its name alone; None where it is not one."""
    name = logical_name(path)
    suffix = name[name.rfind(".") :].lower() if "." in name[1:] else ""
    is_data = suffix in _BY_SUFFIX or suffix in _TEXT_SUFFIXES or suffix in (".xml", ".nxml")
    return None if container not in ("auto", "code") or (container == "auto" and is_data) else language_of(name)


def _xml_container(path: Path, text: str) -> Container:
    root = signs.xml_root(text)
    container = signs.xml_container(root) if root else None
    if container is None:
        hint = "For a table in XML set format: xml, and record to the name of the element that is one row."
        raise no_data_set(path, *((f"XML with the outermost element {show(root)}", hint) if root else ("no XML",)))
    return container


def _text_container(path: Path, text: str) -> Container:
    """Return what a file is whose name says no more than that it is text."""
    lines = text.splitlines()
    if len(text) >= HEAD_BYTES // 4:
        del lines[-1:]  # the last may be cut off
    stated = [line.strip() for line in lines if line.strip()]
    if signs.is_path_list(stated):
        raise no_data_set(
            path, f"a list of paths such as {show(stated[0])}", "Fetch the files that it names and point at those."
        )
    if signs.is_label_list(stated):
        shown = ", ".join(sorted(set(stated))[:5])
        raise no_data_set(path, f"a list of labels ({shown})", "Point at the file whose rows they belong to.")
    if text.count("\ufffd") * 10 > len(text):
        raise no_data_set(path, "bytes that are no UTF-8 text", "Convert the file to UTF-8.")
    if signs.is_hellaswag(lines):
        return "hellaswag_text"
    if signs.is_gutenberg(text):
        return "gutenberg"
    if signs.is_latex(text):
        return "latex"
    if signs.is_html(text):
        return "html"
    if text.lstrip().startswith("<") and (root := signs.xml_root(text)) and (found := signs.xml_container(root)):
        return found
    return "json_lines" if stated and all(is_object(line) for line in stated[:3]) else "text"
