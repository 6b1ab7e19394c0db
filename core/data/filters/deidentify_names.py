"""Names of people behind a title or a cue, or before letters such as M.D.

A name on its own is not found: nothing but a list of names, or a model, tells Jones from Parkinson or Foley.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.data.filters.identifier import (
    GAP,
    INITIAL,
    LIST_NAME,
    LONG_NAME,
    NAME,
    PART,
    UPPER,
    WORD,
    Identifier,
    Rule,
    words_before,
)

_KIND, _MARK = "names", "[NAME]"
_TITLES = r"(?:Dr|Mr|Mrs|Ms|Mx|Prof|Rev|Sgt|Lt|Capt)"
_TITLED = re.compile(
    rf"(?<![\w.])(?:{_TITLES}(?:\.\s{{0,3}}|\s{{1,3}})|(?:DR|MRS|PROF)(?:\.\s{{0,3}}|\s{{1,3}})"
    rf"|(?:Doctor|Professor|Miss|Mister|Nurse|Reverend)\s{{1,3}})(?P<name>{NAME})"
)
# MR and MS are a picture and a disease more often than a title.
_CAPITAL_TITLED = re.compile(
    rf"(?<![\w.])(?:MR|MS)\.{GAP}(?P<name>[{UPPER}]{{3,30}}(?:{GAP}[{UPPER}]{{3,30}})?)(?![\w:])"
)
_SEVERAL = re.compile(
    rf"(?<![\w.])(?:Drs|Doctors|Messrs)\.?\s{{0,3}}(?P<name>{NAME}(?:(?:,{GAP}|,?{GAP}(?:and|&){GAP}){NAME}){{1,6}})"
)
_LETTERS = re.compile(
    r"(?:,\s{0,3}|[ \t]{1,3})(?:M\.?D|D\.O|Ph\.?D|R\.N|RN|N\.P|P\.A(?:\.?-?C)?|PA-C|ARNP|APRN|CRNP|CRNA|DDS|DMD|DPM|"
    r"FACS|FACP|FACC|LCSW|PharmD|Pharm\.D|MBBS|DNP|D\.D\.S)\b\.?"
)
_BEFORE_LETTERS = re.compile(rf"(?<![\w'’-])(?:(?P<name>{LONG_NAME}|{LIST_NAME})|(?P<alone>{WORD}))\Z")
_WINDOW = 90
_LONGEST_CUE = 45
_END = r"(?=\s*(?:$|[,;|()/.\n]|-{1,2}\s|\s{2}|(?:is|was|has|aged?)\b|\d|(?:MD|RN|DOB|MRN|Age|Sex|Date)\b))"
_AFTER_COLON = re.compile(rf":[ \t]{{0,8}}(?P<name>{LIST_NAME}|{NAME}){_END}", re.MULTILINE)
_CUE = re.compile(
    r"(?:\A|[\n;:|.,(] ?|[ \t]{2}|\b(?:full|first|last) )"
    r"(?:patient(?:['’]s)?(?: name)?|pt(?: name)?|(?:(?:full|first|last|middle|maiden|legal) )?name|"
    r"(?:referring|attending|primary care|primary|consulting|ordering|admitting|treating|family) "
    r"(?:physician|doctor|provider|surgeon)|attending|physician|provider|pcp|surgeon|assistant|anesthesiologist|"
    r"radiologist|pathologist|cc|dictator|author|(?:next of kin|emergency contact|guarantor|guardian|spouse|employer|"
    r"subscriber|insured|contact)(?: name)?|(?:electronically )?(?:signed|dictated|transcribed|reviewed|verified) by)"
    r"[ \t]{0,3}\Z",
    re.IGNORECASE,
)
_ONE_WORD_IS_NO_NAME = re.compile(r"\b(?:patient|pt|assistant|contact|cc)[ \t]{0,3}\Z", re.IGNORECASE)
_SIGNED = re.compile(
    rf"\b(?:[Ss]igned|[Dd]ictated|[Tt]ranscribed|[Vv]erified|[Cc]o-?signed) by:?{GAP}(?P<name>{LIST_NAME}|{LONG_NAME})"
)
_CALLED = re.compile(rf"\b(?:[Nn]ame is|[Nn]ame['’]s|[Nn]amed|[Ii]ntroduced (?:him|her)self as){GAP}(?P<name>{NAME})")
_FAMILY = re.compile(
    r"\b(?:wife|husband|son|daughter|mother|father|brother|sister|partner|fianc[eé]e?|aunt|uncle|niece|nephew|"
    rf"grand(?:son|daughter|mother|father)|girlfriend|boyfriend|friend|roommate){GAP}"
    rf"(?P<name>(?=[{UPPER}][^\W\d_]*[a-zà-ÿ]){WORD}(?:{GAP}{PART}){{0,2}})(?!['’]s? (?:disease|syndrome|palsy))"
)


def name_rules() -> list[Rule]:
    """Return the rules, those first that know most about what they find."""
    return [_several, _titled, _lettered, _cued, *(_grouped(one) for one in (_SIGNED, _CALLED, _FAMILY))]


def _grouped(pattern: re.Pattern[str]) -> Rule:
    def find(text: str) -> Iterator[Identifier]:
        for found in pattern.finditer(text):
            yield _name(text, *found.span("name"))

    return find


def _name(text: str, start: int, end: int) -> Identifier:
    """Return a name without the full stop of its sentence and without 's."""
    end -= text[start:end].endswith(".")
    end -= 2 * text[start:end].endswith(("'s", "’s", "'S", "’S"))
    return Identifier(start, end, _KIND, _MARK)


def _titled(text: str) -> Iterator[Identifier]:
    for pattern in (_TITLED, _CAPITAL_TITLED):
        for found in pattern.finditer(text):
            yield _name(text, *found.span("name"))


def _several(text: str) -> Iterator[Identifier]:
    for found in _SEVERAL.finditer(text):
        for one in re.finditer(NAME, found["name"]):
            yield _name(text, found.start("name") + one.start(), found.start("name") + one.end())


def _lettered(text: str) -> Iterator[Identifier]:
    for letters in _LETTERS.finditer(text):
        begin = words_before(text, letters.start(), _WINDOW, commas=1)
        # The longest name that ends here: the first that the search meets.
        found = _BEFORE_LETTERS.search(text[begin : letters.start()])
        if found is None:
            continue
        if found["alone"] is None or letters.group().startswith(","):
            yield _name(text, begin + found.start(), letters.start())


def _cued(text: str) -> Iterator[Identifier]:
    for found in _AFTER_COLON.finditer(text):
        before = text[max(0, found.start() - _LONGEST_CUE) : found.start()]
        is_one = re.fullmatch(rf"{WORD}|{INITIAL}", found["name"]) is not None
        if _CUE.search(before) and not (is_one and _ONE_WORD_IS_NO_NAME.search(before)):
            yield _name(text, *found.span("name"))
