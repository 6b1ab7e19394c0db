"""Street addresses, ZIP codes, and towns before a state; the state stays, as Safe Harbor allows.

Many abbreviations of states mean something else in a note (CT, MI, PA, OR): a town before one of those needs a word
such as `in` or `from` before it, or a ZIP code behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.data.filters.identifier import GAP, WORD, Identifier, Rule, pattern_rule, words_before

_STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|"
    "Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|"
    "Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|"
    "Oregon|Pennsylvania|Puerto Rico|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|"
    "Washington|West Virginia|Wisconsin|Wyoming"
)
_CLEAR = "AK|AZ|FL|GA|IA|IL|KS|KY|MN|MO|NH|NJ|NM|NV|NY|OH|RI|SC|SD|TN|TX|UT|VT|WA|WI|WV|WY"
_OTHERWISE_USED = "AL|AR|CA|CO|CT|DC|DE|HI|ID|IN|LA|MA|MD|ME|MI|MS|MT|NC|ND|NE|OK|OR|PA|VA"
_ZIP = r"\d{5}(?:-\d{4})?(?![\w-]|\.\d)"
_KIND_OF_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Circle|Cir|"
    r"Highway|Hwy|Parkway|Pkwy|Square|Sq|Trail|Trl|Alley|Turnpike|STREET|AVENUE|AVE|ROAD|BOULEVARD|BLVD|LANE|DRIVE|"
    r"COURT|TERRACE|HIGHWAY|PARKWAY)"
)
_STREET = re.compile(
    rf"(?<![\w./-])\d{{1,6}}[A-Za-z]?{GAP}(?:(?:North|South|East|West|[NSEW]\.?|NE|NW|SE|SW){GAP})?"
    rf"(?:(?:{WORD}|\d{{1,3}}(?:st|nd|rd|th)|St\.){GAP}){{1,3}}?{_KIND_OF_STREET}\b"
    rf"(?![ ]?\.?{GAP}[A-Z][a-z]+(?:,|['’]s))\.?"
    rf"(?:,?{GAP}(?:Apt|Apartment|Suite|Ste|Unit|Floor|Room|Rm|#)\.?[ ]?#?[A-Za-z0-9-]{{1,6}})?"
)
_BOX = re.compile(r"\b(?:P\.?[ ]?O\.?[ ]?Box|Post Office Box)[ ]{1,2}\d{1,8}\b", re.IGNORECASE)
_STATE = re.compile(
    rf",{GAP}(?:(?P<clear>{_STATES}|{_CLEAR})|(?P<other>{_OTHERWISE_USED}))\b(?!\.\w| Natives?\b)"
    rf"(?P<zip>,?{GAP}{_ZIP})?"
)
_TOWN = re.compile(
    rf"(?P<cue>\b(?:[Ii]n|[Ff]rom|[Oo]f|[Aa]t|[Nn]ear|[Tt]o|[Oo]utside) )?"
    rf"(?<![\w'’-])(?P<town>(?:(?:St|Ft|Mt)\.{GAP})?{WORD}(?:{GAP}{WORD}){{0,2}})\Z"
)
_LONGEST_TOWN = 70
_STATE_ZIP = re.compile(rf"\b(?:{_STATES}|{_CLEAR}|{_OTHERWISE_USED}),?{GAP}(?P<zip>{_ZIP})")
_NAMED_ZIP = re.compile(
    rf"\b(?:zip|postal)(?:[ -]?code)?[ \t]{{0,2}}(?:is|:|#)?[ \t]{{0,3}}(?P<zip>{_ZIP})", re.IGNORECASE
)


def place_rules() -> list[Rule]:
    """Return the rules, those first that know most about what they find."""
    return [
        pattern_rule(_STREET, "addresses", "[ADDRESS]"),
        pattern_rule(_BOX, "addresses", "[ADDRESS]"),
        _towns,
        pattern_rule(_STATE_ZIP, "zip_codes", "[ZIP]", group="zip"),
        pattern_rule(_NAMED_ZIP, "zip_codes", "[ZIP]", group="zip"),
    ]


def _towns(text: str) -> Iterator[Identifier]:
    for state in _STATE.finditer(text):
        begin = words_before(text, state.start(), _LONGEST_TOWN)
        found = _TOWN.search(text[begin : state.start()])
        if found is None or not any(letter.islower() for letter in found["town"]):
            continue
        address = text[max(0, begin - len("[ADDRESS], ")) : begin].rstrip(" ,").endswith("[ADDRESS]")
        if state["clear"] or state["zip"] or found["cue"] or address:
            yield Identifier(begin + found.start("town"), state.start(), "places", "[PLACE]")
