"""The classifiers' networks as ONNX graphs: one text's tokens in, the log-odds of its being unsafe out.

Written node by node from the trained weights. PyTorch's exporters would need a package more or are deprecated, trace a
batch that a device does not have, and take half a minute for what is here a second; there are two networks, and every
export is compared with PyTorch on real inputs (`dpsynth_assets.classify.export`), so a graph that says something else
is refused. Operators are those of ONNX opset 20. Knows nothing of thresholds, folders or guarantees.

Both graphs have the input `tokens`, int64 of shape (1, tokens), and the output `log_odds`, float32 of shape (1,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

    from dpsynth_assets.classify.word_cnn import WordCnn

OPSET = 20
INPUT, LOG_ODDS, PROBABILITY = "tokens", "log_odds", "probability"


class _Graph:
    """Nodes and constants in the making; every method gives the name of what it adds."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, value: Any, dtype: type = np.float32, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"{kind}_{output}", **attributes))
        return output

    def linear(self, x: str, weight: Any, bias: Any) -> str:
        """x W^T + b, as torch.nn.Linear computes it."""
        product = self.add("MatMul", x, self.constant(np.asarray(weight).T))
        return self.add("Add", product, self.constant(bias))

    def model(self, output: str) -> onnx.ModelProto:
        """The finished model; `output` becomes `log_odds`."""
        from onnx import TensorProto, checker, helper, numpy_helper

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


def minilm(bert: Any, weights: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """The sentence encoder (a transformers BertModel without dropout) with a linear layer of two classes.

    Args:
        weights, bias: shapes (2, 384) and (2,), safe first.
    """
    state = {name: value.detach().float().numpy() for name, value in bert.state_dict().items()}
    config = bert.config
    if config.hidden_act != "gelu" or getattr(config, "position_embedding_type", "absolute") != "absolute":
        raise ValueError("this is not the BERT that the graph is written for")
    heads, width = config.num_attention_heads, config.hidden_size
    graph = _Graph()

    def normalised(x: str, name: str) -> str:
        scale, shift = graph.constant(state[f"{name}.weight"]), graph.constant(state[f"{name}.bias"])
        return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=config.layer_norm_eps)

    def linear(x: str, name: str) -> str:
        return graph.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    split = graph.constant([1, -1, heads, width // heads], np.int64)
    joined = graph.constant([1, -1, width], np.int64)

    def heads_of(x: str, order: Sequence[int]) -> str:
        return graph.add("Transpose", graph.add("Reshape", x, split), perm=list(order))

    table = graph.constant(state["embeddings.word_embeddings.weight"], name="word_vectors")
    length = graph.add("Shape", INPUT, start=1)
    first, axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    # Every token is of segment 0, so that segment's vector goes into those of the positions.
    positions = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    places = graph.add("Slice", graph.constant(positions), first, length, axis)
    x = normalised(graph.add("Add", graph.add("Gather", table, INPUT), places), "embeddings.LayerNorm")
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


def word_cnn(network: WordCnn, weights: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """The network over hashed words, without dropout and with this last layer, shapes (2, features) and (2,).

    `tokens` are buckets, filled up with 0 to the widest window.
    """
    state = {name: value.detach().float().numpy() for name, value in network.state_dict().items()}
    shape = network.shape
    graph = _Graph()
    words = graph.add("Cast", graph.add("Greater", INPUT, graph.constant(0, np.int64)), to=7)  # 7: int64
    length = graph.add("ReduceSum", words, graph.constant([1], np.int64), keepdims=1)  # (1, 1)
    table = graph.constant(state["embedding.weight"], name="word_vectors")
    vectors = graph.add("Transpose", graph.add("Gather", table, INPUT), perm=[0, 2, 1])  # (1, dimension, words)
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    pooled = []
    for place, width in enumerate(shape.widths):
        weight = state[f"convolutions.{place}.weight"].reshape(shape.filters, shape.dimension, width)
        bias = graph.constant(state[f"convolutions.{place}.bias"])
        found = graph.add("Relu", graph.add("Conv", vectors, graph.constant(weight), bias))  # (1, filters, windows)
        windows = graph.add("Squeeze", graph.add("Shape", found, start=2))
        last = graph.add("Max", graph.add("Sub", length, graph.constant(width, np.int64)), zero)
        inside = graph.add("LessOrEqual", graph.add("Range", zero, windows, one), last)  # (1, windows)
        kept = graph.add("Mul", found, graph.add("Cast", inside, to=1))  # 1: float32
        pooled.append(graph.add("ReduceMax", kept, graph.constant([2], np.int64), keepdims=0))
    features = graph.add("Concat", *pooled, axis=1)
    return graph.model(_difference(graph, features, weights, bias))


def calibrated(model: onnx.ModelProto, slope: float, intercept: float) -> onnx.ModelProto:
    """The model with the output `probability`, sigmoid(slope * log_odds + intercept), in place of `log_odds`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    for name, value in (("slope", slope), ("intercept", intercept)):
        made.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
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


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with int8 weights of word vectors and large products; activations are scaled as they come.

    Weights are unsigned: signed ones overflow 16-bit sums on x86 cores without VNNI, and the same file would decide
    otherwise there.
    """
    import tempfile
    from pathlib import Path

    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        exact, small = Path(folder) / "exact.onnx", Path(folder) / "small.onnx"
        onnx.save(model, exact)
        quantize_dynamic(
            exact,
            small,
            op_types_to_quantize=["MatMul", "Gather"],
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=[node.name for node in model.graph.node if node.output[0] == _HEAD],
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(small)


_HEAD = "head"  # the last product: 384 numbers, which would be the worst place to round


def _difference(graph: _Graph, features: str, weights: np.ndarray, bias: np.ndarray) -> str:
    """The score of class 1 less that of class 0, which is its log-odds."""
    product = graph.add("MatMul", features, graph.constant((weights[1] - weights[0])[:, None]), output=_HEAD)
    return graph.add("Add", product, graph.constant(bias[1] - bias[0]))
