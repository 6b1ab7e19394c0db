"""Dates but for the year, and ages over 89.

Of a date with a year of four digits the year stays: `[DATE] 2008`. A date of birth goes with its year, which tells an
age. Weekdays and times of day stay. A day and a month alone, such as 5/12, may as well be a strength, a score or half
a tablet: only a cue before it makes it a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.data.filters.identifier import Identifier, Rule

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)"
)
_LONG_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Apr|Aug|Sept?|"
    r"Oct|Nov|Dec)"
)
_YEAR = r"(?P<year>(?:18|19|20)\d\d)(?!\d)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?![\d:]|\.\d|/\d|[ \t]?(?:[ap]\.?m\b|mg\b|mcg\b|ml\b|units?\b|%))"
_DAYS = rf"{_DAY}(?:[ \t]{{0,2}}(?:-|–|to|through|and|&)[ \t]{{0,2}}{_DAY})?"
_UNIT = (
    r"(?![ \t]{0,2}(?:mg|mcg|ug|g|gm|gram|ml|cc|l|liters?|kg|units?|iu|meq|mmol|mmhg|%|tabs?|tablets?|pills?|"
    r"caps?|capsules?|puffs?|teaspoons?|of|pain|strength|score|systolic|diastolic|murmur|hours?|days?|weeks?|months?|"
    r"years?|inch(?:es)?|cm|mm|pack|french|fr)\b)"
)
_ISO = re.compile(
    r"(?<![\w./-])(?P<year>(?:18|19|20)\d\d)(?P<sign>[-/.])(?P<a>0?[1-9]|1[0-2])(?P=sign)(?P<b>0?[1-9]|[12]\d|3[01])"
    r"(?:T\d\d:?\d\d(?::?\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w/]|[.-]\d)"
)
_NUMERIC = re.compile(
    r"(?<![\w/])(?<!\d[.-])(?P<a>\d{1,2})(?P<sign>[-/.])(?P<b>\d{1,2})(?P=sign)(?:(?P<year>(?:18|19|20)\d\d)|(?P<short>\d\d))"
    rf"(?![\w/]|[.-]\d){_UNIT}",
    re.IGNORECASE,
)
_MONTH_AND_YEAR = re.compile(rf"(?<![\w/.-])(?:0?[1-9]|1[0-2])/{_YEAR}(?![\w/]|\.\d){_UNIT}", re.IGNORECASE)
_SHORT = r"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])(?![\d/]|\.\d)"
_SHORTS = re.compile(
    rf"(?<![\w./-]){_SHORT}(?:[ \t]{{0,2}}(?:-|–|to|through|and)[ \t]{{0,2}}{_SHORT})?{_UNIT}", re.IGNORECASE
)
_SHORT_CUE = re.compile(
    r"\b(?:on|dated?|since|until|till|as of|week of|scheduled for|admitted|discharged|seen|started|stopped|"
    r"d/?c['’]?d|visit|procedure|surgery|appointment)(?:[ \t]{0,2}:)?[ \t]{1,3}(?:the[ \t])?\Z",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"\b(?:on|since|until|by) the (?P<date>\d{1,2}(?:st|nd|rd|th))(?=[ \t]{0,2}(?:[.,;)\n]|\Z))")


def _named_day(month: str) -> re.Pattern[str]:
    """Return the pattern of a day with a month's name: July 4-6, 2008; 4th of July; 4-Jul-2008."""
    return re.compile(
        rf"(?<!\w)(?:{month}\.?(?:[ \t]{{1,2}}(?:the[ \t])?|-){_DAYS}"
        rf"(?:[ \t]{{0,2}}(?:-|–|to|through)[ \t]{{0,2}}{month}\.?[ \t]{{1,2}}{_DAY})?"
        rf"|(?<![./:])(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?:[ \t]{{1,2}}(?:of[ \t])?|-){month}\b\.?)"
        rf"(?:,?[ \t]{{0,2}}(?:of[ \t]|-)?{_YEAR})?"
    )


