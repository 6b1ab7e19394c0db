"""LaTeX before it is read: comments, definitions of commands and their use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_MOST_EXPANSIONS = 200_000
_MOST_GROWTH = 4  # a text may become this many times as long, and a megabyte more
_DEEPEST = 12
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*+)%[^\n]*(\n[ \t]*(?!\n))?")
_NEW = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand)\*?\s*(?:\{\s*(\\[a-zA-Z@]+)\s*\}|(\\[a-zA-Z@]+))"
)
_OPERATOR = re.compile(r"\\DeclareMathOperator(\*?)\s*\{?\s*(\\[a-zA-Z@]+)\s*\}?")
_DEF = re.compile(r"\\(?:[gx]|e)?def\s*(\\[a-zA-Z@]+)([^{}\n]{0,40})(?=\{)")
_BRACE = re.compile(r"\\.|[{}]", re.S)
_ARGUMENT = re.compile(r"[ \t\n]*+(\\(?:[a-zA-Z@]+|.)|.)", re.S)
_AFTER_NAME = re.compile(r"\{\}|[ \t]*+(?:\n[ \t]*+(?!\n))?")
_MOST_OPTIONAL = 500  # characters in brackets
_COUNT = re.compile(r"\s*\[(\d)\]")


@dataclass(frozen=True)
class Macro:
    """What a command stands for: `body` with #1 and so on; `default` is that of an optional first argument."""

    arguments: int
    default: str | None
    body: str


def without_comments(source: str) -> str:
    """Return LaTeX without its comments; each takes the end of its line and the blanks that follow, as in TeX."""
    return _COMMENT.sub(r"\1", source)


@lru_cache(maxsize=2)
def _group_ends(text: str) -> dict[int, int]:
    """Return where each group ends, behind its brace, by where it begins; one that is never closed is not in it.

    One pass for all of a text: a search from each brace takes time that grows with the square of those left open.
    """
    ends: dict[int, int] = {}
    opened: list[int] = []
    for found in _BRACE.finditer(text):
        match found.group():
            case "{":
                opened.append(found.start())
            case "}" if opened:
                ends[opened.pop()] = found.end()
            case _:
                pass
    return ends


def group(text: str, start: int) -> tuple[str, int] | None:
    """Return the group in braces (or the one token) that comes after `start` and blanks, and where it ends."""
    token = _ARGUMENT.match(text, start)
    if token is None or token.group(1) == "}":
        return None
    at = token.start(1)
    if token.group(1) != "{":
        return token.group(1), token.end()
    end = _group_ends(text).get(at)
    return (text[at + 1 : end - 1], end) if end is not None else None


def optional(text: str, start: int) -> tuple[str, int] | None:
    """Return what stands in brackets after `start`, and where it ends; None where nothing does."""
    found = re.compile(r"[ \t]*\n?[ \t]*\[").match(text, start)
    if found is None:
        return None
    depth = 0
    for token in re.compile(r"\\.|[{}\]]|\n\s*\n|\x03", re.S).finditer(text, found.end(), found.end() + _MOST_OPTIONAL):
        match token.group():
            case "{":
                depth += 1
            case "}":
                depth -= 1
            case "]" if depth == 0:
                return text[found.end() : token.start()], token.end()
            case mark if mark.isspace() or mark == "\x03":
                return None
            case _:
                pass
    return None


def definitions(source: str) -> tuple[dict[str, Macro], str]:
    r"""Return the commands that a source defines, and the source without their definitions.

    Only those that LaTeX's own definitions and \def with plain arguments make; others stay as they stand.
    """
    macros: dict[str, Macro] = {}
    kept: list[str] = []
    done = 0
    starts = sorted((found.start(), found) for pattern in (_NEW, _OPERATOR, _DEF) for found in pattern.finditer(source))
    for start, found in starts:
        if start < done or (read := _definition(source, found)) is None:
            continue
        name, macro, end = read
        macros[name] = macro
        kept.append(source[done:start])
        done = end
    return macros, "".join([*kept, source[done:]])


def _definition(source: str, found: re.Match[str]) -> tuple[str, Macro, int] | None:
    at = found.end()
    default = None
    match found.re:
        case pattern if pattern is _OPERATOR:
            name, arguments, prefix = found.group(2), 0, "\\operatorname" + found.group(1)
        case pattern if pattern is _DEF:
            name, prefix = found.group(1), ""
            arguments = found.group(2).count("#")
            if found.group(2).strip() != "".join(f"#{number}" for number in range(1, arguments + 1)):
                return None  # arguments told apart by other signs
        case _:
            name, prefix, arguments = found.group(1) or found.group(2), "", 0
            if count := _COUNT.match(source, at):
                arguments, at = int(count.group(1)), count.end()
                if given := optional(source, at):
                    default, at = given
    body = group(source, at)
    if body is None:
        return None
    text = f"{prefix}{{{body[0]}}}" if prefix else body[0]
    return name, Macro(arguments, default, text), body[1]


def expanded(text: str, macros: dict[str, Macro]) -> str:
    """Return text with the commands in `macros` replaced by what they stand for, theirs too.

    One that stands for itself, or for too much, is left as it is.
    """
    if not macros:
        return text
    names = "|".join(re.escape(name) for name in sorted(macros, key=len, reverse=True))
    use = re.compile(rf"(?:{names})(?![a-zA-Z@])")
    most = _MOST_GROWTH * len(text) + 2**20
    expansions = 0
    for _ in range(_DEEPEST):
        parts: list[str] = []
        done = size = 0
        for found in use.finditer(text):
            if found.start() < done:
                continue
            if (read := _used(text, found.end(), macros[found.group()])) is None:
                continue
            parts += [text[done : found.start()], read[0]]
            size += found.start() - done + len(read[0])
            done = read[1]
            expansions += 1
            if expansions > _MOST_EXPANSIONS or size > most:
                return text
        if not parts:
            break
        text = "".join([*parts, text[done:]])
    return text


def _used(text: str, at: int, macro: Macro) -> tuple[str, int] | None:
    arguments: list[str] = []
    if macro.default is not None:
        given = optional(text, at)
        arguments.append(given[0] if given else macro.default)
        at = given[1] if given else at
    while len(arguments) < macro.arguments:
        read = group(text, at)
        if read is None:
            return None
        arguments.append(read[0])
        at = read[1]
    if not macro.arguments:
        # TeX reads the blanks after a command's name as its end.
        blanks = _AFTER_NAME.match(text, at)
        at = blanks.end() if blanks else at

    def argument(found: re.Match[str]) -> str:
        number = int(found.group(1))
        return arguments[number - 1] if 0 < number <= len(arguments) else ""

    body = re.sub(r"#(\d)", argument, macro.body)
    if body.rstrip().endswith("\\xspace"):
        body = body.rstrip().removesuffix("\\xspace") + (" " if text[at : at + 1].isalnum() else "")
    # A command at the end of what is put in must not run into the letter that follows.
    needs_gap = re.search(r"\\[a-zA-Z]+$", body) and text[at : at + 1].isalpha()
    return body + (" " if needs_gap else ""), at
