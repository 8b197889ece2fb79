"""The vicinal stream: image order, mixup partners, λ, crops and flips as a pure function of (seed, epoch, slot).

Nothing here depends on the device, the batch size, the workers or earlier draws, so a teacher's logits on the stream
can be computed once and shared by every student that trains on it.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from scipy.special import betaincinv
from torch.nn.functional import pad

from kd_core.config.data import MixupConfig, ViewConfig


@dataclass(frozen=True)
class VicinalEpoch:
    """One epoch of the stream, by slot: order int64 [N], mixup_lambda float32 [N], flip bool [N], crop and box.

    Slot n holds image order[n] and is mixed with slot n XOR 1: x̃ = λ·view + (1 − λ)·partner's view. If N is odd, the
    last slot is its own partner. A padded crop starts at row and column crop[n], int64 [N, 2], of the padded image. A
    resized crop is box[n], float64 [N, 4]: its height and width in units of √(H·W), and its top and left offsets as
    fractions of the free space.
    """

    order: torch.Tensor
    mixup_lambda: torch.Tensor
    crop: torch.Tensor
    box: torch.Tensor
    flip: torch.Tensor

    def to(self, device: torch.device | str) -> "VicinalEpoch":
        """The same epoch on another device."""
        return self._each(lambda part: part.to(device))

    def at(self, slots: slice) -> "VicinalEpoch":
        """Only these slots."""
        return self._each(lambda part: part[slots])

    def _each(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "VicinalEpoch":
        return VicinalEpoch(*(function(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class VicinalBatch:
    """The input of a step: images float32 [B, 3, H, W] in [0, 1], labels, partner_labels and mixup_lambda [B]."""

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
        """Draw epoch 1, 2, …; each quantity has its own counter, so λ, for example, does not depend on the view."""
        count = self.num_samples
        offsets = 2 * self.view.padding + 1
        rows, columns = (np.floor(self._uniform(epoch, draw) * offsets) for draw in (_ROW, _COLUMN))
        return VicinalEpoch(
            order=torch.from_numpy(np.argsort(self._raw(epoch, _ORDER), kind="stable")),
            mixup_lambda=torch.from_numpy(self._mixup_lambda(epoch).astype(np.float32)),
            crop=torch.from_numpy(np.stack([rows, columns], axis=1).astype(np.int64)),
            box=torch.from_numpy(self._box(epoch)),
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

    def _box(self, epoch: int) -> np.ndarray:
        """Area uniform in view.scale, aspect ratio log-uniform from 3/4 to 4/3, position uniform (Szegedy 2015)."""
        smallest, largest = self.view.scale
        area = smallest + (largest - smallest) * self._uniform(epoch, _AREA)
        aspect = np.exp((2 * self._uniform(epoch, _ASPECT) - 1) * np.log(4 / 3))
        places = (self._uniform(epoch, draw) for draw in (_ROW, _COLUMN))
        return np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect), *places], axis=1)

    def _raw(self, epoch: int, draw: int) -> np.ndarray:
        """uint64 [N] from the counter-based generator of Salmon 2011, whose raw output numpy never changes."""
        return np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 0, draw]).random_raw(self.num_samples)

    def _uniform(self, epoch: int, draw: int) -> np.ndarray:
        """float64 [N] in the open interval (0, 1)."""
        return ((self._raw(epoch, draw) >> np.uint64(12)) + 0.5) * 2.0**-52


_ORDER, _LAMBDA, _FRACTION, _ROW, _COLUMN, _FLIP, _AREA, _ASPECT = range(8)


def all_slots(num_samples: int, batch_size: int) -> list[slice]:
    """All slots of an epoch, in batches."""
    return [slice(start, min(start + batch_size, num_samples)) for start in range(0, num_samples, batch_size)]


def batch_slots(num_samples: int, batch_size: int) -> list[slice]:
    """The slots of each step; a last batch of one slot is left out, since batch normalisation needs two."""
    return [slots for slots in all_slots(num_samples, batch_size) if slots.stop - slots.start > 1]


class ViewSource(Protocol):
    """A source of mixed training batches: equal epochs give equal batches, wherever the images are stored."""

    def batches(self, epoch: VicinalEpoch, steps: Sequence[slice]) -> Iterator[VicinalBatch]:
        """Yield one mixed batch per step, on the training device; each step starts at an even slot."""
        ...


class ViewsInMemory:
    """Views of images uint8 [N, H, W, 3] that are stored on the device, rendered by indexing."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, view: ViewConfig, device: torch.device | str) -> None:
        self.view, self.labels = view, torch.tensor(labels, device=device)
        with warnings.catch_warnings():  # on a CPU the tensor shares the array's memory, which is only ever read
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self.images = torch.from_numpy(images).to(device)

    def batches(self, epoch: VicinalEpoch, steps: Sequence[slice]) -> Iterator[VicinalBatch]:
        """Yield one mixed batch per step."""
        epoch = epoch.to(self.images.device)
        for slots in steps:
            yield render(self.images, self.labels, epoch, slots, self.view)


