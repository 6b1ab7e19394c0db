"""De-identification: figures on lines written by hand, what each kind takes, what must stay, time on hostile text."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.filters import DeidentifyFilter
from core.data.cleaning.steps import step_of
from core.data.filters.deidentify import deidentify_filter, identifiers
from core.data.filters.verdict import Changed
from core.data.formats import Conversation, Turn
from tests.core.data.filters.deidentify_lines import LINES

ALL = DeidentifyFilter(kind="deidentify")
_GOLD = re.compile(r"⟦(.*?)⟧")


def _masked(text: str, **changes: Any) -> str:
    verdict = deidentify_filter(DeidentifyFilter(kind="deidentify", **changes))(text)
    return verdict.text if isinstance(verdict, Changed) else text


def _spans(line: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a line without its brackets, and where they stood."""
    text, spans, at = "", [], 0
    for found in _GOLD.finditer(line):
        text += line[at : found.start()]
        spans.append((len(text), len(text) + len(found[1])))
        text += found[1]
        at = found.end()
    return text + line[at:], spans


def test_precision_and_recall_on_lines_written_by_hand() -> None:
    """Both over stretches that overlap one another; every line counts, those that rules cannot know included."""
    right = wrong = missed = 0
    notes: list[str] = []
    for line in LINES:
        text, gold = _spans(line)
        found = [(one.start, one.end) for one in identifiers(text, ALL)]
        lost = [span for span in gold if not any(span[0] < end and start < span[1] for start, end in found)]
        false = [span for span in found if not any(span[0] < end and start < span[1] for start, end in gold)]
        right += len(gold) - len(lost)
        missed += len(lost)
        wrong += len(false)
        notes += [f"missed {text[slice(*span)]!r} in {text!r}" for span in lost]
        notes += [f"masked {text[slice(*span)]!r} in {text!r}" for span in false]
    precision, recall = right / (right + wrong), right / (right + missed)
    words = f"{len(LINES)} lines, {right + missed} identifiers: precision {precision:.3f}, recall {recall:.3f}"
    assert min(precision - 0.98, recall - 0.94) >= 0, "\n".join([words, *notes])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Seen by Dr. Jones on 07/31/2008.", "Seen by Dr. [NAME] on [DATE] 2008."),
        ("Dr. O'Neil's note; Drs. Smith and Garcia-Lopez agree.", "Dr. [NAME]'s note; Drs. [NAME] and [NAME] agree."),
        ("Patient: Mary A. Jones   MRN: 00-45-2231", "Patient: [NAME]   MRN: [ID]"),
        ("Attending: John Smith, MD", "Attending: [NAME], MD"),
        ("She is 92 years old, her sister 88.", "She is [AGE] years old, her sister 88."),
        ("DOB: 03/04/1931", "DOB: [DATE]"),
        ("Call (212) 555-0187 x12 or fax 212-555-0190.", "Call [PHONE] or fax [PHONE]."),
        ("Mail j.doe@clinic.example.org, see https://clinic.example.org/p?id=3.", "Mail [EMAIL], see [URL]."),
        ("SSN 078-05-1120, from 192.168.1.20", "SSN [SSN], from [IP]"),
        ("12 North Oak Street, Apt. 4, Springfield, IL 62704", "[ADDRESS], [PLACE], IL [ZIP]"),
        ("From July 4 to July 6, 2008 in Denver, CO.", "From [DATE] 2008 in [PLACE], CO."),
        ("Admitted 2008-07-31T10:12, discharged 3/4.", "Admitted [DATE] 2008, discharged [DATE]."),
    ],
)
def test_the_year_and_the_rest_of_a_line_stay(text: str, masked: str) -> None:
    assert _masked(text) == masked


