"""Fine-tuning and generation on a tiny model: what is trainable, what is refused, what comes out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.faults import FAULTS
from dpsynth_assets.audit.canaries import FILE
from dpsynth_assets.audit.result import AuditResult
from dpsynth_assets.language import adapter, finetuning, job, trainable, units
from dpsynth_assets.language.base_model import BaseModelError, has_bfloat16, load_base_model
from dpsynth_assets.language.drawing import one_by_one
from dpsynth_assets.language.finetuning import fine_tune, load_tuned
from dpsynth_assets.language.generation import GenerationError, generate_corpus
from dpsynth_assets.language.hygiene import usable
from dpsynth_assets.language.model_card import model_card
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping_methods import FlatClipping
from dpsynth_assets.privacy.plan import DpSgd, Learning, TrainingPlan, calibrated
from dpsynth_assets.privacy.shapes import public_shapes

pytestmark = pytest.mark.slow


@pytest.fixture
def contract(inbox, tiny_model):
    """The demo contract with the tiny model and short texts."""
    terms = inbox.privacy
    generation = terms.generation.model_copy(update={"max_new_tokens": 8, "batch_size": 16})
    base_model = terms.base_model.model_copy(update={"name": str(tiny_model)})
    return replace(inbox, privacy=terms.model_copy(update={"generation": generation, "base_model": base_model}))


@pytest.fixture
def plan(contract):
    return TrainingPlan(
        mechanism=DpSgd(0.5, 1.0, 1.0, expected_batch_size=4, steps=3),
        epsilon=8.0,
        delta=1e-5,
        unit="customer",
        neighbouring_relation="add_or_remove_one_unit",
        max_records=2,
        base_model=contract.privacy.base_model.name,
        method="lora",
        rank=2,
        alpha=4.0,
        prompt_tokens=None,
        learning=Learning(0.01),
        max_tokens=12,
        micro_batch_tokens=128,
    )


def frame_of(contract, per_unit):
    cells = contract.cells
    columns = [label.column for label in contract.privacy.labels]
    rows = [
        (f"customer-{unit}", f"message {unit} {record} about something", *cells[(unit + record) % len(cells)])
        for unit in range(6)
        for record in range(per_unit)
    ]
    return pd.DataFrame(rows, columns=["unit", "text", *columns])


def test_only_the_adapter_is_trainable_and_the_head_has_none(tiny_model, plan):
    model = trainable.attach_adapter(load_base_model(str(tiny_model))[0], plan)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert not any("lm_head" in name or "embed" in name for name in trained)
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained} == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }


def test_a_context_that_is_too_short_is_said_before_anything_is_charged(contract, plan):
    places = load_base_model(plan.base_model)[0].config.max_position_embeddings
    with pytest.raises(BaseModelError, match=rf"reads {places} tokens at once.*lower `text.max_tokens` from {places}"):
        finetuning.prepare(contract, replace(plan, max_tokens=places))


def test_a_model_that_takes_no_adapter_is_said_so(plan):
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(BaseModelError, match=r"\(MambaForCausalLM\) cannot be adapted by method `lora`.*method: full"):
        trainable.attach_adapter(model, plan)


def test_an_adapter_is_trained_and_a_corpus_drawn_from_it(contract, plan, tmp_path):
    steps = []
    frame = frame_of(contract, per_unit=2)
    result = fine_tune(contract, plan, [frame], tmp_path / "adapter", lambda done, total: steps.append((done, total)))
    assert result.event == plan.event()
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()

    counts = {cell: 10 * index for index, cell in enumerate(contract.cells)}
    corpus = generate_corpus(contract, tmp_path / "adapter", counts, rows=40)
    labels = [label.column for label in contract.privacy.labels]
    assert list(corpus.columns) == [contract.privacy.text.column, *labels]
    assert len(corpus) == 40
    drawn = Counter(corpus[labels].itertuples(index=False, name=None))
    assert drawn == Counter({cell: count for cell, count in apportion(counts, 40).items() if count})
    assert corpus[contract.privacy.text.column].is_unique
    again = generate_corpus(contract, tmp_path / "adapter", counts, rows=40)
    pd.testing.assert_frame_equal(corpus, again)


def test_a_corpus_that_was_killed_while_it_was_drawn_is_the_same_in_the_end(contract, plan, tmp_path, monkeypatch):
    from dpsynth_assets.language import generation

    fine_tune(contract, plan, [frame_of(contract, per_unit=1)], tmp_path / "adapter")
    counts = dict.fromkeys(contract.cells, 1)
    monkeypatch.setattr(generation, "_SHARD", 8)
    whole = generate_corpus(contract, tmp_path / "adapter", counts, rows=30)

    def kill(done, total):
        if done >= 16:
            raise KeyboardInterrupt

    shards = tmp_path / "shards"
    with pytest.raises(KeyboardInterrupt):
        generate_corpus(contract, tmp_path / "adapter", counts, rows=30, progress=kill, shards=shards)
    kept = {path: path.stat().st_mtime_ns for path in shards.glob("*.parquet")}
    assert kept
    pd.testing.assert_frame_equal(
        generate_corpus(contract, tmp_path / "adapter", counts, rows=30, shards=shards), whole
    )
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("method", ["prompt", "full"])
def test_every_method_trains_and_writes(contract, plan, tmp_path, method):
    plan = replace(plan, method=method, rank=None, alpha=None, prompt_tokens=3 if method == "prompt" else None)
    fine_tune(contract, plan, [frame_of(contract, per_unit=2)], tmp_path / "out")
    adapter = contract.privacy.releases.adapter.model_copy(update={"method": method})
    releases = contract.privacy.releases.model_copy(update={"adapter": adapter})
    contract = replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))
    corpus = generate_corpus(contract, tmp_path / "out", dict.fromkeys(contract.cells, 1), rows=12)
    assert len(corpus) == 12
    tuned, _ = load_tuned(plan.base_model, method, tmp_path / "out")
    base = load_base_model(plan.base_model)[0].state_dict()
    moved = [name for name, value in tuned.state_dict().items() if name in base and not value.equal(base[name])]
    assert bool(moved) == (method == "full")


@pytest.mark.parametrize("method", ["lora", "prompt", "full"])
def test_the_folder_says_what_was_trained_and_names_no_folder_of_this_machine(contract, plan, tmp_path, method):
    plan = replace(
        plan, method=method, **({"prompt_tokens": 4, "rank": None, "alpha": None} if method != "lora" else {})
    )
    fine_tune(contract, plan, [frame_of(contract, per_unit=1)], tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    for said in (
        "It is (8, 1e-05)-differentially private, by itself, for adding or removing one customer with up to 2 records",
        "of population fictional-bank-customers",
        *("| noise multiplier | 1 |", "| sampling rate | 0.5 |", "| steps | 3 |", "| clipping norm | 1 |"),
        f"of base model `{Path(plan.base_model).name}`",
    ):
        assert said in card
    named = [
        path for path in (tmp_path / "out").iterdir() if str(Path(plan.base_model).parent).encode() in path.read_bytes()
    ]
    assert named == []
    plain = replace(plan, mechanism=DpSgd(0.5, 0.0, math.inf, expected_batch_size=4, steps=3), epsilon=math.inf)
    assert "no privacy guarantee at all" in model_card(contract, plain)
    assert "differentially private" not in model_card(contract, plain)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_rounder_passes_and_recomputed_activations_change_the_sum_by_rounding_only(
    contract, plan, tmp_path, monkeypatch, method
):
    """What reaches training, held against what reaches it without either."""
    sums, widths = {}, {}
    changes = {"plain": {}, "recomputed": {"gradient_checkpointing": True}, "rounder": {"precision": "bfloat16"}}
    lora = {"rank": 2, "alpha": 4.0} if method == "lora" else {"rank": None, "alpha": None}
    for name, change in changes.items():

        def summed(model, data, *args, name=name, **kwargs):
            torch.manual_seed(0)
            for p in model.parameters():  # a new low-rank adapter has no gradient in its first matrices
                if p.requires_grad:
                    torch.nn.init.normal_(p, std=0.1)
            layer = next(module for place, module in model.named_modules() if place.endswith("q_proj"))
            widths[name] = []
            layer.register_forward_hook(lambda *about, name=name: widths[name].append(about[2].dtype))
            model.train()
            with ClippedSum(model, FlatClipping(1e-3)) as clipped:
                clipped.add(data.losses(model, range(12)), [2] * 6)
                sums[name] = torch.cat([total.flatten() for total in clipped.take()])
            raise KeyboardInterrupt

        monkeypatch.setattr(job, "train", summed)
        monkeypatch.setattr(trainable, "has_bfloat16", lambda: True)
        changed = replace(plan, method=method, **lora, **change)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(contract, changed, [frame_of(contract, per_unit=2)], tmp_path / name)
    assert widths == {"plain": [torch.float32], "recomputed": [torch.float32] * 2, "rounder": [torch.bfloat16]}
    length = sums["plain"].norm()
    assert (sums["recomputed"] - sums["plain"]).norm() < 1e-5 * length
    assert 0 < (sums["rounder"] - sums["plain"]).norm() < 0.1 * length
    assert sums["rounder"].norm() <= 6e-3


@pytest.mark.parametrize(("has", "computed"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_is_left_alone_where_a_processor_would_emulate_it(
    contract, plan, tmp_path, monkeypatch, has, computed
):
    """It is a wish for speed: emulated, it is tens of times slower than float32."""
    widths = set()

    def train(model, data, *args, **kwargs):
        layer = next(module for place, module in model.named_modules() if place.endswith("q_proj"))
        layer.register_forward_hook(lambda *about: widths.add(about[2].dtype))
        data.losses(model, [0])
        return SimpleNamespace(steps=3, attempts=[3])

    monkeypatch.setattr(job, "train", train)
    monkeypatch.setattr(trainable, "has_bfloat16", lambda: has)
    tuned = fine_tune(contract, replace(plan, precision="bfloat16"), [frame_of(contract, per_unit=1)], tmp_path / "it")
    assert (tuned.precision, widths) == (computed, {getattr(torch, computed)})


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True}, False),
    ],
)
def test_a_processor_has_bfloat16_if_it_says_so(monkeypatch, capabilities, has):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16() is has


def test_a_killed_run_is_continued_and_its_replayed_steps_are_told(contract, plan, tmp_path):
    folder = CheckpointFolder(tmp_path / "run", plan.digest(), every=2)
    frame = frame_of(contract, per_unit=1)

    def kill(done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(contract, plan, [frame], tmp_path / "adapter", kill, folder)
    assert not (tmp_path / "adapter").exists()
    result = fine_tune(contract, plan, [frame], tmp_path / "adapter", checkpoints=folder)
    assert folder.steps_of_attempts() == (1, 3)
    assert result.event == plan.event()
    assert result.replay == replace(plan.event(), steps=1)


@pytest.mark.parametrize("method", ["lora", "prompt", "full"])
def test_a_release_is_audited_by_canaries_that_leave_nothing_in_it(contract, plan, tmp_path, method):
    mechanism = replace(plan.mechanism, noise_multiplier=2.0, steps=6, clipping_method="per_layer")
    of_method = {"rank": None, "alpha": None} if method != "lora" else {}
    tokens = 4 if method == "prompt" else None
    audited = replace(plan, mechanism=mechanism, method=method, prompt_tokens=tokens, canaries=200, **of_method)
    fine_tune(contract, audited, [frame_of(contract, 2)], tmp_path / "right")
    result = AuditResult.of(tmp_path / "right")
    assert not result.refuted
    assert result.steps == 6
    weights = next((tmp_path / "right").glob("*.safetensors"))
    assert not [name for name in load_file(weights) if "canaries" in name]
    load_tuned(audited.base_model, method, tmp_path / "right")
    with next(fault for fault in FAULTS if fault.name == "no noise").put_in():
        fine_tune(contract, audited, [frame_of(contract, 2)], tmp_path / "broken")
    broken = AuditResult.of(tmp_path / "broken")
    assert broken.refuted
    assert broken.area_under_curve.estimate > 0.9  # the canaries are really in the sums


def test_a_killed_run_goes_on_with_its_canaries(contract, plan, tmp_path):
    audited = replace(plan, canaries=200)
    checkpoints = CheckpointFolder(tmp_path / "checkpoints", audited.digest())

    def killed(step, steps):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(contract, audited, [frame_of(contract, 2)], tmp_path / "one", killed, checkpoints)
    coins = np.load(checkpoints.path / FILE)["included"]
    fine_tune(contract, audited, [frame_of(contract, 2)], tmp_path / "two", None, checkpoints)
    kept = np.load(checkpoints.path / FILE)
    assert (kept["included"] == coins).all()
    assert kept["steps"] == 3 == AuditResult.of(tmp_path / "two").steps


@pytest.mark.parametrize(("canaries", "epsilon", "refused"), [(200, 8.0, False), (40, 60.0, True), (0, 60.0, False)])
def test_an_audit_that_cannot_fail_is_refused_before_anything_is_spent(
    contract, plan, monkeypatch, canaries, epsilon, refused
):
    monkeypatch.setattr(finetuning, "prepare", lambda contract, plan: None)
    monkeypatch.setattr(adapter.rules, "check_rules", lambda contract: ())
    mechanism = calibrated(replace(plan.mechanism, noise_multiplier=0.0), epsilon, 1e-5)
    asked = replace(plan, mechanism=mechanism, epsilon=epsilon, canaries=canaries)
    if refused:
        with pytest.raises(adapter.WeakAuditError, match="cannot refute what this adapter promises"):
            adapter.check(contract, asked, {}, None)
    else:
        adapter.check(contract, asked, {}, None)


def test_plain_training_promises_nothing_and_is_not_audited(contract, plan, tmp_path):
    plain = replace(plan, mechanism=replace(plan.mechanism, noise_multiplier=0.0), canaries=200)
    fine_tune(contract, plain, [frame_of(contract, 1)], tmp_path)
    assert AuditResult.of(tmp_path) is None


def test_a_plan_without_canaries_is_what_it_was_before_there_were_any(plan):
    assert "canaries" not in plan.describe()
    assert replace(plan, canaries=200).digest() != plan.digest()


class Mixed(nn.Module):
    """In the place of a layer's perceptron: a convolution, which has no rule of ours."""

    def __init__(self, width):
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 1)

    def forward(self, x):
        return self.convolution(x.mT).mT


