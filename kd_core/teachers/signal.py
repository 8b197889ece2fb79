"""Sources of a student's teacher logits: the teacher itself, run on each mixed batch, or stored epochs."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from kd_core.networks.execution import autocast, for_inference
from kd_core.networks.models import Network
from kd_core.store.signal_record import SignalRecord


class TeacherSignal(Protocol):
    """Logits of a fixed teacher on the vicinal stream."""

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W] of these slots of this epoch of the stream.

        Of a fused teacher [M, B, K], from which the loss makes one: how, depends on the temperature.
        """
        ...


class LiveSignal:
    """Runs the teacher on every batch; logits are rounded to float16 as in a stored signal.

    The network is converted in place to its inference form, in the teacher's precision.
    """

    def __init__(self, teacher: Network, precision: str = "float32") -> None:
        self.teacher, self.precision = for_inference(teacher, precision), precision

    @torch.no_grad()
    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W]."""
        with autocast(self.precision, images.device):
            return self.teacher(images).half().float()


class StoredSignal:
    """A teacher's stored logits on the stream (`kd_core.teachers.labelling`); the images are ignored.

    Raises SignalError if the record is of another teacher or stream than its manifest is to be, or if an epoch is
    missing or damaged.
    """

    def __init__(self, record: SignalRecord, manifest: dict[str, Any]) -> None:
        record.check(manifest)
        self.record = record
        self._epoch, self._logits = 0, np.empty((0, 0), np.float16)

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] of these slots, on the device of the images."""
        if epoch != self._epoch:
            self._epoch, self._logits = epoch, self.load(epoch)
        return torch.from_numpy(self._logits[slots].astype(np.float32)).to(images.device)

    def load(self, epoch: int) -> np.ndarray:
        """The logits of an epoch by slot, float16 [N, K]."""
        return self.record.logits(epoch)


class BlankSignal:
    """Zeros in the place of stored logits, for what depends on their shape alone."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] of zeros, on the device of the images."""
        return torch.zeros(len(images), self.num_classes, device=images.device)


class FusedSignal:
    """The logits of each of M members of a fused teacher, whose own signals may be live or stored."""

    def __init__(self, members: Sequence[TeacherSignal]) -> None:
        self.members = members

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [M, B, K]."""
        return torch.stack([member.logits(epoch, slots, images) for member in self.members])
