"""Personal data masked: e-mail addresses and public IP addresses as datatrove's PIIFormatter does, and phone numbers.

The masks are addresses and a number that are kept free for examples (RFC 2606, 5737, 3849; numbers 555-0100 to
555-0199 of the North American plan), so that a mask names nobody and masking twice changes nothing. The rules:

- E-mail: a local part of at most 64 characters that begins like a word, and a domain whose last label begins with a
  letter, or an IPv4 address in brackets. Addresses below example.com, example.org and example.net stay.
- IPv4: four numbers up to 255 without leading zeros, not a part of a longer dotted number. IPv6: what `ipaddress`
  reads, with at least two colons, in 2000::/3, the range that is given out. Addresses that are not public (private,
  loopback, documentation) stay. A version of four numbers, such as 4.8.1.2, cannot be told from an address.
- Phone, international: a plus sign, then 8 to 15 digits (E.164) in groups with at most one space, dot or hyphen, or
  brackets, between them; a plus sign and a decimal number is none.
- Phone, North American: an area code and an exchange that begin with 2 to 9, and four digits: (212) 555-1234,
  212-555-1234, 212.555.1234, with or without 1 before. With spaces alone (212 555 1234) it is taken for numbers of a
  table, without anything between (2125551234) for a count.

Dates, ISBN and decimals have other groups. No number is found inside a longer one or inside a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from core.config.filters import PersonalDataFilter
from core.data.filters.verdict import Changed, TextFilter, Verdict

EMAIL_MASK = "email@example.com"
IPV4_MASK = "192.0.2.1"
IPV6_MASK = "2001:db8::1"
PHONE_MASK = "555-0100"

_SIGNS = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_ATOM = f"[{_SIGNS}]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
# datatrove 0.10.1, pipeline/formatters/pii.py, with bounds: without them a line of dots takes time that grows with the
# square of its length.
EMAIL = re.compile(
    rf"(?<!\w)(?=\w)(?=[{_SIGNS}.]{{1,64}}@){_ATOM}+(?:\.{_ATOM}+)*@(?:(?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL}|\[{_IPV4}\])"
)
IPV4 = re.compile(rf"(?<![\w.]){_IPV4}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]{4,39}(?![\w:]))[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:]*")
_GIVEN_OUT = IPv6Network("2000::/3")
INTERNATIONAL = re.compile(
    r"(?<![\w+])\+[1-9]\d{0,14}(?:(?:[ .\-]|[ ]?\()\d{1,14}(?:\)[ \-]?\d{1,14})?){0,6}(?![\w+]|[ .\-(]{1,2}\d)"
)
NORTH_AMERICAN = re.compile(
    r"(?<![\w+(.\-/])(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\)[ \-]?[2-9]\d\d[ .\-]|[2-9]\d\d([.\-])[2-9]\d\d\1)\d{4}"
    r"(?![\w]|[.\-/]\d)"
)
_DECIMAL = re.compile(r"\+\d+\.\d+")
_EXAMPLE_DOMAIN = re.compile(r"(?:^|[@.])example\.(?:com|org|net)$", re.IGNORECASE)
_FICTITIOUS = re.compile(r"55501\d\d$")
_MOST_PASSES = 10

_Rule = tuple[re.Pattern[str], str, str, str, Callable[[str], bool]]
"""What is looked for, its mask, its name, a text without which there is none, and which of those found are personal."""


def personal_data_filter(config: PersonalDataFilter) -> TextFilter:
    """Return the filter: it drops nothing; `counts` of a changed text count what was masked."""
    rules = _rules(config)

    def verdict(text: str) -> Verdict:
        counts: Counter[str] = Counter()
        masked = text
        # What stands between two masks may be read otherwise than before, so until nothing is found any more.
        for _ in range(_MOST_PASSES):
            before, masked = masked, _pass(masked, rules, counts)
            if before == masked:
                break
        return Changed(masked, dict(+counts)) if masked != text else None

    return verdict


def _pass(text: str, rules: list[_Rule], counts: Counter[str]) -> str:
    for pattern, mask, name, needed, is_personal in rules:
        if needed in text:
            text, number = _masked(text, pattern, mask, is_personal)
            counts[name] += number
    return text


def _rules(config: PersonalDataFilter) -> list[_Rule]:
    rules: list[_Rule] = []
    if config.emails:
        rules.append((EMAIL, EMAIL_MASK, "emails", "@", lambda found: not _EXAMPLE_DOMAIN.search(found)))
    if config.ip_addresses:
        rules.append((IPV6, IPV6_MASK, "ip_addresses", ":", _is_public_ipv6))
        rules.append((IPV4, IPV4_MASK, "ip_addresses", ".", lambda found: IPv4Address(found).is_global))
    if config.phone_numbers:
        rules.append(
            (
                INTERNATIONAL,
                PHONE_MASK,
                "phone_numbers",
                "+",
                lambda found: is_international(found) and _is_somebodys(found),
            )
        )
        rules.append((NORTH_AMERICAN, PHONE_MASK, "phone_numbers", "", _is_somebodys))
    return rules


def _masked(text: str, pattern: re.Pattern[str], mask: str, is_personal: Callable[[str], bool]) -> tuple[str, int]:
    number = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal number
        if not is_personal(found.group()):
            return found.group()
        number += 1
        return mask

    return pattern.sub(replace, text), number


def is_ipv6(found: str) -> bool:
    """Whether what IPV6 found is an address, with a digit in it."""
    try:
        IPv6Address(found)
    except ValueError:
        return False
    return bool(_digits(found))


def is_international(found: str) -> bool:
    """Whether what INTERNATIONAL found is a phone number: 8 to 15 digits, no decimal number."""
    return 8 <= len(_digits(found)) <= 15 and not _DECIMAL.fullmatch(found)


def _is_public_ipv6(found: str) -> bool:
    try:
        address = IPv6Address(found)
    except ValueError:
        return False
    return address in _GIVEN_OUT and address.is_global


def _is_somebodys_abroad(found: str) -> bool:
    return is_international(found) and _is_somebodys(found)


def _is_somebodys(found: str) -> bool:
    return not _FICTITIOUS.search(_digits(found))


def _digits(found: str) -> str:
    return "".join(filter(str.isdecimal, found))
