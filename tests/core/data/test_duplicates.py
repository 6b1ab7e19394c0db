from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.config.filters import NearDuplicatesFilter
from core.data.duplicates import _MARKS, _WORD, EXACT_WIDTH, NO_MATCH, exact_key, first_of_group, near_keys
from core.errors import DataError

NEAR = NearDuplicatesFilter(kind="near_duplicates")
FOX = "the quick brown fox jumps over the lazy dog and runs away into the dark wood"


def _same(one: str, other: str, *, normalise: bool = True) -> bool:
    return bool((exact_key(one, normalise=normalise) == exact_key(other, normalise=normalise)).all())


def test_an_exact_key_is_of_the_text_alone() -> None:
    assert _same("a b", "a b", normalise=False)
    assert not _same("a b", "a  b", normalise=False)
    assert not _same("a b", "A b", normalise=False)
    assert exact_key("a", normalise=True).dtype == np.uint64
    assert exact_key("a", normalise=True).shape == (EXACT_WIDTH,)


def test_normalised_texts_are_compared_without_case_and_space() -> None:
    assert _same(" Straße\tnach \n ROM ", "STRASSE nach Rom")
    assert not _same("a b", "ab")


@pytest.mark.parametrize("empty", ["", " \n\t", "\u3000"])
def test_nothing_equals_nothing(empty: str, tmp_path: Path) -> None:
    assert exact_key(empty, normalise=True)[0] == NO_MATCH
    assert (near_keys(empty, NEAR) == NO_MATCH).all()
    assert list(_grouped(tmp_path, np.array([near_keys(empty, NEAR)] * 3))) == [0, 1, 2]


def test_text_that_is_no_unicode_has_keys() -> None:
    assert exact_key("a\ud800", normalise=True)[0] != exact_key("a\ud801", normalise=True)[0]
    assert (near_keys("a\ud800 b", NEAR) == near_keys("a b", NEAR)).all()


def test_near_keys_know_no_case_and_no_punctuation() -> None:
    assert (near_keys(FOX, NEAR) == near_keys("The QUICK, brown fox; " + FOX[20:] + "...!", NEAR)).all()
    assert not (near_keys(FOX, NEAR) == near_keys(FOX.replace(" ", ""), NEAR)).any()
    assert (near_keys("...", NEAR) == NO_MATCH).all()


def test_both_ways_of_splitting_give_the_same_words() -> None:
    # "É" puts the whole text on the way of Unicode; on both ways these are the words a1, b, c, d, é and a1, b, c, d, e.
    config = NearDuplicatesFilter(kind="near_duplicates", ngram=1, bands=200, rows=1)
    plain, accented = near_keys("A1_b-c\x1cD e", config), near_keys("a1 B\u00a0c d É", config)
    assert 0.5 < (plain == accented).mean() < 0.83  # Jaccard 4 / 6


def test_marks_of_print_are_no_letters() -> None:
    plain, printed = 'don\'t stop - it is "fine" ...', "don\u2019t\u00a0stop \u2014 it is \u201cfine\u201d \u2026\u2122"
    assert (near_keys(plain, NEAR) == near_keys(printed, NEAR)).all()
    assert (near_keys(plain + " é", NEAR) == near_keys(printed + " é", NEAR)).all()
    assert all(_WORD.findall(mark) == [] for mark in _MARKS)


def test_a_short_text_is_one_shingle() -> None:
    assert (near_keys("one two", NEAR) == near_keys("One, two!", NEAR)).all()
    assert not (near_keys("one two", NEAR) == near_keys("one two three", NEAR)).any()
    five = "one two three four five"
    assert (near_keys(five, NEAR) == near_keys(five + ".", NEAR)).all()


def test_scripts_without_spaces_are_split_by_letter() -> None:
    one, other = "我们今天早上去北京看长城然后回家吃饭睡觉明天再去", "我们今天早上去北京看长城然后回家吃饭睡觉明天再来"
    config = NearDuplicatesFilter(kind="near_duplicates", bands=100, rows=1)
    assert 0.6 < (near_keys(one, config) == near_keys(other, config)).mean() < 1


def test_keys_are_the_same_in_every_process_and_version() -> None:
    # A change here changes which documents earlier runs kept: raise KEYS_VERSION with it.
    code = (
        "from core.data.duplicates import *; from core.config.filters import NearDuplicatesFilter as N\n"
        f"print(near_keys({FOX!r}, N(kind='near_duplicates', bands=2, rows=3)).tolist(),"
        "exact_key('A b', normalise=True).tolist())"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        assert ran.stdout.strip() == GOLDEN, ran.stderr


GOLDEN = "[10444823511280294438, 9332108604040768553] [6656090178528135596, 11066726079132722963]"


def _jaccard(one: list[str], other: list[str], ngram: int) -> float:
    a, b = ({tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)} for words in (one, other))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (5, 4), (1, 2)])
def test_pairs_are_found_as_often_as_the_curve_says(bands: int, rows: int) -> None:
    config = NearDuplicatesFilter(kind="near_duplicates", ngram=3, bands=bands, rows=rows)
    random = np.random.default_rng(bands)
    expected, variance, found = 0.0, 0.0, 0
    for pair in range(600):
        words = [f"w{pair}x{number}" for number in range(60)]
        changed = list(words)
        for place in random.choice(60, size=random.integers(0, 12), replace=False):
            changed[place] = "other"
        chance = 1 - (1 - _jaccard(words, changed, 3) ** rows) ** bands
        expected += chance
        variance += chance * (1 - chance)
        found += bool((near_keys(" ".join(words), config) == near_keys(" ".join(changed), config)).any())
    assert abs(found - expected) < 4 * variance**0.5 + 1


