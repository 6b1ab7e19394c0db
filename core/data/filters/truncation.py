"""Answers that break off: stopped by a limit of tokens, or cut when they were copied.

An answer breaks off where
- a block of code that began with ``` is not closed;
- it ends with a mark after which something must follow (a comma, an opening bracket or quote, a colon, a dash) or with
  an English word that cannot end a sentence (`the`, `of`, `and`); and it has more than a few words;
- its last line ends with a letter where end marks are used: inside that line, with at least 4 words after the last
  one; or, where that line is an item of a list, by every other item (2 or more); or by every other line of 12 words
  and more, where that line has as many.

Whole are: a closed block of code; a last line that looks like code, a table or an address; what ends with a digit, a
unit, a symbol, an emoji, a closing quote or bracket; short answers, names and lists without end marks; and text in
scripts whose sentences have no end mark (Thai, Lao, Khmer, Burmese). CJK text is told by its own marks.
"""

from __future__ import annotations

import re
import unicodedata

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_OPEN_MARKS = ",:([{–—-/&“‘«‹„、，：（「『【《〈"
_SHOWN = 40
_LEAST_WORDS = 4
_LEAST_ITEMS = 2
_LONG_LINE = 12
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_CJK_LONG_LINE = 20
_WITHOUT_END_MARKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]$")
_HANGING = re.compile(
    r"(?<!\S)(?:an?|the|of|to|and|or|but|nor|with|by|from|for|at|into|onto|than|because|although|if|when|while|which|"
    r"whose|their|its|our|my|your|his|is|are|was|were|be|as)$"
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]”’*]* +(?=\S)|[。！？]")
_ENDED = re.compile(r"[.!?…。！？:：;；][\"')\]”’*_`」』）]*$")
_CODE = re.compile(r"[{}<>=;|\\$#@_→]|\(\)|://|www\.")
_CODE_LINE = re.compile(r"\s{4}|\t|[|>#]|sudo |import |from \w+ import ")
_CODE_LOOKED_AT = 40
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\(?\w{1,3}[.)])\s+")
_MARKDOWN_ENDS = "*_~ "


def break_off(answer: str) -> str:
    """Return the end of an answer that breaks off; "" for one that is whole."""
    if fence := _open_fence(answer):
        return f"open block of code: {fence[:_SHOWN]}"
    text = answer.rstrip().rstrip(_MARKDOWN_ENDS)
    if not text or text.endswith(("```", "~~~")):
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    last = _LIST_MARK.sub("", lines[-1])
    if not last or _CODE.search(last[-_CODE_LOOKED_AT:]) or _CODE_LINE.match(last):
        return ""
    is_item = last != lines[-1]
    return last[-_SHOWN:] if _goes_on(last) or _stops_early(last, lines[:-1], is_item=is_item) else ""


def _open_fence(answer: str) -> str:
    opened, rest_of_opened = "", ""
    for fence, rest in _FENCE.findall(answer):
        if not opened:
            opened, rest_of_opened = fence, rest
        elif fence.startswith(opened) and not rest.strip():
            opened = ""
    return opened + rest_of_opened if opened else ""


def _goes_on(last: str) -> bool:
    words = last.split()
    if _CJK.search(last):
        return last[-1] in _OPEN_MARKS and len(last) >= _LEAST_WORDS
    return len(words) >= _LEAST_WORDS and (last[-1] in _OPEN_MARKS or _HANGING.search(last) is not None)


def _stops_early(last: str, before: list[str], *, is_item: bool) -> bool:
    if not unicodedata.category(last[-1]).startswith("L") or _WITHOUT_END_MARKS.search(last):
        return False
    is_cjk = bool(_CJK.search(last))
    ends = list(_SENTENCE_END.finditer(last))
    if ends:
        rest = last[ends[-1].end() :]
        return _size(rest, is_cjk) >= (_LEAST_WORDS if not is_cjk else 1)
    if is_item:
        like = [line for line in before if _LIST_MARK.match(line)]
        return len(like) >= _LEAST_ITEMS and all(_ENDED.search(line.rstrip()) for line in like)
    long = _CJK_LONG_LINE if is_cjk else _LONG_LINE
    like = [line for line in before if _size(line, is_cjk) >= long]
    return _size(last, is_cjk) >= long and bool(like) and all(_ENDED.search(line.rstrip()) for line in like)


def _size(text: str, is_cjk: bool) -> int:
    return len(text) if is_cjk else len(text.split())
