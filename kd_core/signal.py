"""Where a student's teacher logits come from: today the teacher itself, queried on each mixed batch."""

from typing import Protocol

import torch
from torch import nn


class TeacherSignal(Protocol):
    """Logits of a fixed teacher on the vicinal stream."""

    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W] of these slots of this epoch."""
        ...


class LiveSignal:
    """The teacher is asked for every batch anew; its answers are rounded to float16, the precision of a stored one."""

    def __init__(self, teacher: nn.Module) -> None:
        self.teacher = teacher.eval().requires_grad_(False)

    @torch.no_grad()
    def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
        """float32 [B, K] on the mixed images [B, 3, H, W]."""
        return self.teacher(images).half().float()