def test_a_layer_without_a_rule_is_trained_by_opacus_if_the_contract_says_so(contract, plan, tmp_path, monkeypatch):
    def with_a_convolution(name):
        model, tokenizer = load_base_model(name)
        model.model.layers[0].mlp = Mixed(model.config.hidden_size)
        return model, tokenizer

    monkeypatch.setattr(finetuning, "load_base_model", with_a_convolution)
    whole = replace(plan, method="full", rank=None, alpha=None)
    with pytest.raises(UnclippedGradientError, match=r"convolution\.weight.*engine: opacus"):
        finetuning.prepare(contract, whole)
    slow = replace(whole, engine="opacus")
    assert slow.digest() == whole.digest()  # how a gradient is computed is no part of what is charged
    fine_tune(contract, slow, [frame_of(contract, 2)], tmp_path)
    assert "model.layers.0.mlp.convolution.weight" in load_file(tmp_path / "model.safetensors")


def test_a_model_whose_records_touch_one_another_is_refused_before_a_row_is_seen(contract, plan, tmp_path, monkeypatch):
    honest = units.losses

    def over_the_batch_s_tokens(model, records, pad, *rest):
        tokens = [len(record.ids) - record.prefix for record in records]
        return honest(model, records, pad, *rest) * torch.tensor(tokens) / sum(tokens)

    monkeypatch.setattr(units, "losses", over_the_batch_s_tokens)
    monkeypatch.setattr(job, "train", lambda *args, **kwargs: pytest.fail("training began"))
    with pytest.raises(UnclippedGradientError, match="depend on the others"):
        fine_tune(contract, plan, [frame_of(contract, per_unit=1)], tmp_path / "adapter")