def render(
    images: torch.Tensor, labels: torch.Tensor, epoch: VicinalEpoch, slots: slice, view: ViewConfig
) -> VicinalBatch:
    """The mixed batch of the given slots, from images uint8 [N, H, W, 3] and labels [N], on their device."""
    drawn = epoch.at(slots)
    views = views_of(images[drawn.order], drawn, view, (images.shape[1], images.shape[2]))
    return mix(views, labels[drawn.order], drawn.mixup_lambda)


def mix(views: torch.Tensor, labels: torch.Tensor, mixup_lambda: torch.Tensor) -> VicinalBatch:
    """Mix views uint8 [B, H, W, 3] with their partners' views in pixel space; the first slot must be even.

    The mixed images keep the views' memory layout, channels last.
    """
    partner = (torch.arange(len(labels), device=labels.device) ^ 1).clamp(max=len(labels) - 1)
    weight, images = mixup_lambda[:, None, None, None], views.float().div_(255)
    partner_images = images[partner].mul_(1 - weight)
    images = images.mul_(weight).add_(partner_images)  # in place: the same bits, with less memory traffic
    return VicinalBatch(images.permute(0, 3, 1, 2), labels, labels[partner], mixup_lambda)


def views_of(images: torch.Tensor, drawn: VicinalEpoch, view: ViewConfig, size: tuple[int, int]) -> torch.Tensor:
    """Crop and flip images uint8 [B, H, W, 3] as drawn for their B slots; returns views uint8 [B, *size, 3].

    Each view depends only on its own image and draws, bit for bit, in any batch.
    """
    if view.crop == "padded":
        return _padded_crops(images, drawn.crop, drawn.flip, view.padding)
    return _resized_crops(images, crop_boxes(drawn.box, images.shape[1], images.shape[2]), drawn.flip, size)


def _padded_crops(images: torch.Tensor, start: torch.Tensor, flip: torch.Tensor, padding: int) -> torch.Tensor:
    """uint8 [B, H, W, 3]: each padded image cropped from its start [B, 2], then flipped.

    Whole rows are copied, from windows that overlap in memory: several times faster than pixel by pixel. A flipped view
    is the mirrored crop of the flipped image.
    """
    count, height, width, channels = images.shape
    padded = pad(torch.cat([images, images.flip(2)]), (0, 0, padding, padding, padding, padding))
    windows = padded.flatten(2).unfold(2, width * channels, channels)  # [2B, padded H, start, bytes of a row]
    number = torch.arange(count, device=images.device) + count * flip
    rows = torch.arange(height, device=images.device) + start[:, :1]
    columns = torch.where(flip, 2 * padding - start[:, 1], start[:, 1])
    return windows[number[:, None], rows, columns[:, None]].view(count, height, width, channels)


def crop_boxes(box: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Top, left, height and width in pixels, int64 [B, 4], of drawn boxes [B, 4] on an image of height × width.

    A side longer than the image is clipped, which reduces the area; torchvision would draw again.
    """
    image = torch.tensor([height, width], device=box.device)
    sides = (box[:, :2] * math.sqrt(height * width)).round().long().clamp(min=1).minimum(image)
    return torch.cat([(box[:, 2:] * (image - sides + 1)).floor().long(), sides], dim=1)


def _resized_crops(
    images: torch.Tensor, boxes: torch.Tensor, flip: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """uint8 [B, *size, 3]: each image's box [B, 4] resized by a triangle filter, as Pillow's bilinear, then flipped."""
    if len(images) == 1:  # a single image is cropped first, since pixels outside its box have no weight
        top, left, height, width = boxes[0].tolist()
        images = images[:, top : top + height, left : left + width]
        boxes = torch.tensor([[0, 0, height, width]], device=boxes.device)
    top, left, box_height, box_width = boxes.unbind(1)
    rows = _filter(top, box_height, images.shape[1], size[0])
    columns = _filter(left, box_width, images.shape[2], size[1])
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    views = _weighted(rows[:, None], images.permute(0, 3, 1, 2).float())
    views = _weighted(views, columns.mT[:, None])
    return views.to(torch.uint8).permute(0, 2, 3, 1)


_UNIT = 2.0**15  # filter weights are multiples of 1/_UNIT, so weighted sums of bytes are exact in float32, in any order


def _filter(start: torch.Tensor, length: torch.Tensor, num_pixels: int, size: int) -> torch.Tensor:
    """Weights [B, size, num_pixels], in units, of the pixels of a line for each pixel of its box resized to size."""
    pixels = torch.arange(num_pixels, device=start.device) - start[:, None, None]
    ratio = (length / size)[:, None, None]
    centres = (torch.arange(size, device=start.device)[:, None] + 0.5) * ratio
    triangle = (1 - (pixels + 0.5 - centres).abs() / ratio.clamp(min=1)).clamp(min=0)
    parts = (triangle * ((pixels >= 0) & (pixels < length[:, None, None])) * _UNIT).round()
    return (parts * _UNIT / parts.sum(2, keepdim=True)).round()


def _weighted(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The product of pixels and a filter, rounded to whole pixel values."""
    return (first @ second / _UNIT).round().clamp(max=255)
