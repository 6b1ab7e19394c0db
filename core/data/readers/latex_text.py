"""LaTeX as plain text, with formulas left as they are written.

Own rules and not pylatexenc (2.11), which rewrites formulas as characters, leaves floats in, takes its own errors for
the end of a text, and knows no definitions of the paper's own.
"""

from __future__ import annotations

import re
import unicodedata

from core.data.readers.latex_commands import ACCENTS, ARGUMENTS, KEPT_LAST, REFERENCES, SECTIONS, SYMBOLS, THEOREMS
from core.data.readers.latex_macros import definitions, expanded, group, optional, without_comments

_KEPT = "\x01"  # stands, with a number, for a formula or code
_LINE = "\x02"  # a line break that stays
_PARAGRAPH = "\x03"  # the end of one
_VERBATIM = re.compile(
    r"\\begin\{(verbatim\*?|Verbatim|lstlisting|minted|alltt)\}((?:(?!\\begin\{\1\}).)*?)\\end\{\1\}"
    r"|\\(?:verb|lstinline)\*?([^a-zA-Z0-9\s{*\[])([^\n]*?)\3",
    re.S,
)
_FLOATS = (
    "figure|figure\\*|table|table\\*|wrapfigure|wraptable|sidewaysfigure|sidewaystable|tikzpicture|tikzcd|picture|"
    "thebibliography|longtable|tabular|tabular\\*|tabularx|tabulary|algorithm|algorithm2e|algorithmic|comment|"
    "filecontents|filecontents\\*|pspicture|SCfigure|teaserfigure|CCSXML|lrbox|xy|forest|prooftree|subfigure"
)
_FLOAT_MARK = re.compile(rf"\\(begin|end)\s*\{{({_FLOATS})\}}")
_DISPLAYS = r"equation|align|alignat|flalign|gather|multline|eqnarray|displaymath|math|dmath|IEEEeqnarray|subequations"
_MATH = re.compile(
    rf"\\begin\{{([a-zA-Z]*(?:{_DISPLAYS})\*?)\}}((?:(?!\\begin\{{\1\}}).)*?)\\end\{{\1\}}"
    r"|\\\[((?:(?!\\\[).)*?)\\\]|\\\(((?:(?!\\\().)*?)\\\)"
    r"|\$\$((?:[^$\\]|\\.)*+)\$\$|(?<!\\)\$((?:[^$\\]|\\.)*?)\$",
    re.S,
)
_IN_MATH_DROPPED = re.compile(r"\\(?:label|index|indexdef|tag)\*?\s*\{[^{}]*\}|\\(?:nonumber|notag)\b")
_SETTING = re.compile(
    r"\s*(?:\\(?:(?:re)?new[a-zA-Z]*|provide[a-zA-Z]*|[gex]?def|let|Declare[a-zA-Z]*|makeat[a-z]*|usepackage|"
    r"RequirePackage|set[a-z]+|add[a-z]+|theoremstyle|hypersetup|fi|else|if[a-zA-Z@]*|long|global|protected|"
    r"documentclass|crefname|Crefname|[a-z]*symbol[a-zA-Z]*|tikz[a-z]*|[a-zA-Z]+name)\b|\}|%|$)"
)
_TOKEN = re.compile(r"\\([a-zA-Z@]+)\*?|\\(.)|([{}~&])|(``|''|---?|\"`|\"')", re.S)


def latex_to_text(source: str) -> str:
    """Return the text of a LaTeX source: paragraphs between blank lines, headings as lines, list items after "- ".

    Formulas stay as LaTeX between $ or $$ or as their environment, with the source's own simple commands put in;
    labels in them are left out. Left out too: the preamble, comments, floats and tables, pictures, bibliographies,
    citations with the blank before them, index entries and layout. A reference to a numbered thing becomes "[ref]", a
    footnote stands in parentheses, a theorem begins with its kind. A source that only defines commands gives "".
    """
    kept: list[str] = []
    text = (
        source.replace("\r\n", "\n").replace("\r", "\n").replace(_KEPT, "").replace(_LINE, "").replace(_PARAGRAPH, "")
    )
    text = _VERBATIM.sub(lambda found: _set_aside(found, kept), text)
    text = without_comments(text)
    if _only_defines(text):
        return ""
    macros, text = definitions(text)
    text = expanded(_without_floats(_body(text)), macros)
    text = _MATH.sub(lambda found: _formula(found, kept), _without_floats(text))
    # A command that leaves nothing on a line of its own must not look like the end of a paragraph.
    text = re.sub(r"\n[ \t]*(?:\n[ \t]*)+", _PARAGRAPH, text).replace("\n", " ")
    text = _laid_out(_plain(text))
    for _ in range(3):  # a verbatim in a formula's text
        text = re.sub(rf"{_KEPT}(\d+){_KEPT}", lambda found: kept[int(found.group(1))], text)
    return text.strip()