def test_bfloat16_that_does_not_give_a_record_its_own_bits_becomes_float32(contract, plan, tmp_path, monkeypatch):
    if not trainable.has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    honest = units.losses

    def coarse(model, records, pad, *rest):
        own = honest(model, records, pad, *rest)
        return own * (1 + 2.0**-6 * (len(records) > 1)) if torch.is_autocast_enabled("cpu") else own

    monkeypatch.setattr(units, "losses", coarse)
    rounder = replace(plan, precision="bfloat16")
    result = fine_tune(contract, rounder, [frame_of(contract, per_unit=1)], tmp_path / "adapter")
    assert result.precision == "float32"


@pytest.mark.parametrize("holds", [True, False])
def test_own_bits_are_checked_on_the_very_weights_that_train(contract, plan, monkeypatch, holds):
    seen = {}

    def checked(model, *about, bfloat16):
        seen[bfloat16] = frozen(model)
        if bfloat16 and not holds:
            raise UnclippedGradientError("other bits")

    def frozen(model):
        return [p.clone() for p in model.parameters() if not p.requires_grad]

    monkeypatch.setattr(trainable, "has_bfloat16", lambda: True)
    monkeypatch.setattr(trainable, "_verify_own_bits", checked)
    ready = finetuning.prepare(contract, replace(plan, precision="bfloat16"))
    assert ready.bfloat16 == holds
    assert set(seen) == ({True} if holds else {True, False})
    assert torch.bfloat16 in {weight.dtype for weight in seen[True]}
    pairs = list(zip(seen[ready.bfloat16], frozen(ready.model), strict=True))
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)
    assert ready.bfloat16 or {weight.dtype for _, weight in pairs} == {torch.float32}


