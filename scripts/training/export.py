"""Trained networks to one ONNX file: side by side, weights in eight bits, answers averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from analysis.features import BANDS
from analysis.phones import PHONES
from analysis.segments import EXTRAS, PARTS
from scripts.training.model import (
    CHANNELS,
    CLASSES,
    DILATIONS,
    EVIDENCE_GAIN,
    FAR,
    LINE_SCORES,
    RECURRENT_CHANNELS,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.training.model import PhoneScorer

OPSET: Final = 17
IR_VERSION: Final = 8
_SMALL: Final = 4096  # arrays below this stay in float32: norms, biases, embeddings


class _Graph:
    """Nodes and constants in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._count = 0

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        self._count += 1
        name = out or f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any], name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, values: NDArray[np.float32], name: str) -> str:
        """Keep a large matrix (…, in, out) in eight bits with a scale for each output."""
        if values.size < _SMALL:
            return self.constant(values.astype(np.float32), name)
        scale = np.maximum(np.abs(values).max(axis=-2, keepdims=True), 1e-8) / 127.0
        rounded = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        stored = self.constant(rounded, f"{name}_int8")
        real = self.add("Cast", stored, to=TensorProto.FLOAT)
        return self.add("Mul", real, self.constant(scale.astype(np.float32), f"{name}_scale"))


