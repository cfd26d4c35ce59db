"""Trained networks to ONNX: side by side in two graphs, weights in eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from analysis.features import BANDS
from analysis.network import LISTENER_FILE, SCORER_FILE
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

    # The parameters of each network, by torch's names.
    _State = Sequence[dict[str, NDArray[np.float32]]]
    _Shapes = dict[str, list[int | str]]

OPSET: Final = 17
IR_VERSION: Final = 8
_ALL: Final = 2**31
_SMALL: Final = 4096  # arrays below this stay in float32: norms, biases, embeddings


class _Graph:
    """Nodes and constants in the order they are added, and the weights they are made of."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._count = 0

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        self._count += 1
        name = out or f"{kind.lower()}_{self._count}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any], name: str) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def whole(self, name: str, value: int) -> str:
        return self.constant(np.array([value], np.int64), name)

    def number(self, name: str, value: float) -> str:
        return self.constant(np.array(value, np.float32), name)

    def shape(self, *sizes: int) -> str:
        name = "shape_" + "_".join(map(str, sizes)).replace("-", "m")
        return self.constant(np.array(sizes, np.int64), name)

    def stacked(self, key: str) -> NDArray[np.float32]:
        """Return a parameter of all networks, (networks, …)."""
        return np.stack([one[key] for one in self._state])

    def weights(self, values: NDArray[np.float32], name: str) -> str:
        """Keep a large matrix (…, in, out) in eight bits with a scale for each output."""
        if values.size < _SMALL:
            return self.constant(values.astype(np.float32), name)
        scale = np.maximum(np.abs(values).max(axis=-2, keepdims=True), 1e-8) / 127.0
        rounded = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        stored = self.constant(rounded, f"{name}_int8")
        real = self.add("Cast", stored, to=TensorProto.FLOAT)
        return self.add("Mul", real, self.constant(scale.astype(np.float32), f"{name}_scale"))

    def linear(self, x: str, key: str) -> str:
        matrix = self.weights(self.stacked(f"{key}.weight").transpose(0, 2, 1), f"{key}_w")
        bias = self.constant(self.stacked(f"{key}.bias")[:, None], f"{key}_b")
        return self.add("Add", self.add("MatMul", x, matrix), bias)

    def normalised(self, x: str, key: str) -> str:
        gain, shift = self.stacked(f"{key}.weight"), self.stacked(f"{key}.bias")
        one = self.constant(np.ones(gain.shape[1], np.float32), f"{key}_one")
        plain = self.add("LayerNormalization", x, one, axis=-1, epsilon=1e-5)
        scaled = self.add("Mul", plain, self.constant(gain[:, None], f"{key}_g"))
        return self.add("Add", scaled, self.constant(shift[:, None], f"{key}_o"))

    def shifted(self, x: str, before: int, after: int) -> str:
        pads = np.array([0, before, 0, 0, after, 0], np.int64)
        return self.add("Pad", x, self.constant(pads, f"pads_{before}_{after}"))

    def cut(self, x: str, start: int, end: int, axis: int) -> str:
        limits = [self.whole(f"at_{value}".replace("-", "m"), value) for value in (start, end)]
        return self.add("Slice", x, *limits, self.whole(f"axis_{axis}", axis))

    def model(self, name: str, inputs: _Shapes, outputs: _Shapes) -> Any:
        whole = frozenset({"phones"})
        infos = [
            [
                helper.make_tensor_value_info(
                    key, TensorProto.INT64 if key in whole else TensorProto.FLOAT, size
                )
                for key, size in shapes.items()
            ]
            for shapes in (inputs, outputs)
        ]
        return helper.make_model(
            helper.make_graph(self._nodes, name, *infos, list(self._constants.values())),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="train_scorer",
        )


