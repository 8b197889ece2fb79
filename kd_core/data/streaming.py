"""The vicinal stream for images that do not fit in memory: worker processes decode them batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from kd_core.config.data import ViewConfig
from kd_core.config.errors import DataError
from kd_core.data.images import Part, require_size
from kd_core.stream.vicinal import VicinalBatch, VicinalEpoch, ViewSource, mix, views_of


@dataclass(frozen=True)
class StreamedSplit:
    """Images that are decoded on demand, to size (height, width).

    They are resized to image_size; if it is None, all must have this size, else DataError names the image. num_workers
    processes decode one batch each at a time and prefetch two; with 0, this process decodes.
    """

    part: Part
    size: tuple[int, int]
    image_size: int | None
    num_workers: int = 0

    def __len__(self) -> int:
        return len(self.part)

    @property
    def labels(self) -> np.ndarray:
        """int64 [N], UNLABELLED of images without one."""
        return self.part.labels

    def batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """The images in order, uint8 [B, H, W, 3]."""
        steps = [slice(start, min(start + batch_size, len(self))) for start in range(0, len(self), batch_size)]
        self.fetch()
        return _in_workers(self._decoded, steps, self.num_workers)

    def views(self, view: ViewConfig, device: torch.device | str) -> ViewSource:
        """The source of the mixed training batches."""
        self.fetch()
        return StreamedViews(self, view, device)

    def fetch(self) -> None:
        """Copy the images to this node if it lacks them, in this process, before workers are forked from it."""
        for index in (0, -1):  # the last image may be of another folder
            self.part.images.content(int(self.part.numbers[index]))

    def image(self, index: int, *, original: bool = False) -> torch.Tensor:
        """Decode one image, uint8 [H, W, 3]; resized to image_size unless original is set."""
        pixels = self.part.pixels(index, None if original else self.image_size)
        if self.image_size is None:
            require_size(pixels, self.size, self.part.images.name(int(self.part.numbers[index])))
        return torch.tensor(pixels)

    def _decoded(self, indices: slice) -> torch.Tensor:
        return torch.stack([self.image(index) for index in range(indices.start, indices.stop)])


class StreamedViews:
    """Views of streamed images: workers render each from its image and its slot's draws; the device mixes them.

    They equal the views of the same images in memory, bit for bit. Only resized crops differ if data.image_size resizes
    the images: here they are taken from the original image, in memory from the resized one.
    """

    def __init__(self, split: StreamedSplit, view: ViewConfig, device: torch.device | str) -> None:
        self.split, self.view = split, view
        self.labels = torch.tensor(split.labels, device=device)

    def batches(self, epoch: VicinalEpoch, steps: Sequence[slice]) -> Iterator[VicinalBatch]:
        """Yield one mixed batch per step."""
        device = self.labels.device
        order, mixup_lambda = epoch.order.to(device), epoch.mixup_lambda.to(device)
        views = _in_workers(partial(self._views, epoch), steps, self.split.num_workers)
        for slots, batch in zip(steps, views, strict=True):
            yield mix(batch.to(device), self.labels[order[slots]], mixup_lambda[slots])

    def _views(self, epoch: VicinalEpoch, slots: slice) -> torch.Tensor:
        return torch.cat([self._view(epoch.at(slice(slot, slot + 1))) for slot in range(slots.start, slots.stop)])

    def _view(self, drawn: VicinalEpoch) -> torch.Tensor:
        image = self.split.image(int(drawn.order), original=self.view.crop == "resized")
        return views_of(image[None], drawn, self.view, self.split.size)


def _in_workers(
    make: Callable[[slice], torch.Tensor], steps: Sequence[slice], num_workers: int
) -> Iterator[torch.Tensor]:
    """Yield make(step) for each step in order, prefetching two steps per worker; 0 workers: in this process.

    Workers are forked, so objects that `make` uses are shared, not copied. A DataError is re-raised unchanged.
    """

    def attempt(step: slice) -> torch.Tensor | DataError:
        """The images of a step, or what is wrong with one, since workers pass no exceptions on unchanged."""
        try:
            return make(step)
        except DataError as error:
            return error

    loader = DataLoader(
        cast(Any, steps),
        batch_size=None,
        collate_fn=cast(Any, attempt),
        num_workers=num_workers,
        multiprocessing_context="fork" if num_workers else None,
        generator=torch.Generator(),  # otherwise it would use the global one, from which dropout draws
    )
    for made in loader:
        if isinstance(made, DataError):
            raise made
        yield made
