"""A base model in shards: the same numbers as whole, no pass more on one rank than on another, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MptConfig,
    MptForCausalLM,
)

from dpsynth_assets.language import finetuning, stored
from dpsynth_assets.language.base_model import EMBEDDED_FOLDER, BaseModelError, load_base_model, weights_digest
from dpsynth_assets.language.rounding import round_frozen_layers
from dpsynth_assets.language.sharding import require_shardable
from dpsynth_assets.language.stored import stored_base_model
from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.plan import DpSgd, Learning, TrainingPlan
from tests.language import shard_worker as worker
from tests.privacy.rank_worker import nothing_random


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Saves a small model of a kind, with the embedded tokenizer; gives its folder."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    small = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "eos_token_id": tokenizer.eos_token_id}
    made = {
        "tied": lambda: LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **small)),
        "untied": lambda: LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **small)),
        "tied in config alone": lambda: LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **small)),
        "mpt": lambda: MptForCausalLM(MptConfig(vocab_size=len(tokenizer), d_model=16, n_layers=2, n_heads=2)),
        "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(tie_word_embeddings=False, **small)),
        "granite": lambda: GraniteForCausalLM(GraniteConfig(logits_scaling=2.0, **small)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2)),
    }

    def save(kind):
        folder = tmp_path_factory.mktemp("models") / kind
        torch.manual_seed(0)
        made[kind]().save_pretrained(folder)
        if kind == "tied in config alone":
            config = folder / "config.json"
            said = {**json.loads(config.read_text(encoding="utf-8")), "tie_word_embeddings": True}
            config.write_text(json.dumps(said), encoding="utf-8")
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def plan():
    return TrainingPlan(
        mechanism=DpSgd(0.5, 1.0, 1.0, expected_batch_size=9, steps=3),
        epsilon=8.0,
        delta=1e-5,
        unit="customer",
        neighbouring_relation="add_or_remove_one_unit",
        max_records=14,
        base_model="embedded",
        method="lora",
        rank=4,
        alpha=8.0,
        prompt_tokens=None,
        learning=Learning(0.1),
        max_tokens=worker.LONGEST - worker.PREFIX,
        micro_batch_tokens=128,
    )


@pytest.mark.slow
def test_a_rank_has_its_part_of_the_very_weights(saved, tmp_path):
    models, numbers = [], []
    for kind in ("tied", "untied", "gpt2", "tied in config alone"):
        for bfloat16 in (False, True):
            folder, file = saved(kind), tmp_path / f"{kind}-{bfloat16}.pt"
            model, _ = load_base_model(str(folder))
            model.requires_grad_(False)
            if bfloat16:
                round_frozen_layers(model)
            torch.save({name: p.detach() for name, p in model.named_parameters()}, file)
            models.append((str(folder), bfloat16, file))
            numbers.append(sum(p.numel() for p in model.parameters()))
    assert worker.spawned(tmp_path / "run", 2, worker.loaded, models) == [0, 0]
    first, second = (worker.written(tmp_path / "run", rank) for rank in range(2))
    for one, other, (_, _, file), number in zip(first, second, models, numbers, strict=True):
        assert one["names"] == other["names"] == sorted(torch.load(file))
        assert one["differing"] == other["differing"] == []
        assert one["own"] + other["own"] == number
        assert max(one["own"], other["own"]) < 0.52 * number


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "shares"),
    [
        ("lora", [[0, 1, 2, 3, 4, 5, 6, 7], [8]]),
        ("lora", [[5], [0, 1, 2, 3, 4, 6, 7, 8], []]),
        ("prompt", [[0, 1, 2, 3], [4, 5, 6, 7, 8]]),
    ],
)
def test_ranks_with_shards_reach_the_parameters_of_one_process(plan, tmp_path, method, shares):
    """To the bit, however unequal their shares; and the passes of all are as many."""
    if method == "prompt":
        plan = replace(plan, method="prompt", prompt_tokens=4, rank=None, alpha=None)
    alone = worker.adapted(load_base_model("embedded")[0], plan)
    data = worker.Counted(range(len(worker.RECORDS)), plan)
    with nothing_random():
        training.train(alone, data, plan.mechanism, Learning(0.1), micro_batch_tokens=plan.micro_batch_tokens)

    codes = worker.spawned(tmp_path / "run", len(shares), worker.learned, "embedded", plan, shares, 0, (0, 0))
    assert codes == [0] * len(shares)
    lead, *others = (worker.written(tmp_path / "run", rank) for rank in range(len(shares)))
    assert lead["parameters"] == worker.trained_of(alone)
    assert {len(rank["passes"]) for rank in others} == {len(lead["passes"])}
    own = [sum(records > 0 for records in rank["passes"]) for rank in (lead, *others)]
    assert max(own) == len(lead["passes"])  # nobody makes more of them than one of them needs
    assert method == "prompt" or min(own) < max(own)
    assert 0 not in data.passes
    for rank in (lead, *others):
        assert rank["whole afterwards"] == 0
        assert rank["most blocks whole"] == 1


@pytest.mark.slow
def test_canaries_are_beside_the_units_of_the_first_rank(plan, tmp_path):
    codes = worker.spawned(
        tmp_path / "run", 2, worker.learned, "embedded", plan, [[0, 1], [2, 3, 4, 5, 6, 7, 8]], 40, (0, 0)
    )
    assert codes == [0, 0]
    assert worker.written(tmp_path / "run", 0)["canaries"] > 0.5


@pytest.mark.slow
def test_a_rank_that_is_killed_in_a_pass_is_missed_by_the_others(plan, tmp_path):
    """They end, and say that it is a loss: the charge is kept for the next run."""
    codes = worker.spawned(
        tmp_path / "run", 2, worker.learned, "embedded", plan, [[0, 1, 2, 3, 4], [5, 6, 7, 8]], 0, (1, 4)
    )
    assert codes == [0, -9]
    assert worker.written(tmp_path / "run", 0) == "lost"


@pytest.mark.slow
def test_a_model_in_shards_is_verified_as_one_that_is_whole(plan, tmp_path, saved):
    """Exactness and own bits, also where activations are computed again in the backward pass."""
    plans = [(plan, False), (replace(plan, gradient_checkpointing=True), False), (plan, True)]
    plans = plans if finetuning.has_bfloat16() else plans[:2]
    assert worker.spawned(tmp_path / "run", 2, worker.verified, str(saved("untied")), plans) == [0, 0]
    expected = ["torch.float32", "torch.float32", "torch.bfloat16"][: len(plans)]
    assert [worker.written(tmp_path / "run", rank) for rank in range(2)] == [expected] * 2


@pytest.mark.slow
def test_a_model_that_peft_cannot_adapt_is_named_by_its_own_class_with_what_can_be_done(plan, tmp_path, saved):
    name = str(saved("mpt"))
    plan = replace(plan, base_model=name, method="prompt", prompt_tokens=4, rank=None, alpha=None)
    assert worker.spawned(tmp_path / "run", 1, worker.unadapted, name, plan) == [0]
    said = worker.written(tmp_path / "run", 0)
    assert "(MptForCausalLM) cannot be adapted by method `prompt`" in said
    assert "FSDP" not in said
    assert "leave DPSYNTH_SHARDED unset and write `method: full`" in said


def test_models_that_cannot_be_held_in_shards_are_named_with_the_reason(saved):
    for kind in ("tied", "untied", "gpt2"):
        require_shardable(stored_base_model(str(saved(kind))).model, kind)
    with pytest.raises(BaseModelError, match="more than a product with its output layer"):
        require_shardable(stored_base_model(str(saved("granite"))).model, "granite")
    model = stored_base_model(str(saved("tied"))).model
    model._no_split_modules = ["Another"]
    with pytest.raises(BaseModelError, match="which of its layers belong together"):
        require_shardable(model, "tied")
    model._no_split_modules = ["LlamaDecoderLayer"]
    first, second = model.model.layers
    second.mlp.up_proj.weight = first.mlp.up_proj.weight
    with pytest.raises(BaseModelError, match="share weights"):
        require_shardable(model, "tied")


def test_weights_that_cannot_be_read_one_by_one_are_refused(saved, tmp_path):
    with pytest.raises(BaseModelError, match="unpacked together"):
        stored_base_model(str(tmp_path / "model.gguf"))
    with pytest.raises(BaseModelError, match="could not be loaded"):
        stored_base_model(str(tmp_path / "nowhere"))
    folder = saved("untied")
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BaseModelError, match=r"transformers reads others, as adapter_config\.json says"):
        stored_base_model(str(folder))
    (folder / "adapter_config.json").unlink()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BaseModelError, match="none of its files is of safetensors"):
        stored_base_model(str(folder))


def test_a_model_saved_under_other_names_than_its_own_is_read_once_it_is_saved_as_the_refusal_says(saved, tmp_path):
    folder = saved("neox")
    with pytest.raises(BaseModelError, match=r"lm_head\.weight.*save_pretrained\(folder, save_original_format=False\)"):
        stored_base_model(str(folder))
    model, tokenizer = load_base_model(str(folder))
    model.save_pretrained(tmp_path / "own", save_original_format=False)
    tokenizer.save_pretrained(tmp_path / "own")
    assert_read_as_whole(tmp_path / "own")


def in_two_files(folder):
    """What `save_pretrained` writes of a model that is larger than a file may be. Gives both."""
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(folder / "in two", max_shard_size="600KB")
    (folder / "model.safetensors").unlink()
    for file in (folder / "in two").glob("model*"):
        file.rename(folder / file.name)
    return sorted(folder.glob("*.safetensors"))


@pytest.mark.parametrize("load", [load_base_model, stored_base_model])
def test_a_model_whose_files_have_other_weights_is_refused_whole_and_in_shards(saved, load):
    folder = saved("untied")
    file = folder / "model.safetensors"
    weights = load_file(file)
    for changed, said in (
        ({name: each for name, each in weights.items() if name != "lm_head.weight"}, r"no weight 'lm_head\.weight'"),
        ({**weights, "score.weight": torch.ones(2, 16)}, r"'score\.weight' that the model has no place for"),
        ({**weights, "lm_head.weight": weights["lm_head.weight"][:-1].clone()}, "in another shape"),
        ({**weights, "norm.weight": torch.ones(16)}, r"norm\.weight' twice, in model\.safetensors"),
    ):
        save_file(changed, file, metadata={"format": "pt"})
        with pytest.raises(BaseModelError, match=said):
            load(str(folder))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BaseModelError, match="could not be loaded"):
        load(str(folder))


@pytest.mark.parametrize("load", [load_base_model, stored_base_model])
def test_tables_that_older_versions_saved_with_a_model_are_no_weights_of_another(saved, load):
    folder = saved("untied")
    weights = load_file(folder / "model.safetensors")
    masks = {"h.0.attn.attention.bias": torch.ones(1, 1, 8, 8), "h.0.attn.masked_bias": torch.tensor(-1e9)}
    save_file({**weights, **masks}, folder / "model.safetensors", metadata={"format": "pt"})
    load(str(folder))
    odd = {"h.0.attn.attention.bias": torch.ones(16)}  # that of a layer
    save_file({**weights, **odd}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="that the model has no place for"):
        load(str(folder))


@pytest.mark.parametrize("load", [load_base_model, stored_base_model])
def test_a_folder_with_an_adapter_besides_is_refused_whole_and_in_shards(saved, load):
    """Transformers would load the adapter too."""
    folder = saved("untied")
    adapter = get_peft_model(LlamaForCausalLM.from_pretrained(folder), LoraConfig(task_type="CAUSAL_LM"))
    adapter.save_pretrained(folder)
    with pytest.raises(BaseModelError, match=r"transformers reads (more|others).*adapter_config\.json"):
        load(str(folder))


@pytest.mark.parametrize("load", [load_base_model, stored_base_model])
def test_a_weight_in_two_of_the_files_that_are_read_is_refused_whole_and_in_shards(saved, load):
    folder = saved("untied")
    first, second = in_two_files(folder)
    load(str(folder))
    again = dict(list(load_file(first).items())[:1])
    save_file({**load_file(second), **again}, second, metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match=f"twice, in {first.name} and {second.name}"):
        load(str(folder))


def test_files_that_transformers_does_not_read_are_not_read_in_shards(saved):
    """They were, the last by name instead of others: an adapter was trained of another model than texts were drawn
    from."""
    folder = saved("untied")
    digest = weights_digest(str(folder))
    weights = load_file(folder / "model.safetensors")
    save_file({name: each * 0.5 for name, each in weights.items()}, folder / "model_old.safetensors")
    assert_read_as_whole(folder)
    assert weights_digest(str(folder)) == digest
    in_two_files(folder)
    save_file({name: each * 0.5 for name, each in weights.items()}, folder / "z.safetensors")
    assert_read_as_whole(folder)


@pytest.mark.parametrize("same", [True, False])
def test_an_output_layer_that_config_ties_is_its_own_where_the_files_have_another_one(saved, same):
    """Transformers ties the two only where they are the same numbers. In shards they were tied all the same, and the
    file's own output layer went unused."""
    folder = saved("tied")
    weights = load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone() * (1.0 if same else 0.5)
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors", metadata={"format": "pt"})
    model = stored_base_model(str(folder)).model
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) is same
    assert_read_as_whole(folder)


