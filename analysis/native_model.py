"""PocketSphinx's acoustic model of American English: Gaussian mixtures of phones in context.

The model was trained on native speech; the wheel carries it as files. Each phone without context
has a codebook of Gaussians, which all its states share; a state is its weights of them. A phone
between two others, a triphone, has states of its own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.phones import PHONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cepstra, their first and their second differences.
STREAMS: Final = 3
STATES: Final = 3
# A row beyond those of `PHONES`.
SILENCE: Final = len(PHONES)
# Where in its word a phone stands, as the model counts it.
INSIDE, FIRST, LAST, ALONE = range(4)
# As PocketSphinx floors them (its `varfloor`).
_LEAST_VARIANCE: Final = 1e-4
# A weight is kept as one byte: −log to the base 1.0001, in steps of 2**10.
_NATS_PER_STEP: Final = 1024 * np.log(1.0001)
_WEIGHTS: Final = np.exp(-np.arange(256) * _NATS_PER_STEP).astype(np.float32)
_BYTE_ORDER: Final = 0x11223344
# Frames at a time: their densities (frames · 5,120 floats) then stay in the processor's cache.
_BLOCK: Final = 128
# Of the best density, which alone a state can lack; keeps its logarithm finite.
_LEAST_SHARE: Final = np.float32(1e-30)
_ENTRY: Final = np.dtype(
    [("states", "<i4"), ("transitions", "<i4"), ("place", "u1"), ("names", "u1", (3,))]
)


@dataclass(frozen=True, eq=False)
class NativeModel:
    """Mixtures of diagonal Gaussians.

    A log density is a scalar product, −½ Σ (x − m)² / v + c = [x², x, 1] · [−½ / v, m / v, c′],
    so that all densities of many frames are one matrix product.

    Attributes
    ----------
    densities : for each stream (40, 2 · 13 + 1, 128) float32, as above.
    weights : for each stream (40, 128, `STATES`) float32, of the phones without context.
    steps : (`STREAMS`, 128, states) uint8, the weights of all states.
    triphones : (n,) int64, sorted: see `_key`.
    states : (n, `STATES`) int64, the states of each triphone.
    single : (40, `STATES`) int64, those of each phone without context.
    """

    densities: tuple[NDArray[np.float32], ...]
    weights: tuple[NDArray[np.float32], ...]
    steps: NDArray[np.uint8]
    triphones: NDArray[np.int64]
    states: NDArray[np.int64]
    single: NDArray[np.int64]

    def states_of(
        self,
        phones: NDArray[np.int64],
        before: NDArray[np.int64],
        after: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return (P, `STATES`) the states of phones between two others.

        Those of the same triphone elsewhere in a word where the model has none at that place, and
        those of the phone without context where it has none at all.

        Parameters
        ----------
        phones, before, after : (P,) rows of `PHONES`, or `SILENCE`.
        places : (P,) of `INSIDE`, `FIRST`, `LAST` and `ALONE`.
        """
        found = self.single[phones]
        for place in (ALONE, LAST, FIRST, INSIDE, places):  # the last that is there counts
            keys = _key(place, phones, before, after)
            rows = np.minimum(np.searchsorted(self.triphones, keys), len(self.triphones) - 1)
            there = self.triphones[rows] == keys
            found[there] = self.states[rows[there]]
        return found

    def fits(
        self,
        features: NDArray[np.float32],
        phones: NDArray[np.int64],
        states: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return (frames,) how well each frame fits the phone it belongs to, in nats.

        The log likelihood of the best of the given states less that of the best state of all
        phones without context; a triphone can fit better than any of those.

        Parameters
        ----------
        features : (`STREAMS`, frames, 13), see `analysis.cepstra`.
        phones : (frames,) rows of `PHONES`.
        states : (frames, `STATES`) of that phone, see `states_of`.
        """
        blocks = [slice(at, at + _BLOCK) for at in range(0, len(phones), _BLOCK)]
        return np.concatenate(
            [self._fits(features[:, block], phones[block], states[block]) for block in blocks]
        )

    def _fits(
        self,
        features: NDArray[np.float32],
        phones: NDArray[np.int64],
        states: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        count = len(phones)
        frames = np.arange(count)
        everywhere = np.zeros((len(PHONES) + 1, count, STATES), dtype=np.float32)
        here = np.zeros((count, STATES), dtype=np.float32)
        for stream, x in enumerate(features):
            terms = np.concatenate((x * x, x, np.ones((count, 1), np.float32)), axis=1)
            shares = terms @ self.densities[stream]
            most = shares.max(axis=2, keepdims=True)
            shares -= most
            np.exp(shares, out=shares)
            everywhere += np.log(np.maximum(shares @ self.weights[stream], _LEAST_SHARE)) + most
            own = _WEIGHTS[self.steps[stream][:, states]].transpose(1, 0, 2)
            held = (shares[phones, frames][:, None] @ own)[:, 0] / own.sum(axis=1)
            here += np.log(np.maximum(held, _LEAST_SHARE)) + most[phones, frames]
        fits: NDArray[np.float64] = (here.max(axis=1) - everywhere.max(axis=(0, 2))).astype(float)
        return fits


@cache
def load_native_model() -> NativeModel:
    """Read the model from PocketSphinx's wheel."""
    from pocketsphinx import get_model_path

    folder = Path(get_model_path("en-us/en-us"))
    names, entries, sequences = _definition(folder / "mdef")
    steps = _steps(folder / "sendump")
    codebooks = [names.index(phone) for phone in (*PHONES, "SIL")]
    means = _gaussians(folder / "means")[codebooks].astype(np.float64)
    variances = np.maximum(_gaussians(folder / "variances")[codebooks], _LEAST_VARIANCE)
    variances = variances.astype(np.float64)
    constants = -0.5 * (np.log(2.0 * np.pi * variances) + means**2 / variances).sum(
        axis=-1, keepdims=True
    )
    terms = np.concatenate((-0.5 / variances, means / variances, constants), axis=-1)
    single = sequences[entries["states"][codebooks]]
    weights = _WEIGHTS[steps[:, :, single]].transpose(0, 2, 1, 3)
    weights /= weights.sum(axis=2, keepdims=True)
    # Rows of ours for the model's own numbers; noises, which the line has none of, stand beside
    # no phone.
    rows = np.full(len(names), -1)
    rows[codebooks] = np.arange(len(codebooks))
    triphones = entries[len(names) :]
    known = (rows[triphones["names"]] >= 0).all(axis=1)
    keys = _key(triphones["place"][known].astype(np.int64), *rows[triphones["names"][known]].T)
    order = np.argsort(keys, kind="stable")
    return NativeModel(
        tuple(np.ascontiguousarray(one, np.float32) for one in terms.transpose(1, 0, 3, 2)),
        tuple(np.ascontiguousarray(one) for one in weights),
        steps,
        keys[order],
        sequences[triphones["states"][known]][order],
        single,
    )


def _key(
    place: NDArray[np.int64] | int,
    phone: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return one number for a phone between two others at a place in its word."""
    base = len(PHONES) + 1
    keys: NDArray[np.int64] = ((place * base + phone) * base + before) * base + after
    return keys


def _definition(path: Path) -> tuple[list[str], NDArray[np.void], NDArray[np.int64]]:
    """Read the phones' names, an entry a phone or triphone, and sequences of states.

    An entry names its sequence, its place in a word, and its phone, the one before and the one
    after. The first entries are those of the phones without context.
    """
    data = path.read_bytes()
    kind, _, length = struct.unpack_from("<4s2i", data)
    if kind != b"BMDF":
        raise _other_form(path)
    counts = 12 + length  # after a description of the format
    phones, entries, states, _, _, _, sequences, _, nodes, _ = struct.unpack_from(
        "<10i", data, counts
    )
    names = data[counts + 40 :].split(b"\0", phones)[:phones]
    size = sum(len(name) + 1 for name in names)
    at = counts + 40 + -(-size // 4) * 4 + 8 * nodes  # after a search tree of the triphones
    end = at + _ENTRY.itemsize * entries
    if states != STATES or struct.unpack_from("<i", data, end)[0] != sequences * states:
        raise _other_form(path)
    return (
        [name.decode() for name in names],
        np.frombuffer(data, _ENTRY, entries, at),
        np.frombuffer(data, "<u2", sequences * states, end + 4).reshape(-1, states).astype(int),
    )


def _gaussians(path: Path) -> NDArray[np.float32]:
    """Read means or variances: (codebooks, `STREAMS`, densities, dimensions)."""
    data = path.read_bytes()
    end = b"endhdr\n"
    at = data.index(end) + len(end)
    order, codebooks, streams, densities = struct.unpack_from("<4i", data, at)
    if order != _BYTE_ORDER or streams != STREAMS:
        raise _other_form(path)
    sizes = struct.unpack_from(f"<{streams}i", data, at + 16)
    shape = (codebooks, streams, densities, sizes[0])
    values = at + 16 + 4 * streams + 4
    return np.frombuffer(data, "<f4", int(np.prod(shape)), values).reshape(shape)


def _steps(path: Path) -> NDArray[np.uint8]:
    """Read the weights of all states: (`STREAMS`, densities, states)."""
    data = path.read_bytes()
    at = 0
    while length := struct.unpack_from("<i", data, at)[0]:  # lines of text, the last of none
        at += 4 + length
    densities, states = struct.unpack_from("<2i", data, at + 4)
    shape = (STREAMS, densities, states)
    if len(data) != at + 12 + int(np.prod(shape)):
        raise _other_form(path)
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), at + 12).reshape(shape)


def _other_form(path: Path) -> ValueError:
    return ValueError(
        f"{path.name} of PocketSphinx's en-us model is of another form than this version reads; "
        "install the pocketsphinx that requirements.txt names."
    )
