"""Data: training a tokenizer on the standard library, encoding it, and a whole preparation."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks.options import Options
from tests.benchmarks.referee import alone, environment

VOCABULARY = 4096


def measure(options: Options) -> dict[str, Any]:
    """Return bytes and tokens a second of each part, with so many threads, and the peak memory."""
    size = 300_000 if options.quick else 16_000_000
    threads = {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(options.threads)}
    env = {**environment(options.threads), **threads}
    arguments = [str(options.folder / "preparation"), str(size), str(600 if options.quick else VOCABULARY)]
    return alone("tests.benchmarks.preparation", arguments, env=env, log=options.folder / "preparation.log")


def main() -> None:
    """Measure once and print it: every part takes long enough that one pass tells."""
    from core.config.data import TextData, TrainedTokenizer
    from core.config.sources import StandardLibrarySource
    from core.data.prepare import prepare
    from core.data.progress import Work, silent
    from core.data.sources.reading import documents
    from core.data.tally import Tally
    from core.data.tokens.tokenize import encode_documents
    from core.data.tokens.tokenizer_files import load_tokenizer, train_tokenizer
    from tests.benchmarks.memory import peak_bytes

    folder, size, vocabulary = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    source = StandardLibrarySource(kind="standard_library", max_bytes=size)
    marks = [time.perf_counter()]
    texts = [document.text for document in documents(source, Tally("standard library", 1.0))]
    marks.append(time.perf_counter())
    train_tokenizer(texts, vocabulary_size=vocabulary, folder=folder / "tokenizer")
    marks.append(time.perf_counter())
    tokens = sum(map(len, encode_documents(load_tokenizer(folder / "tokenizer"), texts)))
    marks.append(time.perf_counter())
    tokenizer = TrainedTokenizer(kind="train", vocabulary_size=vocabulary)
    data = TextData(kind="text", sources=[source], tokenizer=tokenizer, held_out_fraction=0.0)
    texts.clear()
    prepared = prepare(data, folder / "data", seed=17, model_tokenizer=None, work=Work(silent, lambda: False))
    marks.append(time.perf_counter())
    total = sum(record.text_bytes for record in prepared.manifest.sources)
    read, trained, encoded, whole = (later - earlier for earlier, later in pairwise(marks))
    print(
        json.dumps(
            {
                "bytes": total,
                "tokens": tokens,
                "read_bytes_per_second": total / read,
                "tokenizer_training_seconds": trained,
                "tokenizer_training_tokens_per_second": tokens / trained,
                "encoding_tokens_per_second": tokens / encoded,
                "encoding_bytes_per_second": total / encoded,
                "whole_preparation_seconds": whole,
                "peak_bytes": peak_bytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
