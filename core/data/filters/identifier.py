"""What a rule of de-identification finds, and how a name is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Identifier:
    """A stretch of a text that tells who somebody is: its kind to count by, and the mark that takes its place."""

    start: int
    end: int
    kind: str
    mark: str


Rule = Callable[[str], Iterator[Identifier]]

UPPER = "A-ZÀ-ÖØ-ÞĀĆČĎĐĘĚĞİŁŃŇŐŘŚŞŠŤŮŰŹŻŽ"
# Words that begin with a capital and are no name: they end one.
_NO_NAMES = (
    "A About Admission Admit Admitted After Again Age All Allergies Also Am AM An And Any Are As Assessment At "
    "Attending Because Before Being But By Bye Call Called Can Cardiology Care Center Chief Clinic Consult "
    "Consultation Could Date Denies Department Diagnosis Did Discharge Do DOB Doctor Doctors Does Dr Drs During "
    "Emergency Exam Examination Family Fax Female Follow Followed For From Good Guest Had Has Have He Hello Her "
    "Here Hey Hi His History Home Hospital How I If In Is It Its Just Lab Labs Let Male Medical Medication "
    "Medications Medicine Mister Miss Mr MRN Mrs Ms My Neurology New No None Not Note Nothing Now Nurse Of Office "
    "Oh Ok Okay On Oncology Or Orthopedics Our Outside Patient Patients Phone Physical Physician Plan Please PM "
    "Post Practitioner Primary Prior Procedure Professor Prof Psychiatry Radiology Reason Record Referred Report "
    "Result Review Right Room Said See Seen Service She Signed Since So Some Sorry Specialist Station Still Sure "
    "Surgeon Surgery Take Takes Thank Thanks That The Then There These They Therapy Therapist This To Today Uh Um "
    "Unit Unknown Urology Very Visit Was We Well Were What When Where Which Who Why Will With Would Yeah Year Yep "
    "Yes Yesterday You Your"
)


def _any_of(words: str) -> str:
    """Return what matches a word of these, by its first letter: alternatives are tried one after the other."""
    by_letter: dict[str, set[str]] = {}
    for word in [*words.split(), *words.upper().split()]:
        by_letter.setdefault(word[0], set()).add(word[1:])
    return "|".join(f"{letter}(?:{'|'.join(sorted(rest))})" for letter, rest in sorted(by_letter.items()))


GAP = r"[ \t\xa0]{1,3}"
WORD = rf"(?!(?:{_any_of(_NO_NAMES)})\b)[{UPPER}](?:[^\W\d_]|['’\-](?=[^\W\d_])){{1,30}}(?!\w)"
"""A word that may be a name: Jones, O'Neil, Garcia-Lopez, JONES."""
INITIAL = rf"(?!(?:A|I)\b[^.])[{UPPER}](?:\.|(?![\w'’]))"
_PARTICLE = r"(?:van|von|der|den|de|da|di|del|della|la|le|bin|ibn|al|el|dos|du|ten|ter)"
PART = rf"(?:{WORD}|{INITIAL})"
NAME = rf"(?:{_PARTICLE}{GAP}){{0,2}}{PART}(?:{GAP}(?:{_PARTICLE}{GAP}){{0,2}}{PART}){{0,3}}"
"""One to four words and initials, with particles: Mary Jones, J. R. Smith, Ludwig van der Berg."""
LONG_NAME = rf"(?:{_PARTICLE}{GAP}){{0,2}}{PART}(?:{GAP}(?:{_PARTICLE}{GAP}){{0,2}}{PART}){{1,3}}"
"""The same of two words at least."""
LIST_NAME = rf"{WORD},{GAP}{WORD}(?:{GAP}{PART}){{0,2}}"
"""The last name first: Jones, Mary A."""


def pattern_rule(pattern: re.Pattern[str], kind: str, mark: str, *, group: str | int = 0, needed: str = "") -> Rule:
    """Return the rule that finds a pattern's group, in texts that have `needed`."""

    def find(text: str) -> Iterator[Identifier]:
        if needed in text:
            for found in pattern.finditer(text):
                yield Identifier(*found.span(group), kind, mark)

    return find


def words_before(text: str, end: int, length: int, *, commas: int = 0) -> int:
    """Return from where on, up to `length` characters before `end`, there stands no end of a phrase.

    Bounding what a pattern is to search keeps the time of a text that is made to be slow in hand.
    """
    begin = max(0, end - length)
    begin = max(begin, *(text.rfind(sign, begin, end) + 1 for sign in ";:()\n"))
    at = end
    for _ in range(commas + 1):
        at = text.rfind(",", begin, at)
        if at < 0:
            return begin
    return at + 1
