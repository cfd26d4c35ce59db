"""PocketSphinx's acoustic model of American English: Gaussian mixtures of phones in context.

The model was trained on native speech; the wheel carries it as files. Each phone has a codebook
of Gaussians, shared by all its senones (tied states), which are weights of them. A triphone, a
phone between two others, has senones of its own.
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
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Cepstra, their deltas and the deltas of those.
STREAMS: Final = 3
STATES: Final = 3
# Positions in a word, as the model counts them: a phone alone is both first and last.
INSIDE, FIRST, LAST, ALONE = range(4)
# As PocketSphinx floors them (its `varfloor`).
_LEAST_VARIANCE: Final = 1e-4
# A weight is kept as one byte: −log to the base 1.0001, in steps of 2**10.
_WEIGHTS: Final = np.exp(-1024 * np.log(1.0001) * np.arange(256)).astype(np.float32)
_BYTE_ORDER: Final = 0x11223344
# Frames at a time: their densities (frames · 5,120 floats) then stay in the processor's cache.
_BLOCK: Final = 128
_NO_PHONES: Final = np.zeros(0, dtype=np.int64)
_NO_SENONES: Final = np.zeros((0, STATES), dtype=np.int64)
# Of the best density, which alone a senone can lack; keeps its logarithm finite.
_LEAST_SHARE: Final = np.float32(1e-30)
_ENTRY: Final = np.dtype(
    [("sequence", "<i4"), ("transitions", "<i4"), ("position", "u1"), ("names", "u1", (3,))]
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
    quantised : (`STREAMS`, 128, senones) uint8, the weights of all senones.
    triphones : (n,) int64, sorted: see `_key`.
    senones : (n, `STATES`) int64, those of each triphone.
    monophones : (40, `STATES`) int64, those of each phone without context.
    """

    densities: tuple[NDArray[np.float32], ...]
    weights: tuple[NDArray[np.float32], ...]
    quantised: NDArray[np.uint8]
    triphones: NDArray[np.int64]
    senones: NDArray[np.int64]
    monophones: NDArray[np.int64]

    def senones_of(
        self,
        phones: NDArray[np.int64],
        before: NDArray[np.int64],
        after: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return (P, `STATES`) the senones of phones between two others.

        Those of the same triphone elsewhere in a word where the model has none at that position,
        and those of the phone without context where it has none at all.

        Parameters
        ----------
        phones, before, after : (P,) rows of `PHONES`, or `SILENCE`.
        positions : (P,) of `INSIDE`, `FIRST`, `LAST` and `ALONE`.
        """
        found = self.monophones[phones]
        for position in (ALONE, LAST, FIRST, INSIDE, positions):  # the last that is there counts
            keys = _key(position, phones, before, after)
            rows = np.searchsorted(self.triphones, keys)
            there = np.append(self.triphones, -1)[rows] == keys
            found[there] = self.senones[rows[there]]
        return found

    def hear(
        self,
        features: NDArray[np.float32],
        phones: NDArray[np.int64] = _NO_PHONES,
        senones: NDArray[np.int64] = _NO_SENONES,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the log likelihoods of frames, nats, less that in each frame's best senone.

        The best is that of all phones without context; a triphone can be likelier than any of them.

        Parameters
        ----------
        features : (`STREAMS`, n, 13), see `analysis.cepstra`.
        phones : (m,) rows of `PHONES`, of the first m of these frames; m is at most n.
        senones : (m, `STATES`) of each of those, see `senones_of`.

        Returns
        -------
        (n, 40, `STATES`), each frame in the senones of every phone without context, silence last;
        and (m,), each of the first frames in the best of the senones that are given for it.
        """
        everywhere, own = [], []
        for at in range(0, features.shape[1], _BLOCK):
            block = slice(at, at + _BLOCK)
            given = phones[block]
            frames = np.arange(len(given))
            of_all = np.zeros((1, 1, 1), dtype=np.float32)
            of_own = np.zeros((len(given), STATES), dtype=np.float32)
            for stream, shares, best in self._shares(features[:, block]):
                of_all = of_all + _log_mixtures(shares, self.weights[stream], best)
                weights = _WEIGHTS[self.quantised[stream][:, senones[block]]].transpose(1, 0, 2)
                weights /= weights.sum(axis=1, keepdims=True)
                codebook, highest = shares[given, frames][:, None], best[given, frames][:, None]
                of_own += _log_mixtures(codebook, weights, highest)[:, 0]
            likeliest = of_all.max(axis=(0, 2))
            everywhere.append((of_all - likeliest[:, None]).transpose(1, 0, 2))
            own.append(of_own.max(axis=1) - likeliest[: len(given)])
        return np.concatenate(everywhere), np.concatenate(own)

    def _shares(
        self, features: NDArray[np.float32]
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
        """Yield each stream's densities (40, frames, 128), over the best of each codebook, its log.

        So scaled the exponential does not vanish.
        """
        for stream, x in enumerate(features):
            terms = np.concatenate((x * x, x, np.ones((len(x), 1), np.float32)), axis=1)
            densities = terms @ self.densities[stream]
            best = densities.max(axis=2, keepdims=True)
            densities -= best
            yield stream, np.exp(densities, out=densities), best


def _log_mixtures(
    shares: NDArray[np.float32], weights: NDArray[np.float32], best: NDArray[np.float32]
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = np.log(np.maximum(shares @ weights, _LEAST_SHARE)) + best
    return mixed


@cache
def load_native_model(folder: Path | None = None) -> NativeModel:
    """Read the model, PocketSphinx's own en-us unless another folder is given.

    Raises
    ------
    ValueError
        The files are not there, are broken, or are of another form.
    """
    if folder is None:
        from pocketsphinx import get_model_path

        folder = Path(get_model_path("en-us/en-us"))
    try:
        return _read(folder)
    except (OSError, struct.error, ValueError) as error:
        raise ValueError(
            f"The acoustic model in {folder} cannot be read ({error}). Install pocketsphinx 5.1, "
            "whose wheel carries it."
        ) from error


def _read(folder: Path) -> NativeModel:
    names, entries, sequences = _definition(folder / "mdef")
    quantised = _mixture_weights(folder / "sendump")
    codebooks = [names.index(phone) for phone in (*PHONES, "SIL")]
    means = _gaussians(folder / "means")[codebooks].astype(np.float64)
    variances = np.maximum(_gaussians(folder / "variances")[codebooks], _LEAST_VARIANCE)
    variances = variances.astype(np.float64)
    constants = -0.5 * (np.log(2.0 * np.pi * variances) + means**2 / variances).sum(
        axis=-1, keepdims=True
    )
    terms = np.concatenate((-0.5 / variances, means / variances, constants), axis=-1)
    monophones = sequences[entries["sequence"][codebooks]]
    weights = _WEIGHTS[quantised[:, :, monophones]].transpose(0, 2, 1, 3)
    weights /= weights.sum(axis=2, keepdims=True)
    # Rows of ours for the model's own numbers; noises, which the line has none of, stand beside
    # no phone.
    rows = np.full(len(names), -1)
    rows[codebooks] = np.arange(len(codebooks))
    triphones = entries[len(names) :]
    known = (rows[triphones["names"]] >= 0).all(axis=1)
    keys = _key(triphones["position"][known].astype(np.int64), *rows[triphones["names"][known]].T)
    order = np.argsort(keys, kind="stable")
    return NativeModel(
        tuple(np.ascontiguousarray(one, np.float32) for one in terms.transpose(1, 0, 3, 2)),
        tuple(np.ascontiguousarray(one) for one in weights),
        quantised,
        keys[order],
        sequences[triphones["sequence"][known]][order],
        monophones,
    )


def _key(
    position: NDArray[np.int64] | int,
    phone: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return one number for a phone between two others at a position in its word."""
    base = len(PHONES) + 1
    keys: NDArray[np.int64] = ((position * base + phone) * base + before) * base + after
    return keys


def _definition(path: Path) -> tuple[list[str], NDArray[np.void], NDArray[np.int64]]:
    """Read the phones' names, an entry a phone or triphone, and sequences of senones.

    An entry names its sequence, its position in a word, and its phone, the one before and the one
    after. The first entries are those of the phones without context.
    """
    data = path.read_bytes()
    kind, _, length = struct.unpack_from("<4s2i", data)
    counts = 12 + length  # after a description of the format
    phones, entries, states, _, _, _, sequences, _, nodes, _ = struct.unpack_from(
        "<10i", data, counts
    )
    if kind != b"BMDF" or states != STATES:
        raise _other_form(path)
    names = data[counts + 40 :].split(b"\0", phones)[:phones]
    size = sum(len(name) + 1 for name in names)
    at = counts + 40 + -(-size // 4) * 4 + 8 * nodes  # after a search tree of the triphones
    end = at + _ENTRY.itemsize * entries
    if struct.unpack_from("<i", data, end)[0] != sequences * states:
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
    *sizes, values = struct.unpack_from(f"<{streams + 1}i", data, at + 16)
    shape = (codebooks, streams, densities, sizes[0])
    if len(set(sizes)) > 1 or values != np.prod(shape):
        raise _other_form(path)
    return np.frombuffer(data, "<f4", values, at + 16 + 4 * (streams + 1)).reshape(shape)


def _mixture_weights(path: Path) -> NDArray[np.uint8]:
    """Read the weights of all senones: (`STREAMS`, densities, senones)."""
    data = path.read_bytes()
    at = 0
    while length := struct.unpack_from("<I", data, at)[0]:  # lines of text, the last of none
        at += 4 + length
    densities, senones = struct.unpack_from("<2i", data, at + 4)
    shape = (STREAMS, densities, senones)
    if len(data) != at + 12 + int(np.prod(shape)):
        raise _other_form(path)
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), at + 12).reshape(shape)


def _other_form(path: Path) -> ValueError:
    return ValueError(f"{path.name} is of another form than is read here")
