"""Low-rank additions through peft itself, for the loops and trainers beside Footplate.

Everyone has them on the attention layers, rank 16, scale 1, without dropout, drawn from the same seed. A quantised base
is NF4 with double quantisation through bitsandbytes; its products are computed in the number type of the race.
"""

from __future__ import annotations

from typing import Any

import torch

from tests.benchmarks.workload import ALPHA, RANK, SEED, Adapter

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def quantised_loading(dtype: str, device: torch.device) -> dict[str, Any]:
    """Return what `from_pretrained` is told for a base in 4 bits."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if dtype == "bf16" else torch.float32,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def attached(model: Any, adapter: Adapter) -> Any:
    """Return peft's model over `model`, of which only the additions are trained."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if adapter == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    settings = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=LAYERS, task_type="CAUSAL_LM")
    torch.manual_seed(SEED)
    return get_peft_model(model, settings)
