from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.config.filters import PersonalDataFilter
from core.data.filters.personal_data import EMAIL_MASK, IPV4_MASK, IPV6_MASK, PHONE_MASK, personal_data_filter
from core.data.filters.verdict import Changed, Verdict


def _verdict(text: str, **changes: Any) -> Verdict:
    return personal_data_filter(PersonalDataFilter(kind="personal_data", **changes))(text)


@pytest.mark.parametrize(
    "found",
    ["john.doe@mail.site.co.uk", "a@b.io", "x+tag_1@sub-domain.org", "o'neil%d@host.net", "me@[8.8.8.8]", "A@B.CO"],
)
def test_email_addresses(found: str) -> None:
    assert _verdict(f"Write to {found}, please.") == Changed(f"Write to {EMAIL_MASK}, please.", {"emails": 1})


@pytest.mark.parametrize("text", ["me@example.com", "me@a.example.org", "@handle", "a @ b.io", "me@localhost", "a@b"])
def test_no_email_addresses(text: str) -> None:
    assert _verdict(text) is None


@pytest.mark.parametrize("found", ["8.8.8.8", "1.1.1.1", "93.184.215.14", "223.255.255.255"])
def test_public_ipv4(found: str) -> None:
    assert _verdict(f"from {found}.") == Changed(f"from {IPV4_MASK}.", {"ip_addresses": 1})


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "192.168.1.20", "172.16.0.1", "127.0.0.1", "192.0.2.7", "256.1.1.1", "08.8.8.8", "1.2.3", "1.2.3.4.5",
     "v8.8.8.8", "0.0.0.0"],
)  # fmt: skip
def test_no_public_ipv4(text: str) -> None:
    assert _verdict(f"from {text}!") is None


def test_ipv6() -> None:
    text = "2001:4860:4860::8888 and [2a00:1450:4001:81b::200e]:443"
    assert _verdict(text) == Changed(f"{IPV6_MASK} and [{IPV6_MASK}]:443", {"ip_addresses": 2})


@pytest.mark.parametrize("text", ["fe80::1", "::1", "2001:db8::5", "std::dec", "a::b", "12:30:45", "2:3:4", "fd00::1"])
def test_no_public_ipv6(text: str) -> None:
    assert _verdict(f"at {text} it") is None


@pytest.mark.parametrize(
    "found",
    ["(212) 555-1234", "(212)555-1234", "212-555-1234", "212.555.1234", "1-800-555-1234", "1 (212) 555-1234",
     "+1 212 555 1234", "+1-212-555-1234", "+12125551234", "+44 20 7946 0958", "+49 (0)30 123456", "+33 1 23 45 67 89",
     "+86 138 0013 8000", "+49.30.123456"],
)  # fmt: skip
def test_phone_numbers(found: str) -> None:
    assert _verdict(f"Call {found}, now.") == Changed(f"Call {PHONE_MASK}, now.", {"phone_numbers": 1})


@pytest.mark.parametrize(
    "text",
    ["2020-01-02", "02.01.2020", "978-0-306-40615-7", "0-306-40615-2", "3.14159", "+1.23456789", "212 555 1234",
     "2125551234", "123-45-6789", "12:30:45", "112-555-1234", "212-155-1234", "x212-555-1234", "9212-555-1234",
     "+12 345 678 901 234 56", "+1 202 555 0123", "(212) 555-0100", "212-555-12345",
     "212-555-1234-5", "+1234567", "+1234567890123456", "x+12345678", "212-555.1234", "$+5 -3 +7"],
)  # fmt: skip
def test_no_phone_numbers(text: str) -> None:
    assert _verdict(f"It is {text} there.") is None


def test_counts_and_switches() -> None:
    text = "a@b.io c@d.io 8.8.8.8 212-555-1234"
    assert _verdict(text) == Changed(
        f"{EMAIL_MASK} {EMAIL_MASK} {IPV4_MASK} {PHONE_MASK}", {"emails": 2, "ip_addresses": 1, "phone_numbers": 1}
    )
    assert _verdict(text, emails=False, phone_numbers=False) == Changed(
        f"a@b.io c@d.io {IPV4_MASK} 212-555-1234", {"ip_addresses": 1}
    )
    assert _verdict(text, emails=False, phone_numbers=False, ip_addresses=False) is None


_PIECES = st.sampled_from(
    ["a@b.io", "8.8.8.8", "10.0.0.1", "2001:4860::8", "212-555-1234", "(212) 555-1234", "+44 20 7946 0958", "+1", "202",
     "1", " ", ".", "-", ":", "@", "(", ")", "+", "text", "\n", EMAIL_MASK, IPV4_MASK, IPV6_MASK, PHONE_MASK, "7"]
)  # fmt: skip


@example("a@b.io8.8.8.8a@b.io")
@example("a@b.io.+44 20 7946 0958")
@example("202 (415) 555-2671")
@given(st.lists(_PIECES, max_size=12).map("".join))
def test_masking_twice_changes_nothing(text: str) -> None:
    verdict = _verdict(text)
    if isinstance(verdict, Changed):
        assert _verdict(verdict.text) is None


@pytest.mark.parametrize("piece", ["a.", "a@", "1-", "1:", "(", "1.", "@", "+1 (", "f", "[1.1.1.1]", "a-", "+1-"])
def test_hostile_text_takes_no_long(piece: str) -> None:
    start = time.process_time()
    _verdict(piece * 30_000 + "@b")
    assert time.process_time() - start < 2
