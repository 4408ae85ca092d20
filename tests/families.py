"""Tiny random decoders of ten families, made from their configurations: what each has of its own stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.35}
GROUPED = {**SMALL, "intermediate_size": 128, "num_key_value_heads": 2, "head_dim": 16}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "intermediate_size": 128},
    "mistral": {**GROUPED, "sliding_window": 4},
    "qwen3": GROUPED,  # norms on queries and keys
    "gemma3_text": {**GROUPED, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {**SMALL, "intermediate_size": 128, "num_key_value_heads": 2},  # gate and up in one projection
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.35},  # Conv1D, learned positions
    "opt": {**SMALL, "ffn_dim": 128, "word_embed_proj_dim": 64},  # positions with an offset, biases
    "gpt_neox": {**SMALL, "intermediate_size": 128},  # attention and MLP side by side
    "olmo": {**SMALL, "intermediate_size": 128},  # norms without parameters
    "mixtral": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},  # experts fused, so no Linear in the MLP
}

MIXTURES = {"mixtral"}


def tiny(name: str, tokenizer_path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A tiny random model of the family, and its tokenizer; the same at each call."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    tokens = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    torch.manual_seed(3)
    config = AutoConfig.for_model(name, **FAMILIES[name], **tokens, pad_token_id=tokenizer.pad_token_id)
    model = AutoModelForCausalLM.from_config(config)
    for path, parameter in model.named_parameters():
        if path.endswith("post_feedforward_layernorm.weight"):  # a random Gemma 3 hushes its layers, a trained one not
            torch.nn.init.constant_(parameter, 6.0)
    return model, tokenizer