def test_every_kind_is_counted() -> None:
    text = "Dr. Jones, 07/31/2008, aged 91, 212-555-0187, a@b.org, www.b.org, 10.0.0.1, SSN 078-05-1120, MRN 4521, " \
           "12 Oak Street, Salem, OH 44460"  # fmt: skip
    verdict = deidentify_filter(ALL)(text)
    assert isinstance(verdict, Changed)
    assert verdict.counts == {
        "names": 1, "dates": 1, "ages": 1, "phone_numbers": 1, "emails": 1, "web_addresses": 1, "ip_addresses": 1,
        "social_security_numbers": 1, "numbers": 1, "addresses": 1, "places": 1, "zip_codes": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("switch", "stays"),
    [("names", "Dr. Jones"), ("dates", "07/31/2008, aged 91"), ("contacts", "212-555-0187"), ("numbers", "MRN 4521"),
     ("places", "12 Oak Street")],
)  # fmt: skip
def test_each_switch_leaves_its_part_alone(switch: str, stays: str) -> None:
    text = "Dr. Jones, 07/31/2008, aged 91, 212-555-0187, MRN 4521, 12 Oak Street"
    assert stays in _masked(text, **{switch: False})
    assert sum(part in _masked(text, **{switch: False}) for part in text.split(", ")) <= 2
    assert stays not in _masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, pulse 72, temperature 98.6 F (37.0 C), O2 98% on 2 L.",
        "Percocet 5/325 mg, 1/2 tablet p.o. q.4-6h p.r.n.; on 1/2 tablet since.",
        "ICD-10 E11.9, I10, S72.001A; ICD-9 250.00; CPT 99213-25.",
        "Strength 5/5, reflexes 2+, pain 7/10, 3/6 systolic murmur, vision 20/20, from 2/10 to 8/10 pain.",
        "Na 138, K 4.1, WBC 12.3, Hgb 11.2/34.5, INR 1.0-2.0, glucose 100-126 mg/dL.",
        "L4-L5 disc, C5-6, T12; gravida 3, para 2-0-1-2; 88-year-old; 24-48 hours.",
        "CT of the head, MI, CA of the breast; MRI, PA and lateral views; MS. Patient denies.",
        "Metformin 500 mg 1-0-1; insulin 10-20-30 units; ratio 1:1000; 12.5.3 of the protocol.",
        "Patient: No. Doctor: Okay, thank you. Patient: Yes, Doctor.",
        "May take 2 tablets. March fracture. Dr. will see the patient.",
        "Parkinson's disease, Foley catheter, Murphy's sign, Babinski, Mother Alzheimer's disease.",
        "African Americans, Alaska Natives, American Indians and others.",
        "He smoked 20 pack-years, quit in 1998, weighs 92 kg, lived in 2 states.",
    ],
)
def test_values_of_medicine_stay(text: str) -> None:
    assert _masked(text) == text


def test_all_turns_of_a_conversation_are_masked() -> None:
    step = step_of(ALL)
    asked = (Turn("system", "Note of Dr. Jones"), Turn("user", "Summarise.", "Seen 07/31/2008"))
    masked = (Turn("system", "Note of Dr. [NAME]"), Turn("user", "Summarise.", "Seen [DATE] 2008"))
    assert step(Conversation((*asked, Turn("assistant", "MRN 4521")))) == (
        Conversation((*masked, Turn("assistant", "MRN [ID]"))),
        {"names": 1, "dates": 1, "numbers": 1},
    )


def test_what_two_rules_share_is_looked_at_again() -> None:
    assert _masked("Dr. Ada Bea Cia Dea Eva, MD") == "Dr. [NAME] [NAME], MD"
    assert _masked("12 Oak Street, Salem, MA") == "[ADDRESS], [PLACE], MA"


def test_masking_twice_changes_nothing() -> None:
    for line in LINES:
        text, _ = _spans(line)
        once = _masked(text)
        assert _masked(once) == once


_PARTS = st.sampled_from([
    "Dr. ", "Mary ", "Jones", ", MD ", "7/31/", "2008", " July ", "4 ", "on ", "MRN: ", "45-21", "555-", "0187",
    "(212) ", "12 Oak ", "Street", ", Salem, ", "OH ", "44460", "www.", "a@b.org", " 91 ", "years old", ":", "\n",
    "[NAME]", "[DATE] ",
])  # fmt: skip


@given(st.lists(_PARTS, max_size=14))
def test_masking_twice_changes_nothing_however_parts_meet(parts: list[str]) -> None:
    once = _masked("".join(parts))
    assert _masked(once) == once


@pytest.mark.parametrize(
    "unit",
    [
        "Dr. Ab ",
        "Ann, MD ",
        "Ab Ab Ab, CA ",
        "1/1/",
        "12 Oak ",
        "(555) 555-",
        "Jan 1 ",
        "MRN: 1",
        "Name: Ab",
        "a@b.",
        " ",
    ],
)
def test_text_that_is_made_to_be_slow(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    begun = time.process_time()
    deidentify_filter(ALL)(text)
    # About 0.2 s; a pattern whose time grows with the square of the length takes minutes.
    assert time.process_time() - begun < 10


def test_a_cue_behind_a_heading_on_the_same_line_counts() -> None:
    text = "History: Patient: Mary Jones was admitted."
    assert [text[one.start : one.end] for one in identifiers(text, ALL)] == ["Mary Jones"]