def test_a_model_with_other_parameters_than_the_whole_one_is_refused(saved, monkeypatch):
    monkeypatch.setattr(stored, "_tie", lambda model, weights: set())
    with pytest.raises(BaseModelError, match="transformers makes other parameters of them"):
        stored_base_model(str(saved("tied")))


def assert_read_as_whole(folder):
    whole, made = load_base_model(str(folder))[0], stored_base_model(str(folder))
    parameters = dict(whole.named_parameters())
    assert list(parameters) == [name for name, _ in made.model.named_parameters()]
    assert [name for name, each in parameters.items() if not torch.equal(each, made.weights.read(name).float())] == []


def test_weights_of_the_body_alone_are_found_without_its_name(saved):
    """As GPT-2's own files are written."""
    folder = saved("gpt2")
    file = folder / "model.safetensors"
    save_file({name.removeprefix("transformer."): weight for name, weight in load_file(file).items()}, file)
    weights = stored_base_model(str(folder)).weights
    assert torch.equal(weights.read("transformer.wpe.weight"), load_file(file)["wpe.weight"])


def test_a_method_that_trains_every_weight_is_refused_and_nothing_is_started(inbox, plan):
    launch = SimpleNamespace(sharded=True, ranks=2)  # not to be called
    with pytest.raises(BaseModelError, match=r"only frozen ones can be in shards.*DPSYNTH_SHARDED"):
        finetuning.prepare_for(inbox, replace(plan, method="full", rank=None, alpha=None), launch)
