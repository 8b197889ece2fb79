"""Where a student's teacher logits come from: the teacher itself, on each mixed batch, or stored epochs."""

from typing import Any, Protocol

import numpy as np
import torch

from kd_core.networks.execution import autocast, for_inference
from kd_core.networks.models import Network
from kd_core.store.signal_record import SignalRecord


class TeacherSignal(Protocol):
    """Logits of a fixed teacher on the vicinal stream."""

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W] of these slots of this epoch of the stream."""
        ...


class LiveSignal:
    """A teacher that labels every batch when it comes, rounded to float16 like a stored signal.

    It takes the teacher over: the network is turned into its form for inference, at the teacher's own precision.
    """

    def __init__(self, teacher: Network, precision: str = "float32") -> None:
        self.teacher, self.precision = for_inference(teacher, precision), precision

    @torch.no_grad()
    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W]."""
        with autocast(self.precision, images.device):
            return self.teacher(images).half().float()


class StoredSignal:
    """What a teacher said in its one pass over the stream (`kd_core.labelling`); the images are not looked at.

    Raises SignalError where the record is of another teacher or stream than identity says
    (`kd_core.spec.keys.signal_identity`), or an epoch is missing or damaged.
    """

    def __init__(self, record: SignalRecord, identity: dict[str, Any]) -> None:
        record.check(identity)
        self.record = record
        self._epoch, self._logits = 0, np.empty((0, 0), np.float16)

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] of these slots, on the device of the images."""
        if epoch != self._epoch:
            self._epoch, self._logits = epoch, self.record.logits(epoch)
        return torch.from_numpy(self._logits[slots].astype(np.float32)).to(images.device)
