"""What rounding an encoder to int8 costs: weights in groups, as exports do it, beside onnxruntime's own way.

    python -m benchmarks.rounding --source ../shared/data/ag_news.parquet

A head that tells one class of a public source from the rest is fitted to half of the rows; scores of the other half are
compared with PyTorch's. Prints a Markdown table. Times are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnxruntime.quantization import QuantType, quantize_dynamic
from sklearn.linear_model import LogisticRegression

from dpsynth_assets.classify import graphs
from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.markdown import row, table

_THRESHOLDS = np.linspace(0.5, 0.95, 40)  # quantiles of the scores, each a threshold that decisions may change at


def dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """onnxruntime's dynamic quantisation of all products but the head's: int8 weights by column, int8 activations."""
    with tempfile.TemporaryDirectory() as folder:
        exact, small = Path(folder) / "exact.onnx", Path(folder) / "small.onnx"
        onnx.save(model, exact)
        quantize_dynamic(
            exact,
            small,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=[[node.name for node in model.graph.node if node.op_type == "MatMul"][-1]],
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(small)


def scores(model: onnx.ModelProto, tokens: list[list[int]]) -> tuple[Any, float]:
    """Log-odds of each text, and milliseconds of CPU time a text."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    begun = time.process_time()
    found = [session.run([graphs.LOG_ODDS], {graphs.INPUT: np.array([each])})[0][0] for each in tokens]
    return np.array(found), 1e3 * (time.process_time() - begun) / len(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="a Parquet file with the columns text and label")
    parser.add_argument("--rows", type=int, default=500)
    chosen = parser.parse_args()
    frame = pd.read_parquet(chosen.source).sample(chosen.rows, random_state=1)
    encoder = MiniLM()
    vectors = encoder.encode(frame["text"].tolist())
    truth = (frame["label"].astype(str) == min(frame["label"].astype(str))).to_numpy()
    half = chosen.rows // 2
    head = LogisticRegression(C=10, class_weight="balanced").fit(vectors[:half], truth[:half])
    weights = np.stack([0 * head.coef_[0], head.coef_[0]])
    bias = np.array([0.0, head.intercept_[0]])
    wanted = vectors[half:] @ head.coef_[0] + head.intercept_[0]
    tokens = encoder.tokenize(frame["text"].tolist()[half:])
    exact, rounded = (
        graphs.minilm(encoder.model, weights, bias, encoder.max_tokens, int8=int8) for int8 in (False, True)
    )
    print(table(["weights", "activations", "file", "error of the scores", "decisions changed", "ms a text"], []))
    for kinds, model in (
        (("float32", "float32"), exact),
        (("int8, groups of 32", "float32"), rounded),
        (("int8 by column", "int8, dynamic"), dynamic(exact)),
    ):
        found, taken = scores(model, tokens)
        error = (found - wanted).std() / wanted.std()
        changed = np.mean([((found >= t) != (wanted >= t)).mean() for t in np.quantile(wanted, _THRESHOLDS)])
        size = f"{model.ByteSize() / 1e6:.1f} MB"
        print(row([*kinds, size, f"{error:.4f}", f"{changed:.2%}", f"{taken:.1f}"]), flush=True)


if __name__ == "__main__":
    main()