_NAMED = (_named_day(_MONTH), _named_day(_MONTH.upper()))
_MONTH_OF_YEAR = re.compile(
    rf"(?<!\w){_LONG_MONTH}\.?(?:[ \t]{{0,2}}(?:-|–|to|through|and|or)[ \t]{{0,2}}{_LONG_MONTH}\.?)?"
    rf"(?:,?[ \t]{{1,2}}(?:of[ \t])?|-){_YEAR}"
)
_UNITS = "(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)"
_SPOKEN_DAY = (
    rf"(?:{_UNITS}|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|"
    rf"twentieth|twenty[ -]{_UNITS}|thirtieth|thirty[ -]first)"
)
_SPOKEN = re.compile(
    rf"\b(?P<date>{_LONG_MONTH} (?:the )?{_SPOKEN_DAY}|(?:the )?{_SPOKEN_DAY} of {_LONG_MONTH})\b(?!['’])"
)
_MONTH_ALONE = re.compile(
    rf"(?<!\w){_LONG_MONTH}(?:[ \t]{{0,2}}(?:-|–|to|through|and|or)[ \t]{{0,2}}{_LONG_MONTH})?(?![\w'’]|\.\w)"
)
_MONTH_CUE = re.compile(
    r"\b(?:in|since|last|until|till|early|mid|late|by|this|next|from|of|beginning|during)[ -]\Z", re.IGNORECASE
)
_BIRTH = re.compile(
    r"(?:\bD\.?O\.?B\.?|\bdate of birth|\bbirth ?dates?|\bbirthday|\bborn(?: on| in)?)[ \t]{0,3}(?:is|:|-|,)?"
    r"[ \t]{0,3}(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,?[ \t])?\Z",
    re.IGNORECASE,
)
_BIRTH_YEAR = re.compile(
    r"(?:\bD\.?O\.?B\.?|\b[Yy]ear of birth|\b[Bb]irth ?year|\b[Bb]orn in)[ \t]{0,3}(?:is|:|-)?[ \t]{0,3}"
    r"(?P<date>(?:18|19|20)\d\d)(?![\d/.-]\d|\d)"
)
_LOOK_BACK = 40

_TENS = r"ninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
_OLD = (
    rf"(?:9\d|1[0-2]\d|{_TENS}|(?:one|a)[ -]hundred(?:[ -](?:and[ -])?"
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten))?)"
)
_AGE = re.compile(
    rf"(?<![\w./-])(?P<age>{_OLD})(?=[ -]{{0,2}}(?:years?|yrs?)?[ -]{{0,2}}(?:old\b|of age\b|-old\b)"
    r"|[ -]?(?:y/?o|yo[mf]?)\b|[ -](?:year|yr)[ -](?:male|female|man|woman)\b)"
    rf"|\b(?:age|aged|age:|age of|ages?[ \t]{{0,2}}[:=])[ \t]{{0,3}}(?P<named>{_OLD})(?![\w%]|[./]\d)",
    re.IGNORECASE,
)


def date_rules() -> list[Rule]:
    """Return the rules, those first that know most about what they find."""
    return [_numeric, _named, _short, _ages]


def _numeric(text: str) -> Iterator[Identifier]:
    for found in _ISO.finditer(text):
        yield _date(text, found)
    for found in _NUMERIC.finditer(text):
        first, second = int(found["a"]), int(found["b"])
        is_date = 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31 and min(first, second) > 0
        # Two digits after full stops are a version or a section: 4.8.12.
        if is_date and not (found["sign"] == "." and found["short"]):
            yield _date(text, found)
    for found in _MONTH_AND_YEAR.finditer(text):
        yield _date(text, found)


def _named(text: str) -> Iterator[Identifier]:
    for pattern in (*_NAMED, _MONTH_OF_YEAR):
        for found in pattern.finditer(text):
            yield _date(text, found)


def _short(text: str) -> Iterator[Identifier]:
    for pattern in (_SPOKEN, _ORDINAL, _BIRTH_YEAR):
        for found in pattern.finditer(text):
            yield Identifier(*found.span("date"), "dates", "[DATE]")
    for pattern, cue in ((_SHORTS, _SHORT_CUE), (_MONTH_ALONE, _MONTH_CUE)):
        for found in pattern.finditer(text):
            if _is_behind(cue, text, found.start()):
                yield Identifier(*found.span(), "dates", "[DATE]")


def _is_behind(cue: re.Pattern[str], text: str, start: int) -> bool:
    return cue.search(text[max(0, start - _LOOK_BACK) : start]) is not None


def _date(text: str, found: re.Match[str]) -> Identifier:
    is_birth = _is_behind(_BIRTH, text, found.start())
    year = found["year"]
    return Identifier(*found.span(), "dates", f"[DATE] {year}" if year and not is_birth else "[DATE]")


def _ages(text: str) -> Iterator[Identifier]:
    for found in _AGE.finditer(text):
        yield Identifier(*found.span("age" if found["age"] else "named"), "ages", "[AGE]")
