"""A base model's frozen layers in shards, so that a model trains that no single processor holds (PyTorch's FSDP2).

Each rank holds an equal part of every frozen parameter, and has a block whole only while it computes it: the block is
gathered before its forward pass, let go after it, and gathered again for its backward pass. What an adapter adds
afterwards is whole on each rank and none of this module's business: it is made, clipped and added up as ever. The
weights that a block is computed with have the bits of the file, so no number of the training changes.

Token tables, the embedding and the output layer, are gathered while they are called and in no backward pass, which
needs none of them: nothing before the embedding is trained, and `clipping.cross_entropy` has made its gradient when the
output layer's call ends.

**All ranks must make the same passes**, or they wait for each other for ever: each pass gathers every block twice.
`privacy.ranks` sees to that in training, and verification computes the same made-up records on every rank.

Knows models and files of weights. Knows no record, no plan, and nothing of clipping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from dpsynth_assets.language.base_model import device
from dpsynth_assets.language.model_places import BaseModelError
from dpsynth_assets.language.objective import plain_output_layer
from dpsynth_assets.language.rounding import roundable_weights
from dpsynth_assets.language.stored import StoredWeights, saved_buffers, stored_base_model
from dpsynth_assets.privacy.ranks import together

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_in_shards(name: str, *, bfloat16: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of `load_base_model`, frozen, with this rank's part of every parameter.

    All ranks call this together. Meanwhile a rank holds one block, or one token table, whole.

    Args:
        bfloat16: weights of linear layers are held rounded, as `round_frozen_layers` leaves them.

    Raises:
        BaseModelError: the model cannot be had in shards.
        LostRankError: another rank is gone.
    """
    stored = stored_base_model(name)
    require_shardable(stored.model, name)
    _shard(stored.model, stored.weights, bfloat16=bfloat16)
    return stored.model, stored.tokenizer


def require_shardable(model: PreTrainedModel, name: str) -> None:
    """Pass if the model is one of blocks that can be gathered one by one. Looks at no weight.

    Raises:
        BaseModelError: it is not; the message says why.
    """
    if plain_output_layer(model) is None:
        raise _unfit(name, "its logits are more than a product with its output layer, which would be kept whole")
    blocks = _blocks(model)
    if not blocks:
        raise _unfit(name, "it does not say which of its layers belong together (`_no_split_modules`)")
    holders = Counter(id(p) for group in [*blocks, *_tables(model)] for p in set(group.parameters()))
    if any(count > 1 for count in holders.values()):
        raise _unfit(name, "some of its blocks share weights")


def _unfit(name: str, why: str) -> BaseModelError:
    return BaseModelError(
        f"base model {name!r} cannot be held in shards: {why}. Leave DPSYNTH_SHARDED unset, or name another model"
    )


def _blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The layers that are gathered as one, in order: the classes that the model says are not to be divided."""
    kinds = set(model._no_split_modules or ())
    found = [module for module in model.modules() if type(module).__name__ in kinds]
    inner = {id(part) for block in found for part in block.modules() if part is not block}
    return [block for block in found if id(block) not in inner]


class _Table(nn.Module):
    """Token tables that are one parameter, or one of them. Gathered by hand, so never called."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self) -> None:
        raise NotImplementedError


def _tables(model: PreTrainedModel) -> list[_Table]:
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    if embedding.weight is head.weight:
        return [_Table(embedding, head)]
    return [_Table(embedding), _Table(head)]


class _Gather:
    """FSDP's all-gather. It fails where another rank is gone, and that is what it says then."""

    def allocate(self, size: Sequence[int | torch.SymInt], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: dist.ProcessGroup, async_op: bool = False
    ) -> dist.Work | None:
        with together():
            dist.all_gather_single(output_tensor, input_tensor, group=group)
        return None


def _shard(model: PreTrainedModel, weights: StoredWeights, *, bfloat16: bool) -> None:
    place = device()
    mesh = init_device_mesh(place, (dist.get_world_size(),))
    model.requires_grad_(False)
    filling = _Filling(model, weights, place, roundable_weights(model) if bfloat16 else [])
    tables: list[nn.Parameter] = []
    for table in _tables(model):
        filling.fill(table)
        _fully_shard(table, mesh)
        tables += table.parameters()
        for layer in table.layers:
            _gathered_while_called(layer, table)
    for block in _blocks(model):
        filling.fill(block)
        _fully_shard(block, mesh)
    filling.fill(model)  # what is left: the last normalisation, positions
    for name, buffer in saved_buffers(model).items():
        buffer.copy_(weights.read(name))
    _fully_shard(model, mesh, apart=set(tables))  # which also puts buffers where the parameters are


def _fully_shard(module: nn.Module, mesh: DeviceMesh, *, apart: set[nn.Parameter] | None = None) -> None:
    sharded: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=apart)
    sharded.set_custom_all_gather(_Gather())
    kind = type(sharded)  # made by FSDP of the module's own class, whose name messages and files are to say
    kind.__name__ = kind.__qualname__ = kind.__name__.removeprefix("FSDP")


def _gathered_while_called(layer: nn.Module, table: nn.Module) -> None:
    assert isinstance(table, FSDPModule)

    def gather(module: nn.Module, arguments: Any) -> None:
        table.unshard()

    def let_go(module: nn.Module, arguments: Any, output: Any) -> None:
        table.reshard()

    layer.register_forward_pre_hook(gather)
    layer.register_forward_hook(let_go, always_call=True)


class _Filling:
    """Gives an empty model's layers their weights, some at a time."""

    def __init__(self, model: nn.Module, weights: StoredWeights, place: str, rounded: Sequence[nn.Parameter]) -> None:
        self._weights, self._place = weights, place
        self._rounded = {id(parameter) for parameter in rounded}
        self._empty = {id(p): (name, p) for name, p in model.named_parameters()}  # held, so that numbers stay theirs

    def fill(self, module: nn.Module) -> None:
        """All its parameters that are still empty. What several layers hold is theirs together afterwards, too."""
        made: dict[int, nn.Parameter] = {}
        for layer in module.modules():
            for key, empty in layer._parameters.items():
                if empty is not None and empty.is_meta:
                    if id(empty) not in made:
                        made[id(empty)] = nn.Parameter(self._read(id(empty)), requires_grad=False)
                    layer._parameters[key] = made[id(empty)]

    def _read(self, which: int) -> Tensor:
        stored = self._weights.read(self._empty[which][0]).to(torch.float32)
        return stored.to(self._place, torch.bfloat16 if which in self._rounded else torch.float32)