def _only_defines(text: str) -> bool:
    """Whether a source is a list of definitions: no document, and most lines define or set something."""
    if "\\begin{document}" in text or not re.search(r"\\(?:newcommand|def|usepackage|newtheorem|let)\b", text):
        return False
    lines = [line for line in text.splitlines() if line.strip()]
    return 2 * sum(1 for line in lines if _SETTING.match(line)) > len(lines)


def latex_title(source: str) -> str:
    """Return the title that a source states; "" where it states none."""
    macros, text = definitions(without_comments(source))
    found = re.search(r"\\(?:icml)?title(?:\[[^\[\]]*\])?\s*(?=\{)", text)
    read = group(text, found.end()) if found else None
    return " ".join(latex_to_text(expanded(read[0], macros)).split()) if read else ""


def _set_aside(found: re.Match[str], kept: list[str]) -> str:
    if found.group(1):
        code = re.sub(r"\A(?:\[[^\]\n]*\])?(?:\{[^}\n]*\})?[ \t]*\n", "", found.group(2))
        kept.append(code.rstrip())
        return f"\n\n{_KEPT}{len(kept) - 1}{_KEPT}\n\n"
    kept.append(found.group(4))
    return f"{_KEPT}{len(kept) - 1}{_KEPT}"


def _body(text: str) -> str:
    begins = re.search(r"\\begin\s*\{document\}", text)
    if begins is None:
        return text
    ends = re.compile(r"\\end\s*\{document\}").search(text, begins.end())
    return text[begins.end() : ends.start() if ends else len(text)]


def _without_floats(text: str) -> str:
    """Return text without figures and tables; one that is never closed keeps its text."""
    parts: list[str] = []
    opened: list[str] = []
    done = 0
    for found in _FLOAT_MARK.finditer(text):
        mark, name = found.groups()
        if mark == "begin":
            if not opened:
                start = found.start()
            opened.append(name)
        elif name in opened:
            while opened.pop() != name:
                pass
            if not opened:
                parts.append(text[done:start])
                done = found.end()
    return "".join([*parts, text[done:]])


def _formula(found: re.Match[str], kept: list[str]) -> str:
    environment, inner, display, inline, dollars, dollar = found.groups()
    if environment == "subequations":
        return str(inner)
    if environment:
        kept.append(f"\\begin{{{environment}}}{_tidy(inner)}\\end{{{environment}}}")
    elif display is not None or dollars is not None:
        kept.append(f"$${_tidy(display if display is not None else dollars)}$$")
    else:
        kept.append(f"${_tidy(inline if inline is not None else dollar)}$")
    mark = f"{_KEPT}{len(kept) - 1}{_KEPT}"
    return mark if inline is not None or dollar is not None else f"{_LINE}{mark}{_LINE}"


def _tidy(formula: str) -> str:
    formula = _IN_MATH_DROPPED.sub("", formula)
    return re.sub(r"[ \t]*\n\s*", "\n", re.sub(r"[ \t]+", " ", formula)).strip()


def _plain(text: str) -> str:
    """Return text with every command carried out or left out; one pass, the text of arguments in place."""
    parts: list[str] = []
    at = 0
    closings: list[str] = []  # what to write where a group ends
    while (found := _TOKEN.search(text, at)) is not None:
        parts.append(text[at : found.start()])
        at = found.end()
        command, sign, single, mark = found.groups()
        if command:
            at = _command(command, text, at, parts, closings)
        elif sign:
            at = _sign(sign, text, at, parts)
        elif mark:
            parts.append(SYMBOLS[mark])
        elif single == "{":
            closings.append("")
        elif single == "}":
            parts.append(closings.pop() if closings else "")
        else:
            parts.append(" ")
    parts.append(text[at:])
    return "".join(parts)