def export(networks: Sequence[PhoneScorer], folder: Path, provenance: dict[str, str]) -> None:
    """Write `networks`, all of one shape: what listens, and what scores what was heard.

    A line is listened to once and may be scored at several places, hence two files.

    `LISTENER_FILE`: mel (T, bands), T even, to heard (networks, T / 2, channels + classes), and
    posteriors (T / 2, classes), the mean over networks.
    `SCORER_FILE`: heard; phones (P,) int64; pool (parts · P, T / 2); extras (P, extras); members
    (W, P) to phone_scores (networks, P), word_scores (networks, W), line_scores (networks, 4),
    on 0–2.
    """
    state = [
        {key: value.numpy() for key, value in network.state_dict().items()} for network in networks
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in ((LISTENER_FILE, _listener(state)), (SCORER_FILE, _scorer(state))):
        helper.set_model_props(model, {"phones": " ".join(PHONES), **provenance})
        onnx.checker.check_model(model, full_check=True)
        (folder / name).write_bytes(model.SerializeToString())


def _listener(state: _State) -> Any:
    graph = _Graph(state)
    pairs = graph.add("Reshape", "mel", graph.shape(1, -1, 2 * BANDS))
    # Frames, two by two: each step sees the frame before, its own two and the one after.
    left = graph.cut(graph.cut(graph.shifted(pairs, 1, 0), 0, -1, 1), BANDS, 2 * BANDS, 2)
    right = graph.cut(graph.cut(graph.shifted(pairs, 0, 1), 1, _ALL, 1), 0, BANDS, 2)
    x = graph.add("Concat", left, pairs, right, axis=2)
    x = graph.add("Relu", graph.normalised(graph.linear(x, "stem"), "stem_norm"))
    for number, reach in enumerate(DILATIONS):
        before = graph.cut(graph.shifted(x, reach, 0), 0, -reach, 1)
        after = graph.cut(graph.shifted(x, 0, reach), reach, _ALL, 1)
        joined = graph.add("Concat", before, x, after, axis=2)
        mixed = graph.linear(joined, f"body.{number}.mix")
        mixed = graph.normalised(mixed, f"body.{number}.norm")
        x = graph.add("Add", x, graph.add("Relu", mixed))
    log_posteriors = graph.add("LogSoftmax", graph.linear(x, "classify"), axis=-1)
    graph.add("Concat", x, log_posteriors, axis=2, out="heard")
    likely = graph.add("Exp", log_posteriors)
    graph.add("ReduceMean", likely, axes=[0], keepdims=0, out="posteriors")
    return graph.model(
        "phone_listener",
        {"mel": ["frames", BANDS]},
        {"heard": [len(state), "steps", CHANNELS + CLASSES], "posteriors": ["steps", CLASSES]},
    )


def _scorer(state: _State) -> Any:
    graph = _Graph(state)
    pooled = graph.add("MatMul", "pool", "heard")
    acoustic = graph.add(
        "Reshape",
        graph.cut(pooled, 0, CHANNELS, 2),
        graph.shape(len(state), -1, PARTS * CHANNELS),
    )
    thirds = graph.add(
        "Reshape",
        graph.cut(pooled, CHANNELS, _ALL, 2),
        graph.shape(len(state), -1, PARTS, CLASSES),
    )
    evidence = graph.add("ReduceMean", thirds, axes=[2], keepdims=0)
    hot = graph.add(
        "OneHot",
        "phones",
        graph.whole("depth", CLASSES),
        graph.constant(np.array([0, 1], np.float32), "off_on"),
        axis=-1,
    )
    own = graph.add(
        "ReduceSum", graph.add("Mul", evidence, hot), graph.whole("last", 2), keepdims=1
    )
    lead = graph.add("Sub", own, graph.add("ReduceMax", evidence, axes=[2], keepdims=1))
    gain = graph.number("gain", EVIDENCE_GAIN)
    embedded = graph.add(
        "Gather", graph.constant(graph.stacked("embed.weight"), "embed_w"), "phones", axis=1
    )
    copies = graph.constant(np.array([len(state), 1, 1], np.int64), "copies")
    extras = graph.add("Tile", graph.add("Unsqueeze", "extras", graph.whole("first", 0)), copies)
    scaled = [graph.add("Mul", part, gain) for part in (evidence, own, lead)]
    joined = graph.add("Concat", acoustic, *scaled, embedded, extras, axis=2)
    segment = graph.add("Relu", graph.normalised(graph.linear(joined, "join"), "join_norm"))
    around = [_recurrent(graph, segment, one, number) for number, one in enumerate(state)]
    context = graph.add("Concat", *around, axis=0) if len(around) > 1 else around[0]
    heard = graph.add("Concat", context, segment, axis=2)
    each = graph.linear(heard, "score")
    graph.add("Squeeze", each, graph.whole("width", 2), out="phone_scores")
    # Words: the mean of their phones, and the worst of them.
    sizes = graph.add("ReduceSum", "members", graph.whole("across", 1), keepdims=1)
    shares = graph.add("Div", "members", sizes)
    absent = graph.add("Sub", graph.number("one", 1.0), "members")
    away = graph.add("Mul", graph.number("far", FAR), absent)
    others = graph.add("Add", graph.add("Transpose", each, perm=[0, 2, 1]), away)
    of_words = graph.add(
        "Concat",
        graph.add("MatMul", shares, heard),
        graph.add("MatMul", shares, each),
        graph.add("ReduceMin", others, axes=[2], keepdims=1),
        axis=2,
    )
    words = graph.linear(of_words, "word")
    graph.add("Squeeze", words, graph.whole("word_width", 2), out="word_scores")
    line = graph.linear(graph.add("ReduceMean", heard, axes=[1], keepdims=1), "line")
    graph.add("Squeeze", line, graph.whole("middle", 1), out="line_scores")
    return graph.model(
        "phone_scorer",
        {
            "heard": [len(state), "steps", CHANNELS + CLASSES],
            "phones": ["phones"],
            "pool": ["parts", "steps"],
            "extras": ["phones", EXTRAS],
            "members": ["words", "phones"],
        },
        {
            "phone_scores": [len(state), "phones"],
            "word_scores": [len(state), "words"],
            "line_scores": [len(state), LINE_SCORES],
        },
    )


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