def test_a_machine_that_gives_no_record_its_own_bits_is_refused_before_a_row_is_seen(contract, plan, monkeypatch):
    honest = units.losses

    def coarse(model, records, pad, shape=None, *rest):
        own = honest(model, records, pad, shape, *rest)
        return own * (1 + 1e-6 * (len(records) > 1)) if shape is not None else own

    monkeypatch.setattr(units, "losses", coarse)
    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        finetuning.prepare(contract, plan)


def test_every_shape_that_training_uses_is_looked_at_before_a_row_is_seen(contract, plan, monkeypatch):
    honest, coarse_at, seen = units.losses, None, set()

    def coarse(model, records, pad, shape=None, *rest):
        own = honest(model, records, pad, shape, *rest)
        if shape is None:
            return own
        seen.add(shape)
        return own * (1 + 1e-6 * (len(records) > 1 and shape == coarse_at))

    monkeypatch.setattr(units, "losses", coarse)
    ready = finetuning.prepare(contract, plan)
    shapes = public_shapes(ready.longest, plan.micro_batch_tokens, plan.mechanism.expected_batch_size)
    assert seen == {shape for shape in shapes if shape.width > ready.prefix}
    for coarse_at in (min(seen), max(seen)):
        with pytest.raises(UnclippedGradientError, match=f"{coarse_at.rows} records of {coarse_at.width} tokens"):
            finetuning.prepare(contract, plan)