def export(networks: Sequence[PhoneScorer], path: Path, provenance: dict[str, str]) -> None:
    """Write `networks`, all of one shape, as one graph that averages them.

    Inputs: mel (T, bands), T even; phones (P,) int64; pool (parts · P, T / 2); extras
    (P, extras); members (W, P). Outputs: posteriors (T / 2, classes), the mean over networks;
    phone_scores (networks, P), word_scores (networks, W), line_scores (networks, 4), on 0–2.
    """
    state = [
        {key: value.numpy() for key, value in network.state_dict().items()} for network in networks
    ]
    graph = _Graph()

    def stacked(key: str) -> NDArray[np.float32]:
        return np.stack([one[key] for one in state])

    def linear(x: str, key: str) -> str:
        product = graph.add(
            "MatMul", x, graph.weights(stacked(f"{key}.weight").transpose(0, 2, 1), f"{key}_w")
        )
        return graph.add(
            "Add", product, graph.constant(stacked(f"{key}.bias")[:, None], f"{key}_b")
        )

    def normalised(x: str, key: str) -> str:
        width = state[0][f"{key}.weight"].shape[0]
        one = graph.constant(np.ones(width, np.float32), f"{key}_one")
        plain = graph.add("LayerNormalization", x, one, axis=-1, epsilon=1e-5)
        scaled = graph.add(
            "Mul", plain, graph.constant(stacked(f"{key}.weight")[:, None], f"{key}_g")
        )
        return graph.add("Add", scaled, graph.constant(stacked(f"{key}.bias")[:, None], f"{key}_o"))

    def shape(*sizes: int) -> str:
        name = "shape_" + "_".join(map(str, sizes)).replace("-", "m")
        if all(constant.name != name for constant in graph.constants):
            graph.constant(np.array(sizes, np.int64), name)
        return name

    def shifted(x: str, before: int, after: int) -> str:
        pads = graph.constant(np.array([0, before, 0, 0, after, 0], np.int64), f"pads_{x}_{before}")
        return graph.add("Pad", x, pads)

    def cut(x: str, start: int, end: int, axis: int) -> str:
        limits = [
            graph.constant(np.array([value], np.int64), f"cut_{x}_{start}_{name}")
            for name, value in (("start", start), ("end", end), ("axis", axis))
        ]
        return graph.add("Slice", x, *limits)

    everything = 2**31
    # Frames, two by two: each step sees the frame before, its own two and the one after.
    pairs = graph.add("Reshape", "mel", shape(1, -1, 2 * BANDS))
    left = cut(cut(shifted(pairs, 1, 0), 0, -1, 1), BANDS, 2 * BANDS, 2)
    right = cut(cut(shifted(pairs, 0, 1), 1, everything, 1), 0, BANDS, 2)
    x = graph.add("Concat", left, pairs, right, axis=2)
    x = graph.add("Relu", normalised(linear(x, "stem"), "stem_norm"))
    for number, reach in enumerate(DILATIONS):
        before = cut(shifted(x, reach, 0), 0, -reach, 1)
        after = cut(shifted(x, 0, reach), reach, everything, 1)
        joined = graph.add("Concat", before, x, after, axis=2)
        mixed = normalised(linear(joined, f"body.{number}.mix"), f"body.{number}.norm")
        x = graph.add("Add", x, graph.add("Relu", mixed))
    logits = linear(x, "classify")
    log_posteriors = graph.add("LogSoftmax", logits, axis=-1)
    mean = graph.add("ReduceMean", graph.add("Exp", log_posteriors), axes=[0], keepdims=0)
    graph.add("Identity", mean, out="posteriors")
    # Phones.
    pooled = graph.add("MatMul", "pool", graph.add("Concat", x, log_posteriors, axis=2))
    acoustic = graph.add(
        "Reshape", cut(pooled, 0, CHANNELS, 2), shape(len(state), -1, PARTS * CHANNELS)
    )
    thirds = graph.add(
        "Reshape", cut(pooled, CHANNELS, everything, 2), shape(len(state), -1, PARTS, CLASSES)
    )
    evidence = graph.add("ReduceMean", thirds, axes=[2], keepdims=0)
    hot = graph.add(
        "OneHot", "phones", graph.constant(np.array([CLASSES], np.int64), "depth"),
        graph.constant(np.array([0, 1], np.float32), "off_on"), axis=-1,
    )  # fmt: skip
    own = graph.add(
        "ReduceSum",
        graph.add("Mul", evidence, hot),
        graph.constant(np.array([2], np.int64), "last"),
        keepdims=1,
    )
    lead = graph.add("Sub", own, graph.add("ReduceMax", evidence, axes=[2], keepdims=1))
    gain = graph.constant(np.array(EVIDENCE_GAIN, np.float32), "gain")
    embedded = graph.add(
        "Gather", graph.constant(stacked("embed.weight"), "embed_w"), "phones", axis=1
    )
    copies = graph.constant(np.array([len(state), 1, 1], np.int64), "copies")
    extras = graph.add(
        "Tile",
        graph.add("Unsqueeze", "extras", graph.constant(np.array([0], np.int64), "first")),
        copies,
    )
    scaled = [graph.add("Mul", part, gain) for part in (evidence, own, lead)]
    joined = graph.add("Concat", acoustic, *scaled, embedded, extras, axis=2)
    segment = graph.add("Relu", normalised(linear(joined, "join"), "join_norm"))
    around = [_recurrent(graph, segment, one, number) for number, one in enumerate(state)]
    context = graph.add("Concat", *around, axis=0) if len(around) > 1 else around[0]
    heard = graph.add("Concat", context, segment, axis=2)
    each = linear(heard, "score")
    width = graph.constant(np.array([2], np.int64), "width")
    graph.add("Squeeze", each, width, out="phone_scores")
    # Words: the mean of their phones, and the worst of them.
    sizes = graph.add(
        "ReduceSum", "members", graph.constant(np.array([1], np.int64), "across"), keepdims=1
    )
    shares = graph.add("Div", "members", sizes)
    one, far = (
        graph.constant(np.array(value, np.float32), key)
        for value, key in ((1.0, "one"), (FAR, "far"))
    )
    away = graph.add("Mul", far, graph.add("Sub", one, "members"))
    others = graph.add("Add", graph.add("Transpose", each, perm=[0, 2, 1]), away)
    worst = graph.add("ReduceMin", others, axes=[2], keepdims=1)
    of_words = graph.add(
        "Concat",
        graph.add("MatMul", shares, heard),
        graph.add("MatMul", shares, each),
        worst,
        axis=2,
    )
    graph.add("Squeeze", linear(of_words, "word"), width, out="word_scores")
    whole = linear(graph.add("ReduceMean", heard, axes=[1], keepdims=1), "line")
    graph.add(
        "Squeeze", whole, graph.constant(np.array([1], np.int64), "middle"), out="line_scores"
    )

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "phone_scorer",
            [
                helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["frames", BANDS]),
                helper.make_tensor_value_info("phones", TensorProto.INT64, ["phones"]),
                helper.make_tensor_value_info("pool", TensorProto.FLOAT, ["parts", "steps"]),
                helper.make_tensor_value_info("extras", TensorProto.FLOAT, ["phones", EXTRAS]),
                helper.make_tensor_value_info("members", TensorProto.FLOAT, ["words", "phones"]),
            ],
            [
                helper.make_tensor_value_info("posteriors", TensorProto.FLOAT, ["steps", CLASSES]),
                *(
                    helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(state), size])
                    for name, size in (
                        ("phone_scores", "phones"),
                        ("word_scores", "words"),
                        ("line_scores", LINE_SCORES),
                    )
                ),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="train_scorer",
    )
    helper.set_model_props(model, {"phones": " ".join(PHONES), **provenance})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _recurrent(graph: _Graph, segment: str, one: dict[str, Any], number: int) -> str:
    """Add a network's bidirectional GRU; ONNX orders its gates z, r, h, torch r, z, n."""

    def gates(key: str) -> NDArray[np.float32]:
        r, z, n = np.split(one[key], 3, axis=0)
        return np.concatenate((z, r, n), axis=0)

    def both(kind: str) -> NDArray[np.float32]:
        return np.stack([gates(f"context.{kind}_l0"), gates(f"context.{kind}_l0_reverse")])

    inputs = graph.weights(both("weight_ih").transpose(0, 2, 1), f"gru_{number}_w")
    hidden = graph.weights(both("weight_hh").transpose(0, 2, 1), f"gru_{number}_r")
    bias = np.concatenate((both("bias_ih"), both("bias_hh")), axis=1)
    row = graph.add(
        "Gather", segment, graph.constant(np.array([number], np.int64), f"row_{number}"), axis=0
    )
    sequence = graph.add("Transpose", row, perm=[1, 0, 2])
    out = graph.add(
        "GRU", sequence,
        graph.add("Transpose", inputs, perm=[0, 2, 1]),
        graph.add("Transpose", hidden, perm=[0, 2, 1]),
        graph.constant(bias, f"gru_{number}_b"),
        direction="bidirectional", hidden_size=RECURRENT_CHANNELS, linear_before_reset=1,
    )  # fmt: skip
    # (P, directions, 1, hidden) to (1, P, directions · hidden)
    turned = graph.add("Transpose", out, perm=[2, 0, 1, 3])
    name = f"flat_{number}"
    graph.constant(np.array([1, -1, 2 * RECURRENT_CHANNELS], np.int64), name)
    return graph.add("Reshape", turned, name)
