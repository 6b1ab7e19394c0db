"""The arguments of `footplate export`, and what answers them."""

from __future__ import annotations

import argparse

from tui.commands.context import Context

EXPORT_EXAMPLES = """\
examples:
  footplate export quickstart                      the model, its tokenizer and a card, in ./quickstart-export
  footplate export my-lora --adapter-only --to ./adapter
  footplate export my-lora --dtype bf16 --gguf --push my-name/my-model

An adapter is merged into the base that it was trained on; how far that moves the logits is said. The folder appears
whole or not at all.
"""


def add_export(export: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    export.add_argument("run", metavar="RUN")
    export.add_argument("--to", metavar="FOLDER", help="a folder that is not there yet (default: ./RUN-export)")
    export.add_argument("--adapter-only", action="store_true", help="a low-rank adapter without its base, for peft")
    export.add_argument(
        "--dtype", choices=["fp32", "bf16", "fp16"], help="how weights are stored (default: as they are)"
    )
    export.add_argument("--max-shard-size", default="5GB", metavar="SIZE", help="split weights into such files (5GB)")
    export.add_argument("--gguf", action="store_true", help="a GGUF file besides, for llama.cpp (see footplate fetch)")
    export.add_argument("--push", default="", metavar="NAME", help="upload it to the Hugging Face hub, privately")
    export.add_argument("--public", action="store_true", help="with --push: for everyone to see")
    export.add_argument("--json", action="store_true", help="print objects, one a line")


def answer_export(asked: argparse.Namespace, context: Context) -> int:
    """Answer `export`."""
    from tui.commands.export import Wish, export

    wish = Wish(
        to=asked.to,
        adapter_only=asked.adapter_only,
        dtype=asked.dtype,
        max_shard_size=asked.max_shard_size,
        gguf=asked.gguf,
        push=asked.push,
        public=asked.public,
    )
    return export(asked.run, wish, context, as_json=asked.json)
