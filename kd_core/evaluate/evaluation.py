"""Evaluation of a network on a split: logits in batches, without gradients."""

import numpy as np
import torch

from kd_core.data.dataset import Dataset, Split
from kd_core.data.streaming import StreamedSplit
from kd_core.measure.predictions import Predictions, validation_and_test_predictions
from kd_core.networks.models import Network

EVALUATION_BATCH = 500


@torch.inference_mode()
def predict(network: Network, split: Split | StreamedSplit, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
    """Logits float32 [N, K] of a network in evaluation mode, computed on its own device."""
    device = next(network.parameters()).device
    network.eval()
    logits = []
    for images in split.batches(batch_size):
        pixels = images.to(device).permute(0, 3, 1, 2).float() / 255
        logits.append(network(pixels).float().cpu().numpy())
    return np.concatenate(logits)


def evaluate(network: Network, dataset: Dataset, standardized: bool = False) -> dict[str, Predictions]:
    """Predictions on validation and test, with the temperature fitted on validation; standardized adds that reading."""
    validation, test = ((predict(network, split), split.labels) for split in (dataset.validation, dataset.test))
    return validation_and_test_predictions(validation, test, standardized)
