"""A network on a split: logits in batches, without gradients."""

import numpy as np
import torch

from kd_core.data import Dataset, Split
from kd_core.models import Network
from kd_core.outcomes import Outcomes, validation_and_test_outcomes

EVALUATION_BATCH = 500


@torch.inference_mode()
def predict(network: Network, split: Split, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
    """Logits float32 [N, K] of a network in evaluation mode, on the device where it lives."""
    device = next(network.parameters()).device
    network.eval()
    logits = []
    for start in range(0, len(split), batch_size):
        images = torch.tensor(split.images[start : start + batch_size], device=device)
        logits.append(network(images.permute(0, 3, 1, 2).float() / 255).float().cpu().numpy())
    return np.concatenate(logits)


def evaluate(network: Network, dataset: Dataset) -> dict[str, Outcomes]:
    """Outcomes on validation and test, with the temperature fitted on validation."""
    validation, test = ((predict(network, split), split.labels) for split in (dataset.validation, dataset.test))
    return validation_and_test_outcomes(validation, test)
