"""The classifiers' networks as ONNX graphs: one text's tokens in, the log-odds of its being unsafe out.

Written node by node from the trained weights. PyTorch's exporters would need a package more or are deprecated, trace a
batch that a device does not have, and take half a minute for what is here a second; there are two networks, and every
export is compared with PyTorch on real inputs (`dpsynth_assets.safety.export`), so a graph that says something else
is refused. Operators are those of ONNX opset 20. Knows nothing of thresholds, folders or guarantees.

**int8.** Word vectors and the weights of large products are stored as int8 with float16 scales, one for
every few of them. Products are computed in float32: the runtime expands the weights when it
loads the file, and a text's decision is the same on every processor. Rounding the activations too, which is what
onnxruntime's dynamic quantisation does, halves the time a text takes and makes the encoder's scores eight times less
exact: more decisions change than `dpsynth_assets.safety.export.AGREEMENT` allows.

Both graphs have the input `tokens`, int64 of shape (1, tokens), and the output `log_odds`, float32 of shape (1,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, checker, helper, numpy_helper

if TYPE_CHECKING:
    from dpsynth_assets.classify.word_cnn import WordCnn

OPSET = 20
INPUT, LOG_ODDS, PROBABILITY = "tokens", "log_odds", "probability"
_GROUP = 32  # weights that are summed up together and share a scale
_WIDE, _NARROW = 128, 20  # columns of a word's vector that share one, in the encoder and in the small network
_WORDS = "embeddings.word_embeddings.weight"
_FLOAT, _INT64 = 1, 7  # ONNX's numbers of types


class _Graph:
    """Nodes and constants in the making; every method gives the name of what it adds."""

    def __init__(self, int8: bool) -> None:
        self._int8 = int8
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"{kind}_{output}", **attributes))
        return output

    def linear(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """x W^T + b, as torch.nn.Linear computes it; W of shape (outputs, inputs)."""
        product = self.add("MatMul", x, self._weights(np.ascontiguousarray(weight.T)))
        return self.add("Add", product, self.constant(bias))

    def rows_of(self, table: np.ndarray, places: str, group: int) -> str:
        """Rows of a table, rounded in groups of so many columns, shape (1, tokens, columns) for places (1, tokens)."""
        rows, columns = table.shape
        if not self._int8:
            return self.add("Gather", self.constant(table), places)
        groups = columns // group
        numbers, scales = _rounded(table.reshape(rows, groups, columns // groups), axis=2)
        found = [
            self.add("Cast", self.add("Gather", self.constant(value, dtype), places), to=_FLOAT)
            for value, dtype in ((numbers, np.int8), (scales, np.float16))
        ]
        return self.add("Reshape", self.add("Mul", *found), self.constant([1, -1, columns], np.int64))

    def _weights(self, matrix: np.ndarray) -> str:
        """A matrix of shape (inputs, outputs), rounded in groups of inputs. Made of constants alone, so that a runtime
        computes it once."""
        inputs, outputs = matrix.shape
        if not self._int8 or inputs % _GROUP:
            return self.constant(matrix)
        numbers, scales = _rounded(matrix.reshape(inputs // _GROUP, _GROUP, outputs), axis=1)
        exact = [
            self.add("Cast", self.constant(value, dtype), to=_FLOAT)
            for value, dtype in ((numbers, np.int8), (scales, np.float16))
        ]
        return self.add("Reshape", self.add("Mul", *exact), self.constant([inputs, outputs], np.int64))

    def model(self, output: str) -> onnx.ModelProto:
        """The finished model; `output` becomes `log_odds`."""
        self.add("Reshape", output, self.constant([1], np.int64), output=LOG_ODDS)
        graph = helper.make_graph(
            self.nodes,
            "safety_classifier",
            [helper.make_tensor_value_info(INPUT, TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info(LOG_ODDS, TensorProto.FLOAT, [1])],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="dpsynth")
        model.ir_version = 10  # what onnxruntime has read since 1.18
        checker.check_model(model)
        return model


def minilm(bert: Any, weights: np.ndarray, bias: np.ndarray, max_tokens: int, *, int8: bool = True) -> onnx.ModelProto:
    """The sentence encoder (a transformers BertModel without dropout) with a linear layer of two classes.

    Args:
        weights, bias: shapes (2, 384) and (2,), safe first.
        max_tokens: the longest text; positions beyond it are left out.
    """
    state = {name: value.detach().float().numpy() for name, value in bert.state_dict().items()}
    config = bert.config
    if config.hidden_act != "gelu" or getattr(config, "position_embedding_type", "absolute") != "absolute":
        raise ValueError("this is not the BERT that the graph is written for")
    heads, width = config.num_attention_heads, config.hidden_size
    graph = _Graph(int8)

    def normalised(x: str, name: str) -> str:
        scale, shift = graph.constant(state[f"{name}.weight"]), graph.constant(state[f"{name}.bias"])
        return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=config.layer_norm_eps)

    def linear(x: str, name: str) -> str:
        return graph.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    split = graph.constant([1, -1, heads, width // heads], np.int64)
    joined = graph.constant([1, -1, width], np.int64)

    def heads_of(x: str, order: Sequence[int]) -> str:
        return graph.add("Transpose", graph.add("Reshape", x, split), perm=list(order))

    length = graph.add("Shape", INPUT, start=1)
    first, axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    # Every token is of segment 0, so that segment's vector goes into those of the positions.
    positions = state["embeddings.position_embeddings.weight"][:max_tokens]
    positions = positions + state["embeddings.token_type_embeddings.weight"][0]
    places = graph.add("Slice", graph.constant(positions), first, length, axis)
    words = graph.rows_of(state[_WORDS], INPUT, _WIDE)
    x = normalised(graph.add("Add", words, places), "embeddings.LayerNorm")
    for layer in range(config.num_hidden_layers):
        at = f"encoder.layer.{layer}"
        query = heads_of(linear(x, f"{at}.attention.self.query"), (0, 2, 1, 3))
        key = heads_of(linear(x, f"{at}.attention.self.key"), (0, 2, 3, 1))
        value = heads_of(linear(x, f"{at}.attention.self.value"), (0, 2, 1, 3))
        match = graph.add("Mul", graph.add("MatMul", query, key), graph.constant((width // heads) ** -0.5))
        mixed = graph.add("MatMul", graph.add("Softmax", match, axis=-1), value)
        mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        attended = linear(mixed, f"{at}.attention.output.dense")
        x = normalised(graph.add("Add", attended, x), f"{at}.attention.output.LayerNorm")
        wide = graph.add("Gelu", linear(x, f"{at}.intermediate.dense"))
        x = normalised(graph.add("Add", linear(wide, f"{at}.output.dense"), x), f"{at}.output.LayerNorm")
    mean = graph.add("ReduceMean", x, graph.constant([1], np.int64), keepdims=0)
    vector = graph.add("LpNormalization", mean, axis=-1, p=2)
    return graph.model(_difference(graph, vector, weights, bias))


def round_encoder(bert: Any) -> None:
    """Give the sentence encoder the weights that `minilm` stores of it, in place. Rounding them again changes nothing:
    a head that is trained on this encoder is exported as it was trained."""

    def rounded(name: str, weight: np.ndarray) -> np.ndarray:
        if name == _WORDS:
            numbers, scales = _rounded(weight.reshape(len(weight), -1, _WIDE), axis=2)
            return (numbers * scales.astype(np.float32)).reshape(weight.shape)
        numbers, scales = _rounded(weight.T.reshape(-1, _GROUP, len(weight)), axis=1)
        return (numbers * scales.astype(np.float32)).reshape(weight.T.shape).T

    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            if name == _WORDS or (name.startswith("encoder.") and parameter.ndim == 2):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(rounded(name, parameter.numpy()))))


def word_cnn(network: WordCnn, weights: np.ndarray, bias: np.ndarray, *, int8: bool = True) -> onnx.ModelProto:
    """The network over hashed words, without dropout and with this last layer, shapes (2, features) and (2,).

    `tokens` are buckets, filled up with 0 to the widest window.
    """
    state = {name: value.detach().float().numpy() for name, value in network.state_dict().items()}
    shape = network.shape
    graph = _Graph(int8)
    words = graph.add("Cast", graph.add("Greater", INPUT, graph.constant(0, np.int64)), to=_INT64)
    length = graph.add("ReduceSum", words, graph.constant([1], np.int64), keepdims=1)  # (1, 1)
    vectors = graph.add(
        "Transpose", graph.rows_of(state["embedding.weight"], INPUT, math.gcd(shape.dimension, _NARROW)), perm=[0, 2, 1]
    )
    # (1, dimension, words)
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    pooled = []
    for place, width in enumerate(shape.widths):
        weight = state[f"convolutions.{place}.weight"].reshape(shape.filters, shape.dimension, width)
        shift = graph.constant(state[f"convolutions.{place}.bias"])
        found = graph.add("Relu", graph.add("Conv", vectors, graph.constant(weight), shift))  # (1, filters, windows)
        windows = graph.add("Squeeze", graph.add("Shape", found, start=2))
        last = graph.add("Max", graph.add("Sub", length, graph.constant(width, np.int64)), zero)
        inside = graph.add("LessOrEqual", graph.add("Range", zero, windows, one), last)  # (1, windows)
        kept = graph.add("Mul", found, graph.add("Cast", inside, to=_FLOAT))
        pooled.append(graph.add("ReduceMax", kept, graph.constant([2], np.int64), keepdims=0))
    features = graph.add("Concat", *pooled, axis=1)
    return graph.model(_difference(graph, features, weights, bias))


def calibrated(model: onnx.ModelProto, slope: float, intercept: float) -> onnx.ModelProto:
    """The model with the output `probability`, sigmoid(slope * log_odds + intercept), in place of `log_odds`."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for name, value in (("slope", slope), ("intercept", intercept)):
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    for kind, inputs, output in (
        ("Mul", [LOG_ODDS, "slope"], "scaled"),
        ("Add", ["scaled", "intercept"], "shifted"),
        ("Sigmoid", ["shifted"], PROBABILITY),
    ):
        made.graph.node.append(helper.make_node(kind, inputs, [output]))
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info(PROBABILITY, TensorProto.FLOAT, [1]))
    onnx.checker.check_model(made)
    return made


def _difference(graph: _Graph, features: str, weights: np.ndarray, bias: np.ndarray) -> str:
    """The score of class 1 less that of class 0, which is its log-odds."""
    # Not rounded: a few hundred numbers, on which every decision hangs.
    product = graph.add("MatMul", features, graph.constant((weights[1] - weights[0])[:, None]))
    return graph.add("Add", product, graph.constant(bias[1] - bias[0]))


def _rounded(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 numbers and the float16 scales, one for all along the axis, that they are to be multiplied with."""
    largest = np.abs(values).max(axis=axis, keepdims=True)
    scales = np.maximum(largest / 127, np.finfo(np.float16).tiny).astype(np.float16)
    return np.clip(np.round(values / scales.astype(np.float32)), -127, 127).astype(np.int8), scales