def _command(name: str, text: str, at: int, parts: list[str], closings: list[str]) -> int:
    """Write what a command stands for; return where reading goes on, which may be inside its argument."""
    if name in ("begin", "end"):
        return _environment(name, text, at, parts)
    if name in ACCENTS and (read := group(text, at)) is not None and len(read[0]) <= 12:
        parts.append(_accented(ACCENTS[name], read[0]))
        return read[1]
    if name in SYMBOLS:
        parts.append(SYMBOLS[name])
        return at + (2 if text[at : at + 2] == "{}" else len(text[at : at + 1]) if text[at : at + 1] == " " else 0)
    if name == "ensuremath" and (read := group(text, at)) is not None:
        parts.append(f"${read[0]}$")
        return read[1]
    if name == "item":
        given = optional(text, at)
        parts.append(f"{_LINE}- {_plain_short(given[0])} " if given and given[0] else f"{_LINE}- ")
        return given[1] if given else at
    if name in REFERENCES:
        return _reference(name, text, at, parts)
    if name in ARGUMENTS:
        return _past(text, at, ARGUMENTS[name])
    opens = _past(text, at, KEPT_LAST.get(name, 0))
    if name in SECTIONS or name == "footnote":
        return _opened(name, text, opens, parts, closings)
    return opens


def _opened(name: str, text: str, at: int, parts: list[str], closings: list[str]) -> int:
    """Begin a heading or a footnote: what closes it is written at the end of its group."""
    start = re.compile(r"\s*\{").match(text, at)
    if start is None:
        return at
    before, after = (" (", ")") if name == "footnote" else ("\n\n", "\n\n")
    parts.append(before)
    closings.append(after)
    return start.end()


def _past(text: str, at: int, groups: int) -> int:
    """Return where the arguments in brackets and so many in braces have ended."""
    while (given := optional(text, at)) is not None:
        at = given[1]
    for _ in range(groups):
        start = re.compile(r"[ \t]*\n?[ \t]*(?=\{)").match(text, at)
        read = group(text, start.end()) if start else None
        if read is None:
            break
        at = read[1]
    return at


def _reference(name: str, text: str, at: int, parts: list[str]) -> int:
    at = _past(text, at, 1)
    if name.lower().startswith("cite") and not re.match(r"cite(?:t|author|year|alt|alp)", name.lower()):
        while parts and not parts[-1].strip(" \t\n~") and len(parts) > 1:
            parts.pop()
        if parts:
            parts[-1] = parts[-1].rstrip(" \t\n~")
    else:
        parts.append("[ref]")
    return at


def _environment(mark: str, text: str, at: int, parts: list[str]) -> int:
    read = group(text, at)
    if read is None:
        return at
    name, at = read[0].strip().rstrip("*"), read[1]
    parts.append("\n\n" if name not in ("itemize", "enumerate", "description", "center") else _LINE)
    if mark == "end":
        return at
    given = optional(text, at)
    title = THEOREMS.get(name.lower(), "")
    if title:
        named = _plain_short(given[0]) if given else ""
        named = named if named.lower().startswith(title.lower()) else f"{title} ({named})" if named else title
        parts.append(f"{named}. ")
    at = given[1] if given else at
    return _past(text, at, ARGUMENTS.get(f"begin {name}", 0))


def _plain_short(text: str) -> str:
    return " ".join(_plain(text[:500]).split()) if "\\" in text or "{" in text else text


def _sign(sign: str, text: str, at: int, parts: list[str]) -> int:
    if sign in ACCENTS:
        read = group(text, at)
        if read is not None and len(read[0]) <= 12:
            parts.append(_accented(ACCENTS[sign], read[0]))
            return read[1]
        return at
    if sign == "\\":
        parts.append(_LINE)
        return _past(text, at + (text[at : at + 1] == "*"), 0)
    parts.append(sign if sign in "%$&#_{}" else " " if sign in " \n,;:>" else "")
    return at


def _accented(mark: str, letter: str) -> str:
    letter = {"\\i": "i", "\\j": "j"}.get(letter.strip(), letter.strip().strip("{}"))
    return unicodedata.normalize("NFC", letter[:1] + mark + letter[1:]) if letter else ""


def _laid_out(text: str) -> str:
    text = re.sub(r"[ \n]\((?:see|cf\.|see also|e\.g\.,?)?\)", "", text)  # what is left of "(see \\cite{...})"
    paragraphs = []
    for paragraph in re.split(rf"{_PARAGRAPH}|\n\n", text):
        lines = (" ".join(line.split()) for line in paragraph.split(_LINE))
        joined = "\n".join(line for line in lines if line and line != "-")
        if joined:
            paragraphs.append(re.sub(r" +([.,;:!?)])(?=\s|$)", r"\1", joined))
    return "\n\n".join(paragraphs)