def test_near_duplicates_are_found_and_others_are_not(tmp_path: Path) -> None:
    # Brute force over all pairs: similar ones (0.9 and up) are found, unlike ones (0.3 and less) are not.
    random = np.random.default_rng(5)
    texts: list[list[str]] = []
    for _ in range(150):
        words = [f"v{word}" for word in random.zipf(1.3, 120) % 5000]
        texts.append(words)
        if random.random() < 0.4:
            copy = list(words)
            copy[random.integers(len(copy))] = "changed"
            texts.append(copy)
    keys = np.array([near_keys(" ".join(words), NEAR) for words in texts])
    first = _grouped(tmp_path, keys)
    for a in range(len(texts)):
        for b in range(a):
            similar = _jaccard(texts[a], texts[b], NEAR.ngram)
            assert similar < 0.9 or first[a] == first[b]
            assert similar > 0.3 or first[a] != first[b]
    assert 40 < (first != np.arange(len(texts))).sum() < 80


def _grouped(folder: Path, keys: NDArray[np.uint64], *, files: int = 1, width: int = 1, **kw: int) -> NDArray[np.int64]:
    paths = []
    for number, part in enumerate(np.array_split(keys, files)):
        path = folder / f"{number}.keys"
        path.write_bytes(part.astype("<u8").tobytes())
        paths.append(path)
    columns = keys.shape[1] // width
    result = first_of_group(paths, columns=columns, total=len(keys), folder=folder / "out", width=width, **kw)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [result.name]
    return np.fromfile(result, dtype="<i8")


def _by_hand(keys: NDArray[np.uint64], width: int) -> list[int]:
    parent = list(range(len(keys)))

    def root(one: int) -> int:
        while parent[one] != one:
            one = parent[one]
        return one

    for column in range(0, keys.shape[1], width):
        seen: dict[tuple[int, ...], int] = {}
        for number, row in enumerate(keys[:, column : column + width].tolist()):
            if row[0] == NO_MATCH:
                continue
            low, high = sorted((root(number), root(seen.setdefault(tuple(row), number))))
            parent[high] = low
    return [root(one) for one in range(len(keys))]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_groups_are_those_of_a_union_find(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    width, columns = data.draw(st.sampled_from([1, 2])), data.draw(st.integers(1, 4))
    count, kinds = data.draw(st.integers(0, 200)), data.draw(st.integers(1, 200))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = np.append(random.integers(0, 2**64, kinds, dtype=np.uint64), [np.uint64(NO_MATCH), np.uint64(0)])
    keys = random.choice(values, size=(count, columns * width))
    folder = tmp_path_factory.mktemp("keys")
    expected = _by_hand(keys, width)
    for files, memory in ((1, 2**28), (3, 1)):
        assert list(_grouped(folder, keys, files=files, width=width, memory_bytes=memory)) == expected


@pytest.mark.parametrize("memory", [1, 2**28])
def test_a_long_chain_is_one_group(tmp_path: Path, memory: int) -> None:
    # Document n shares one key with n - 1 and another with n + 1, in an order that is no order.
    numbers = np.arange(5000, dtype=np.uint64)
    shuffled = np.random.default_rng(0).permutation(5000)
    keys = np.stack((numbers // 2, (numbers + 1) // 2 + 10**6), axis=1)[shuffled]
    assert (_grouped(tmp_path, keys, files=7, memory_bytes=memory) == 0).all()


@pytest.mark.parametrize("alike", [0, 0xFFFF_FFFF_FFFF_FFF0])
def test_many_documents_of_one_key_and_keys_that_begin_alike_fit_no_bucket(tmp_path: Path, alike: int) -> None:
    # With the least memory a bucket takes 1,024 records: 20,000 of one key, 20,000 that differ in the last bits.
    keys = np.empty((40_000, 1), dtype=np.uint64)
    keys[::2, 0] = 7
    keys[1::2, 0] = np.uint64(alike) ^ (np.arange(20_000, dtype=np.uint64) % np.uint64(15_000) << np.uint64(4))
    first = _grouped(tmp_path, keys, memory_bytes=1)
    assert (first[::2] == 0).all()
    assert list(first) == _by_hand(keys, 1)


def test_keys_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.keys"
    path.write_bytes(bytes(8 * 5))
    with pytest.raises(DataError, match="the keys of 3 documents are 48 bytes, 1 files hold 40"):
        first_of_group([path], columns=2, total=3, folder=tmp_path / "out")


def test_what_a_killed_call_left_is_done_again(tmp_path: Path) -> None:
    left = tmp_path / "out" / "buckets"
    left.mkdir(parents=True)
    (left / "0-00").write_bytes(b"half a record")
    (tmp_path / "out" / "first.i64.part").write_bytes(b"half")
    assert list(_grouped(tmp_path, np.zeros((2, 1), dtype=np.uint64))) == [0, 0]


def test_two_million_keys_take_little_memory(tmp_path: Path) -> None:
    code = """
import resource, sys
import numpy as np
from pathlib import Path
from core.data.duplicates import first_of_group
folder, count = Path(sys.argv[1]), 2_000_000
random = np.random.default_rng(0)
keys = random.integers(0, 2**63, (count, 1), dtype=np.uint64)
keys[1_000_000:1_400_000] = keys[:400_000]
keys[1_500_000:] = 5
(folder / "k").write_bytes(keys.tobytes())
del keys
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 48 * 2**20, -1))
path = first_of_group([folder / "k"], columns=1, total=count, folder=folder / "out", memory_bytes=2**24)
first = np.memmap(path, dtype="<i8", mode="r")
expected = 400_000 + 499_999
assert np.count_nonzero(first[1_000_000:] != np.arange(1_000_000, count)) == expected
assert first[1_399_999] == 399_999 and first[-1] == 1_500_000
"""
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
