"""Which files state a licence, and which."""

from __future__ import annotations

import pytest

from core.data.sources.licences import guess, is_about, is_licence


@pytest.mark.parametrize(
    ("name", "licence", "about"),
    [
        ("LICENSE", True, True), ("licence.md", True, True), ("LICENSE-APACHE", True, True),
        ("COPYING.LESSER", True, True),
        ("UNLICENSE", True, True), ("LICENSE.some-project", True, True), ("README.md", False, True),
        ("readme.upstream.txt", False, True), ("NOTICE", True, True), ("licenses.py", False, False),
        ("license_texts.jsonl.gz", False, False), ("license.jsonl", False, False), ("data.txt", False, False),
    ],
)  # fmt: skip
def test_names(name: str, licence: bool, about: bool) -> None:
    assert (is_licence(name), is_about(name)) == (licence, about)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991", "GPL-2.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "LGPL-3.0"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3 ... the GNU GENERAL PUBLIC LICENSE Version 3", "AGPL-3.0"),
        ("Redistribution and use in source and binary forms\n...\nNeither the name of", "BSD-3-Clause"),
        ("Redistribution  and use in source and binary\nforms", "BSD-2-Clause"),
        ("# SPDX-License-Identifier: MIT OR Apache-2.0\n", "MIT OR Apache-2.0"),
        ("All rights reserved.", None),
    ],
)
def test_a_licence_is_guessed_from_its_words(text: str, expected: str | None) -> None:
    assert guess(text) == expected
