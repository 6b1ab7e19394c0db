"""Which files state a licence, and a guess of which licence it is."""

from __future__ import annotations

import re

_NAMES = re.compile(r"(?:un)?licen[cs]e|licen[cs]es|copying|copyright|notice", re.IGNORECASE)
# What ends like this is data or code about licences rather than a licence.
_OTHER = re.compile(
    r"\.(?:jsonl?|ndjson|csv|tsv|parquet|xml|nxml|warc|wet|wat|tex|py|js|ts|java|c|h|cc|cpp|go|rs|rb|php|cs|kt|swift|sh)"
    r"(?:\.(?:gz|bz2|zst))?\Z",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"(?:(?:un)?licen[cs]e|notice|readme|copying)", re.IGNORECASE)
_IDENTIFIER = re.compile(r"SPDX-License-Identifier:\s*(?P<id>[\w.+\-() ]{2,100})")
# The first that is found in a text decides: the narrower ones stand before those whose words they share.
_PHRASES = (
    ("AGPL-3.0", r"GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("LGPL-3.0", r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3"),
    ("LGPL-2.1", r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 2\.1"),
    ("GPL-3.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 3"),
    ("GPL-2.0", r"GNU GENERAL PUBLIC LICENSE\s+Version 2"),
    ("Apache-2.0", r"Apache License,?\s+Version 2\.0"),
    ("MPL-2.0", r"Mozilla Public License,?\s+(?:Version|v\.?) ?2\.0"),
    ("EPL-2.0", r"Eclipse Public License\s+-?\s*v(?:ersion)? ?2\.0"),
    ("CC0-1.0", r"CC0 1\.0 Universal"),
    ("CC-BY-SA-4.0", r"Attribution-ShareAlike 4\.0 International"),
    ("CC-BY-SA-3.0", r"Attribution-ShareAlike 3\.0"),
    ("CC-BY-4.0", r"Attribution 4\.0 International"),
    ("Unlicense", r"This is free and unencumbered software released into the public domain"),
    ("ISC", r"Permission to use, copy, modify,? and(?:/or)? distribute this software for any purpose"),
    ("BSD-3-Clause", r"Redistribution and use in source and binary forms(?s:.*)Neither the name"),
    ("BSD-2-Clause", r"Redistribution and use in source and binary forms"),
    ("BSL-1.0", r"Boost Software License\s+-?\s*Version 1\.0"),
    ("Zlib", r"This software is provided 'as-is', without any express or implied warranty"),
    ("MIT", r"Permission is hereby granted, free of charge, to any person obtaining a copy"),
)
_GUESSES = tuple((name, re.compile(phrase.replace(" ", r"\s+"), re.IGNORECASE)) for name, phrase in _PHRASES)
_HEAD = 4096


def is_licence(name: str) -> bool:
    """Whether a file of this name states a licence."""
    return _NAMES.fullmatch(re.split(r"[.\-_ ]", name, maxsplit=1)[0]) is not None and not _is_other(name)


def is_about(name: str) -> bool:
    """Whether a file of this name in a folder of data tells about the data: licence, notice, readme."""
    return _ABOUT.match(name) is not None and not _is_other(name)


def guess(text: str) -> str | None:
    """Return the SPDX identifier of the licence that a text states; None where it is not known."""
    if (stated := stated_in(text)) is not None:
        return stated
    return next((name for name, phrase in _GUESSES if phrase.search(text)), None)


def stated_in(text: str) -> str | None:
    """Return the SPDX identifier that the beginning of a file states, None where it states none."""
    found = _IDENTIFIER.search(text[:_HEAD])
    return found["id"].strip() if found else None


def _is_other(name: str) -> bool:
    return _OTHER.search(name) is not None