def test_a_unit_over_the_plan_s_bound_is_refused_before_anything_is_computed(contract, plan, tmp_path):
    with pytest.raises(ValueError, match="max_records"):
        fine_tune(contract, plan, [frame_of(contract, per_unit=3)], tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_an_empty_source_trains_on_noise_alone(contract, plan, tmp_path):
    """Whether there was anybody at all must not show as an error."""
    result = fine_tune(contract, plan, [frame_of(contract, per_unit=2).head(0)], tmp_path / "adapter")
    assert result.event == plan.event()


def test_too_few_distinct_texts_end_in_an_error_that_says_what_to_do(contract, plan, tmp_path, monkeypatch):
    fine_tune(contract, plan, [frame_of(contract, per_unit=1)], tmp_path / "adapter")
    from dpsynth_assets.language import generation

    same = one_by_one(lambda cells, *_: ["always the same"] * len(cells))
    monkeypatch.setattr(generation, "_drawing", lambda *_: same)
    with pytest.raises(GenerationError, match="raise the temperature"):
        generate_corpus(contract, tmp_path / "adapter", dict.fromkeys(contract.cells, 1), rows=30)


def test_a_drawn_text_ends_before_its_first_stop_and_is_drawn_again_if_too_short(contract):
    def rules(**terms):
        return contract.privacy.generation.model_copy(update=terms)

    text = "Dear all,\n\nthe  bus is late.\n-- \nA."
    assert usable(text, rules()) == "Dear all, the bus is late. -- A."
    assert usable(text, rules(stop=("-- ", "\n\n"))) == "Dear all,"
    assert usable(text, rules(stop=("late", "?"))) == "Dear all, the bus is"
    assert usable(text, rules(stop=("Dear",))) == ""
    assert usable(text, rules(stop=("\n\n",), min_characters=9)) == "Dear all,"
    assert usable(text, rules(stop=("\n\n",), min_characters=10)) == ""


def test_the_contract_s_decoding_rules_reach_the_corpus(contract, plan, tmp_path):
    """With the likeliest token only, a label has one text: and there are no two distinct ones."""
    fine_tune(contract, plan, [frame_of(contract, per_unit=1)], tmp_path / "adapter")
    generation = contract.privacy.generation.model_copy(update={"top_k": 1})
    greedy = replace(contract, privacy=contract.privacy.model_copy(update={"generation": generation}))
    counts = dict.fromkeys(contract.cells, 1)
    assert len(generate_corpus(contract, tmp_path / "adapter", counts, rows=2 * len(counts))) == 2 * len(counts)
    with pytest.raises(GenerationError, match="gave 1 distinct texts of 2 asked"):
        generate_corpus(greedy, tmp_path / "adapter", counts, rows=2 * len(counts))
    long = contract.privacy.generation.model_copy(update={"min_characters": 500})
    never = replace(contract, privacy=contract.privacy.model_copy(update={"generation": long}))
    with pytest.raises(GenerationError, match=r"500 characters or more.*lower min_characters"):
        generate_corpus(never, tmp_path / "adapter", counts, rows=len(counts))


def test_a_missing_base_model_is_named_with_what_to_do():
    with pytest.raises(BaseModelError, match=r"'/no/such/model'.*config\.json"):
        load_base_model("/no/such/model")


@pytest.mark.parametrize(
    ("counts", "rows", "expected"),
    [
        ({"a": 1, "b": 1, "c": 1}, 10, {"a": 4, "b": 3, "c": 3}),
        ({"a": 0, "b": 0}, 3, {"a": 2, "b": 1}),
        ({"a": 999, "b": 1}, 100, {"a": 100, "b": 0}),
        ({"a": 5, "b": 0}, 7, {"a": 7, "b": 0}),
    ],
)
def test_rows_are_apportioned_by_largest_remainder(counts, rows, expected):
    assert apportion(counts, rows) == expected
