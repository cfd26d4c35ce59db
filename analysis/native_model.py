"""PocketSphinx's acoustic model of American English, as Gaussian mixtures of single phones.

The model was trained on native speech; the wheel carries it as files. Only its states without
context are read here: three for each phone.
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
# As PocketSphinx floors them (its `varfloor`).
_LEAST_VARIANCE: Final = 1e-4
# A weight is kept as one byte: −log to the base 1.0001, in steps of 2**10.
_NATS_PER_STEP: Final = 1024 * np.log(1.0001)
_BYTE_ORDER: Final = 0x11223344
# Frames at a time: their densities (frames · 5,120 floats) then stay in the processor's cache.
_BLOCK: Final = 128
# Of the best density, which alone a state can lack; keeps its logarithm finite.
_LEAST_SHARE: Final = np.float32(1e-30)


@dataclass(frozen=True, eq=False)
class NativeModel:
    """Mixtures of diagonal Gaussians: a codebook a phone, in which its states share densities.

    A log density is a scalar product, −½ Σ (x − m)² / v + c = [x², x, 1] · [−½ / v, m / v, c′],
    so that all densities of many frames are one matrix product.

    Attributes
    ----------
    densities : for each stream (40, 2 · 13 + 1, 128) float32, as above.
    weights : for each stream (40, 128, `STATES`) float32, of the densities in each state.
    """

    densities: tuple[NDArray[np.float32], ...]
    weights: tuple[NDArray[np.float32], ...]

    def fits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how well each phone fits each frame beside whichever fits best.

        Parameters
        ----------
        features : (`STREAMS`, frames, 13), see `analysis.cepstra`.

        Returns
        -------
        (frames, 40) log likelihood of each phone's best state less that of the best of all
        states, nats, at most 0; the rows of `PHONES`, then silence.
        """
        frames = features.shape[1]
        fits = np.empty((frames, len(PHONES) + 1), dtype=np.float32)
        for start in range(0, frames, _BLOCK):
            block = slice(start, start + _BLOCK)
            best = self._states(features[:, block]).max(axis=2)
            fits[block] = (best - best.max(axis=0)).T
        return fits

    def _states(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (40, frames, `STATES`) log likelihoods."""
        total = np.zeros((len(PHONES) + 1, features.shape[1], STATES), dtype=np.float32)
        for x, densities, weights in zip(features, self.densities, self.weights, strict=True):
            terms = np.concatenate((x * x, x, np.ones((len(x), 1), np.float32)), axis=1)
            logs = terms @ densities
            most = logs.max(axis=2, keepdims=True)
            logs -= most
            np.exp(logs, out=logs)
            total += np.log(np.maximum(logs @ weights, _LEAST_SHARE)) + most
        return total


@cache
def load_native_model() -> NativeModel:
    """Read the model from PocketSphinx's wheel."""
    from pocketsphinx import get_model_path

    folder = Path(get_model_path("en-us/en-us"))
    names = _phone_names(folder / "mdef")
    rows = [names.index(phone) for phone in (*PHONES, "SIL")]
    means = _gaussians(folder / "means")[rows].astype(np.float64)
    variances = np.maximum(_gaussians(folder / "variances")[rows], _LEAST_VARIANCE).astype(float)
    constants = -0.5 * (np.log(2.0 * np.pi * variances) + means**2 / variances).sum(
        axis=-1, keepdims=True
    )
    terms = np.concatenate((-0.5 / variances, means / variances, constants), axis=-1)
    weights = _weights(folder / "sendump", means.shape[2], STATES * len(names))
    weights = weights.reshape(STREAMS, -1, len(names), STATES)[:, :, rows].transpose(0, 2, 1, 3)
    weights = weights / weights.sum(axis=2, keepdims=True)
    by_stream = terms.transpose(1, 0, 3, 2)
    return NativeModel(
        tuple(np.ascontiguousarray(one, np.float32) for one in by_stream),
        tuple(np.ascontiguousarray(one, np.float32) for one in weights),
    )


def _phone_names(path: Path) -> list[str]:
    """Read the names of the phones without context, in the order of their codebooks."""
    data = path.read_bytes()
    _, length = struct.unpack_from("<2i", data, 4)  # after the four letters of its kind
    counts = 12 + length  # after a description of the format
    (phones,) = struct.unpack_from("<i", data, counts)
    return [name.decode() for name in data[counts + 40 :].split(b"\0", phones)[:phones]]


def _gaussians(path: Path) -> NDArray[np.float32]:
    """Read means or variances: (codebooks, `STREAMS`, densities, dimensions)."""
    data = path.read_bytes()
    end = b"endhdr\n"
    at = data.index(end) + len(end)
    order, codebooks, streams, densities = struct.unpack_from("<4i", data, at)
    if order != _BYTE_ORDER or streams != STREAMS:
        raise ValueError(f"{path.name} of PocketSphinx's model is of another form than is read.")
    sizes = struct.unpack_from(f"<{streams}i", data, at + 16)
    shape = (codebooks, streams, densities, sizes[0])
    values = at + 16 + 4 * streams + 4
    return np.frombuffer(data, "<f4", int(np.prod(shape)), values).reshape(shape)


def _weights(path: Path, densities: int, states: int) -> NDArray[np.float64]:
    """Read the weights of the first states: (`STREAMS`, densities, states)."""
    data = path.read_bytes()
    at = 0
    while length := struct.unpack_from("<i", data, at)[0]:  # lines of text, the last of none
        at += 4 + length
    rows, columns = struct.unpack_from("<2i", data, at + 4)
    shape = (STREAMS, rows, columns)
    if rows != densities or len(data) != at + 12 + int(np.prod(shape)):
        raise ValueError(f"{path.name} of PocketSphinx's model is of another form than is read.")
    steps = np.frombuffer(data, "u1", int(np.prod(shape)), at + 12).reshape(shape)
    weights: NDArray[np.float64] = np.exp(-steps[:, :, :states] * _NATS_PER_STEP)
    return weights
