"""The vicinal stream: who is mixed with whom, how much, and from which crop, as a pure function of (seed, epoch, slot).

Nothing here depends on a device, a batch size, a worker or what was drawn before, so a teacher's logits on the stream
can be computed once and shared by every student that trains on it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv

from kd_core.config import MixupConfig, ViewConfig


@dataclass(frozen=True)
class VicinalEpoch:
    """One epoch of the stream, by slot: order int64 [N], mixup_lambda float32 [N], crop int64 [N, 2], flip bool [N].

    Slot n holds image order[n], cropped at row and column crop[n] of the padded image, and is mixed with slot n XOR 1:
    x̃ = λ·view + (1 − λ)·partner's view. The last slot of an odd number is its own partner.
    """

    order: torch.Tensor
    mixup_lambda: torch.Tensor
    crop: torch.Tensor
    flip: torch.Tensor

    def to(self, device: torch.device | str) -> "VicinalEpoch":
        """The same epoch on another device."""
        return VicinalEpoch(*(part.to(device) for part in (self.order, self.mixup_lambda, self.crop, self.flip)))


@dataclass(frozen=True)
class VicinalBatch:
    """What a step sees: images float32 [B, 3, H, W] in [0, 1], labels and their partners' [B], mixup_lambda [B]."""

    images: torch.Tensor
    labels: torch.Tensor
    partner_labels: torch.Tensor
    mixup_lambda: torch.Tensor


@dataclass(frozen=True)
class VicinalStream:
    """The stream of one seed over num_samples training images."""

    seed: int
    num_samples: int
    mixup: MixupConfig
    view: ViewConfig

    def epoch(self, epoch: int) -> VicinalEpoch:
        """Draw epoch 1, 2, …; each quantity has a counter of its own, so that λ does not depend on the view, say."""
        count = self.num_samples
        offsets = 2 * self.view.padding + 1
        rows, columns = (np.floor(self._uniform(epoch, draw) * offsets) for draw in (_ROW, _COLUMN))
        return VicinalEpoch(
            order=torch.from_numpy(np.argsort(self._raw(epoch, _ORDER), kind="stable")),
            mixup_lambda=torch.from_numpy(self._mixup_lambda(epoch).astype(np.float32)),
            crop=torch.from_numpy(np.stack([rows, columns], axis=1).astype(np.int64)),
            flip=torch.from_numpy((self._uniform(epoch, _FLIP) < 0.5) & np.full(count, self.view.flip)),
        )

    def _mixup_lambda(self, epoch: int) -> np.ndarray:
        count, mixup = self.num_samples, self.mixup
        if mixup.distribution == "off":
            return np.ones(count)
        values = self._uniform(epoch, _LAMBDA)
        if mixup.concentration is not None:
            values = betaincinv(mixup.concentration, mixup.concentration, values)
        unmixed = np.argsort(self._raw(epoch, _FRACTION), kind="stable")[round(mixup.fraction * count) :]
        values[unmixed] = 1.0
        return values

    def _raw(self, epoch: int, draw: int) -> np.ndarray:
        """uint64 [N] from the counter-based generator of Salmon 2011, whose raw output numpy never changes."""
        return np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 0, draw]).random_raw(self.num_samples)

    def _uniform(self, epoch: int, draw: int) -> np.ndarray:
        """float64 [N] in the open interval (0, 1)."""
        return ((self._raw(epoch, draw) >> np.uint64(12)) + 0.5) * 2.0**-52


_ORDER, _LAMBDA, _FRACTION, _ROW, _COLUMN, _FLIP = range(6)


def batch_slots(num_samples: int, batch_size: int) -> list[slice]:
    """The slots of each step; a last batch of one slot is left out, since batch normalisation needs two."""
    starts = range(0, num_samples, batch_size)
    slots = [slice(start, min(start + batch_size, num_samples)) for start in starts]
    return [each for each in slots if each.stop - each.start > 1]


def render(images: torch.Tensor, labels: torch.Tensor, epoch: VicinalEpoch, slots: slice, padding: int) -> VicinalBatch:
    """The mixed batch of some slots, by indexing images uint8 [N, H, W, 3] and labels [N] on their own device.

    slots must start at an even slot. Cropping pads with zeros (black), flipping follows it, mixing is in pixel space.
    """
    order, mixup_lambda = epoch.order[slots], epoch.mixup_lambda[slots]
    partner = _partners(len(order), order.device)
    views = _views(images[order], epoch.crop[slots] - padding, epoch.flip[slots])
    weight = mixup_lambda[:, None, None, None]
    views = weight * views + (1 - weight) * views[partner]
    own = labels[order]
    return VicinalBatch(views.permute(0, 3, 1, 2).contiguous(), own, own[partner], mixup_lambda)


def _partners(count: int, device: torch.device) -> torch.Tensor:
    return (torch.arange(count, device=device) ^ 1).clamp(max=count - 1)


def _views(images: torch.Tensor, shift: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    """float32 [B, H, W, 3] in [0, 1]: each image moved by its shift [B, 2], zeros beyond its edges, then flipped."""
    count, height, width, _ = images.shape
    device = images.device
    rows = torch.arange(height, device=device) + shift[:, :1]
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(flip[:, None], width - 1 - columns, columns) + shift[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    views = images[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return (views * inside[..., None]).float() / 255
