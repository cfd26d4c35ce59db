"""The phone network: log-mel frames and canonical phones in, posteriors and scores out."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.features import BANDS
from analysis.phones import PHONES
from analysis.segments import EXTRAS, PARTS

CLASSES: Final = len(PHONES) + 1  # the last is silence
CHANNELS: Final = 128
DILATIONS: Final = (1, 1, 2, 2, 4, 4)
PHONE_CHANNELS: Final = 32
SEGMENT_CHANNELS: Final = 128
LINE_SCORES: Final = 4  # accuracy, fluency, prosodic, total
RECURRENT_CHANNELS: Final = 64
# Log posteriors reach −20: brought to the size of the other inputs.
EVIDENCE_GAIN: Final = 0.3
USUAL_SCORE: Final = 1.7  # where the heads begin
FAR: Final = 10.0  # beyond any score: a phone of another word is never the worst


class Context(nn.Module):  # type: ignore[misc]
    """Three frames, `dilation` apart, to one: a residual step of a time-delay network.

    Written as one matrix product over joined frames, which a CPU does three times as fast
    as a depthwise convolution of the same reach.
    """

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.mix = nn.Linear(3 * channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.dropout = (
            dropout  # of whole channels: a mask for every frame costs a sixth of the time
        )

    def forward(self, x: Tensor) -> Tensor:
        """Mix each frame with its neighbours: (B, frames, channels) to the same."""
        reach = self.dilation
        padded = functional.pad(x, (0, 0, reach, reach))
        left, right = padded[:, : -2 * reach], padded[:, 2 * reach :]
        mixed = self.mix(torch.cat((left, x, right), dim=-1))
        return x + self._without_some(functional.relu(self.norm(mixed)))

    def _without_some(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.full((x.shape[0], 1, x.shape[2]), 1.0 - self.dropout)
        return x * (torch.bernoulli(kept) / (1.0 - self.dropout))


class PhoneScorer(nn.Module):  # type: ignore[misc]
    """Frames to phone posteriors, and each canonical phone to a score.

    Inputs (a batch of B lines of T log-mel frames and P phones):
    mel (B, T, bands), phones (B, P) int64, pool (B, parts · P, frames), extras (B, P, extras),
    members (B, W, P), 1 where a phone belongs to a word, and the count of phones (B,).
    Returns log posteriors (B, frames, classes), the scores of phones (B, P), 0–2 as the experts
    gave them, of words (B, W) and of the line (B, 4), both brought to 0–2.
    """

    def __init__(self, dropout: float = 0.15) -> None:
        super().__init__()
        self.stem = nn.Linear(4 * BANDS, CHANNELS)
        self.stem_norm = nn.LayerNorm(CHANNELS)
        self.body = nn.ModuleList(Context(CHANNELS, d, dropout) for d in DILATIONS)
        self.classify = nn.Linear(CHANNELS, CLASSES)
        self.embed = nn.Embedding(len(PHONES), PHONE_CHANNELS)
        joined = PARTS * CHANNELS + CLASSES + 2 + PHONE_CHANNELS + EXTRAS
        self.join = nn.Linear(joined, SEGMENT_CHANNELS)
        self.join_norm = nn.LayerNorm(SEGMENT_CHANNELS)
        self.dropout = nn.Dropout(2 * dropout)
        self.context = nn.GRU(
            SEGMENT_CHANNELS, RECURRENT_CHANNELS, batch_first=True, bidirectional=True
        )
        width = 2 * RECURRENT_CHANNELS + SEGMENT_CHANNELS
        self.score = nn.Linear(width, 1)
        self.word = nn.Linear(width + 2, 1)
        self.line = nn.Linear(width, LINE_SCORES)
        for head in (self.score, self.word, self.line):
            nn.init.constant_(head.bias, USUAL_SCORE)

    def frames(self, mel: Tensor) -> Tensor:
        """Halve the frame rate and look around: (B, T, bands) to (B, frames, channels)."""
        odd = mel.shape[1] % 2
        padded = functional.pad(mel, (0, 0, 1, 2 + odd))
        joined = torch.cat([padded[:, k : k + mel.shape[1] + odd : 2] for k in range(4)], dim=-1)
        x = functional.relu(self.stem_norm(self.stem(joined)))
        for step in self.body:
            x = step(x)
        return x

    def forward(  # noqa: PLR0917 - torch calls it so
        self,
        mel: Tensor,
        phones: Tensor,
        pool: Tensor,
        extras: Tensor,
        members: Tensor,
        counts: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return log posteriors, phone, word and line scores; see the class."""
        x = self.frames(mel)
        posteriors = torch.log_softmax(self.classify(x), dim=-1)
        batch, count = phones.shape
        pooled = torch.bmm(pool, torch.cat((x, posteriors), dim=-1))
        acoustic = pooled[:, :, :CHANNELS].reshape(batch, count, PARTS * CHANNELS)
        evidence = pooled[:, :, CHANNELS:].reshape(batch, count, PARTS, CLASSES).mean(dim=2)
        evidence = evidence * EVIDENCE_GAIN
        own = torch.gather(evidence, 2, phones.unsqueeze(-1))
        best = evidence.max(dim=2, keepdim=True).values
        joined = torch.cat(
            (acoustic, evidence, own, own - best, self.embed(phones), extras), dim=-1
        )
        segment = self.dropout(functional.relu(self.join_norm(self.join(joined))))
        packed = nn.utils.rnn.pack_padded_sequence(
            segment, counts, batch_first=True, enforce_sorted=False
        )
        around, _ = nn.utils.rnn.pad_packed_sequence(
            self.context(packed)[0], batch_first=True, total_length=count
        )
        heard = self.dropout(torch.cat((around, segment), dim=-1))
        scores = self.score(heard)
        # A word is as good as its phones, and as its worst phone; the rest is learnt.
        shares = members / members.sum(dim=2, keepdim=True).clamp(min=1.0)
        worst = (scores.transpose(1, 2) + FAR * (1.0 - members)).min(dim=2, keepdim=True).values
        of_words = torch.cat((torch.bmm(shares, heard), torch.bmm(shares, scores), worst), dim=-1)
        words = self.word(of_words).squeeze(-1)
        spoken = members.amax(dim=1).unsqueeze(-1)
        line = self.line((heard * spoken).sum(dim=1) / spoken.sum(dim=1))
        return posteriors, scores.squeeze(-1), words, line
