"""Tiny random models, one for each tuning method and layer type, and made-up records for them."""

from __future__ import annotations

import random

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from dpsynth_assets.language.objective import Encoded, losses

RECORDS_OF = (1, 4, 2, 1, 3, 2)


def llama_config(tied=True, **more):
    return LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        **more,
    )


def llama(tied=True):
    torch.manual_seed(0)
    return LlamaForCausalLM(llama_config(tied))


def gpt2_config(**more):
    return GPT2Config(
        vocab_size=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        **more,
    )


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(gpt2_config())


def lora(base, **more):
    transposed = base.config.model_type == "gpt2"
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear", fan_in_fan_out=transposed, **more
    )
    return get_peft_model(base, config)


def prompt(base):
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, prompt_tuning_init="RANDOM")
    return get_peft_model(base, config)


def prefix(base, projection=False):
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=5, prefix_projection=projection, encoder_hidden_size=8
    )
    return get_peft_model(base, config)


def p_tuning(base, kind="MLP"):
    config = PromptEncoderConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=5, encoder_hidden_size=8, encoder_reparameterization_type=kind
    )
    return get_peft_model(base, config)


def only(base, *endings):
    """The base with the parameters of these names trainable, and no others."""
    for name, parameter in base.named_parameters():
        parameter.requires_grad_(name.endswith(endings))
    return base


CASES = {
    "lora on llama": lambda: lora(llama()),
    "lora on gpt2": lambda: lora(gpt2()),
    "rank-stabilised lora": lambda: lora(llama(), use_rslora=True),
    "lora with biases": lambda: lora(gpt2(), bias="all"),
    "lora on some layers": lambda: get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj", "down_proj"])),
    "full llama, tied": lambda: llama().requires_grad_(True),
    "full llama, untied": lambda: llama(tied=False).requires_grad_(True),
    "full gpt2": lambda: gpt2().requires_grad_(True),
    "prompt on llama": lambda: prompt(llama()),
    "prompt on gpt2": lambda: prompt(gpt2()),
    "prefix on llama": lambda: prefix(llama()),
    "prefix with projection": lambda: prefix(gpt2(), projection=True),
    "p-tuning": lambda: p_tuning(llama()),
    "norms of llama": lambda: only(llama(), "norm.weight", "layernorm.weight"),
    "norms and biases of gpt2": lambda: only(gpt2(), "ln_1.weight", "ln_2.bias", "c_attn.bias"),
    "last layer": lambda: only(llama(tied=False), "lm_head.weight"),
    "embedding": lambda: only(llama(tied=False), "embed_tokens.weight"),
}


def made(case: str):
    """A model of CASES off its start, where some gradients vanish, with losses of made-up records."""
    model = CASES[case]().train()
    moved(model)
    rng = random.Random(1)
    records = [
        Encoded(tuple(rng.randrange(3, 64) for _ in range(rng.randint(5, 20))), prefix=rng.randint(1, 4))
        for _ in range(sum(RECORDS_OF))
    ]
    return model, lambda chosen: losses(model, [records[record] for record in chosen], 0)


def moved(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)


def classifier(kind: str):
    """A sequence classifier with losses of made-up records: `head` trains the last layer, `full` everything."""
    torch.manual_seed(0)
    if kind.startswith("bert"):
        config = BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            hidden_dropout_prob=0,
            attention_probs_dropout_prob=0,
            num_labels=3,
        )
        model = BertForSequenceClassification(config)
    elif kind.startswith("llama"):
        model = LlamaForSequenceClassification(llama_config(num_labels=3, pad_token_id=2))
    else:
        model = GPT2ForSequenceClassification(gpt2_config(num_labels=3))
    if kind.endswith("head"):
        only(model, "classifier.weight", "classifier.bias", "score.weight")
    ids = torch.randint(3, 64, (sum(RECORDS_OF), 12))
    labels = torch.randint(0, 3, (len(ids),))

    def losses_of(chosen):
        rows = ids[list(chosen)]
        positions = torch.arange(rows.shape[1]).expand_as(rows)
        logits = model(input_ids=rows, position_ids=positions).logits
        return torch.nn.functional.cross_entropy(logits, labels[list(chosen)], reduction="none")

    return model.train(), losses_of
