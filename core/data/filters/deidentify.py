"""De-identification of clinical notes by rules, after the Safe Harbor method of HIPAA (45 CFR 164.514(b)(2)(i)).

What is found takes a mark: [NAME], [DATE] (the year stays), [AGE] over 89, [PHONE], [EMAIL], [URL], [IP], [SSN], [ID]
(record, account, policy, licence, device and vehicle numbers), [ADDRESS], [ZIP], [PLACE] (a town; the state stays).
Marks match no rule, and rules go on until nothing is found any more, so a masked text is masked already.

Not found: names without title or cue, faces and other pictures, names of institutions, what is misspelt. Safe Harbor
asks for all of it to be gone; somebody has to look before notes leave the house.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from core.config.filters import DeidentifyFilter
from core.data.filters.deidentify_dates import date_rules
from core.data.filters.deidentify_names import name_rules
from core.data.filters.deidentify_places import place_rules
from core.data.filters.identifier import Identifier, Rule, pattern_rule
from core.data.filters.personal_data import EMAIL, INTERNATIONAL, IPV4, IPV6, NORTH_AMERICAN, is_international, is_ipv6
from core.data.filters.verdict import Changed, TextFilter, Verdict

_MOST_PASSES = 10
_URL = re.compile(r"(?<![\w@])(?:https?://|www\.)[^\s<>\"\])}]{1,2000}(?<![.,;:!?'])", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,4}(?:com|org|net|edu|gov|info)(?![\w@-]|\.\w)"
    r"(?:/[^\s<>\"\])}]{0,2000}(?<![.,;:!?']))?"
)
_PHONE = re.compile(
    r"(?<![\w./-])\+?(?:\(\d{2,5}\)[ \t]?)?\d{1,5}(?:[ .\-]?\d{2,5}){0,4}"
    r"(?![\w/%]|[.,]\d|[ \t]?(?:mg|mcg|ml|a\.?m|p\.?m)\b)"
)
_PHONE_CUE = re.compile(
    r"\b(?:phone|telephone|tel|fax|facsimile|cell(?:ular)?|mobile|pager|beeper|dial|reached at|contact|number is|"
    r"call(?:ed)?(?: (?:me|us|him|her))?(?: at)?|(?P<extension>extension|ext))"
    r"[ \t]{0,2}(?:number|no|#)?\.?[ \t]{0,2}(?:is|:|#|at)?[ \t]{0,3}\Z",
    re.IGNORECASE,
)
_SPACED_PHONE = re.compile(r"(?<![\w.+/-])(?:\([2-9]\d\d\)[ -]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w/]|[.-]\d)")
_EXTENSION = re.compile(r"(?:,?[ \t]{0,2}(?:x|ext\.?|extension)[ \t]{0,2}\d{1,6}\b)?", re.IGNORECASE)
_SSN = re.compile(r"(?<![\w-])(?:\d{3}|[xX*]{3})-(?:\d{2}|[xX*]{2})-\d{4}(?![\w-])")
_CUED_SSN = re.compile(
    r"\b(?:SSN|SS#|social security(?: number| no\.?| #)?)(?: ending in)?[ \t]{0,2}(?:is|:|#)?[ \t]{0,3}"
    r"(?P<number>\d{3}[ .-]?\d{2}[ .-]?\d{4}|\d{4})(?![\w-])",
    re.IGNORECASE,
)
_MARKER = r"(?:[ \t]{0,2}(?:numbers?|num|no\.?|nos\.?|id|code|#|:|=|is)){%s,3}[ \t]{0,3}\Z"
_STRONG = (
    r"MRN|MR#|(?:medical|hospital) record|patient id(?:entifier)?|CSN|DEA|NPI|VIN|UDI|vehicle identification|passport|"
    r"licen[cs]e plate|driver['’]?s licen[cs]e|S/N|accession|acct|(?:member|subscriber|health plan) id|"
    r"(?:serial|policy|account|chart|record|group|health plan|medicare|medicaid) (?:number|no\.?|#)|"
    r"(?:medicare|medicaid) id|device (?:identifier|id|serial)"
)
_WEAK = (
    r"ID|account|record|chart|case|policy|licen[cs]e|certificate|plate|visit|encounter|specimen|insurance|device|model|"
    r"lot|beneficiary|FIN|pacemaker|unit"
)
_NUMBER = re.compile(r"(?<![\w-])[A-Za-z]{0,8}[-./]?\d(?:[A-Za-z0-9]|[\-./](?=[A-Za-z0-9])){2,30}(?![\w%])")
_NUMBER_CUE = re.compile(rf"(?<![\w-])(?:(?:{_STRONG})(?!\w){_MARKER % 0}|(?:{_WEAK})\b{_MARKER % 1})", re.IGNORECASE)
_LONGEST_CUE = 45
_VEHICLE = re.compile(r"(?<![\w-])(?=[A-HJ-NPR-Z0-9]{0,16}\d)(?=[0-9]{0,16}[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{11}\d{6}(?!\w)")
_LEAST_DIGITS = 3


def deidentify_filter(config: DeidentifyFilter) -> TextFilter:
    """Return the filter: it drops nothing; `counts` of a changed text count the marks of each kind."""
    rules = _rules(config)

    def verdict(text: str) -> Verdict:
        counts: Counter[str] = Counter()
        masked = text
        # What stands beside a mark may be read otherwise than before, so until nothing is found any more.
        for _ in range(_MOST_PASSES):
            found = _found(masked, rules)
            if not found:
                break
            counts.update(one.kind for one in found)
            masked = _marked(masked, found)
        return Changed(masked, dict(counts)) if counts else None

    return verdict


def identifiers(text: str, config: DeidentifyFilter) -> list[Identifier]:
    """Return what the rules find in a text as it is, in its order; nothing overlaps."""
    return _found(text, _rules(config))


def _found(text: str, rules: Sequence[Rule]) -> list[Identifier]:
    return _outermost([one for rule in rules for one in rule(text)])


def _rules(config: DeidentifyFilter) -> list[Rule]:
    """Return the rules that were asked for; where two find the same stretch, the first has it."""
    rules: list[Rule] = []
    if config.contacts:
        rules += [
            pattern_rule(EMAIL, "emails", "[EMAIL]", needed="@"),
            pattern_rule(_URL, "web_addresses", "[URL]"),
            pattern_rule(_DOMAIN, "web_addresses", "[URL]", needed="."),
            _ip_addresses,
        ]
    if config.numbers:
        rules += [
            pattern_rule(_SSN, "social_security_numbers", "[SSN]", needed="-"),
            pattern_rule(_CUED_SSN, "social_security_numbers", "[SSN]", group="number"),
            _numbers,
            pattern_rule(_VEHICLE, "numbers", "[ID]"),
        ]
    if config.dates:
        rules += date_rules()
    if config.contacts:
        rules += [_phones, _cued_phones]
    if config.places:
        rules += place_rules()
    return [*rules, *name_rules()] if config.names else rules


def _outermost(found: Sequence[Identifier]) -> list[Identifier]:
    """Return what does not overlap, in the order of the text; of two that do, the one that was found first stays."""
    order = sorted(range(len(found)), key=lambda number: (found[number].start, number))
    kept: list[int] = []
    for number in order:
        if not kept or found[number].start >= found[kept[-1]].end:
            kept.append(number)
        elif number < kept[-1]:
            kept[-1] = number
    return [found[number] for number in kept]


def _marked(text: str, found: Sequence[Identifier]) -> str:
    parts: list[str] = []
    at = 0
    for one in found:
        parts += [text[at : one.start], one.mark]
        at = one.end
    return "".join([*parts, text[at:]])


def _ip_addresses(text: str) -> Iterator[Identifier]:
    for found in IPV4.finditer(text):
        yield Identifier(*found.span(), "ip_addresses", "[IP]")
    for found in IPV6.finditer(text):
        if is_ipv6(found.group()):
            yield Identifier(*found.span(), "ip_addresses", "[IP]")


def _numbers(text: str) -> Iterator[Identifier]:
    for found in _NUMBER.finditer(text):
        is_long = sum(map(str.isdigit, found.group())) >= _LEAST_DIGITS
        if is_long and _NUMBER_CUE.search(text[max(0, found.start() - _LONGEST_CUE) : found.start()]):
            yield Identifier(*found.span(), "numbers", "[ID]")


def _phones(text: str) -> Iterator[Identifier]:
    for pattern in (INTERNATIONAL, NORTH_AMERICAN, _SPACED_PHONE):
        for found in pattern.finditer(text):
            if pattern is not INTERNATIONAL or is_international(found.group()):
                yield _phone(text, *found.span())


def _cued_phones(text: str) -> Iterator[Identifier]:
    for found in _PHONE.finditer(text):
        digits = sum(map(str.isdigit, found.group()))
        if not 2 <= digits <= 15:
            continue
        cue = _PHONE_CUE.search(text[max(0, found.start() - _LONGEST_CUE) : found.start()])
        if cue is not None and (digits >= 7 or cue["extension"]):
            yield _phone(text, *found.span())


def _phone(text: str, start: int, end: int) -> Identifier:
    extension = _EXTENSION.match(text, end)
    return Identifier(start, extension.end() if extension else end, "phone_numbers", "[PHONE]")
