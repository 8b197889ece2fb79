"""The student of a finished trial as it is deployed: raw pixels in, calibrated probabilities out."""

from dataclasses import dataclass

import numpy as np
import scipy
import torch
import yaml
from torch import nn

from kd_core.config.data import DataConfig
from kd_core.config.errors import ModelError, SpecError
from kd_core.config.networks import StudentConfig
from kd_core.data.images import Part
from kd_core.data.splits import parts_of
from kd_core.data.streaming import StreamedSplit
from kd_core.measure.predictions import Predictions
from kd_core.networks.models import Network, build_network
from kd_core.networks.weights import load_weights
from kd_core.store.product import State
from kd_core.store.records import SweepRecord
from sweeps.config.errors import naming_source

_NUM_CALIBRATION = 256  # validation images from which the ranges of 8-bit activations are taken


class DeployedStudent(nn.Module):
    """A network behind its pixels and before its probabilities: images uint8 [B, H, W, 3] to probabilities [B, K]."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Softmax of the logits over the temperature that was fitted on validation."""
        logits = self.network(images.permute(0, 3, 1, 2).float() / 255)
        return torch.softmax(logits / self.temperature, dim=1)


@dataclass(frozen=True)
class Student:
    """A trial's student: its form, its trial's test predictions, and the images to check and to calibrate it with."""

    trial: State
    config: StudentConfig
    predictions: Predictions
    test: StreamedSplit
    validation: StreamedSplit
    num_train: int
    class_names: tuple[str, ...]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that it takes, in pixels."""
        return self.test.size

    @property
    def background(self) -> str:
        """What lies behind transparent pixels: white, black or '#rrggbb'."""
        return self.test.part.background

    @property
    def temperature(self) -> float:
        """The calibration temperature, fitted on validation."""
        return self.predictions.temperature

    @property
    def probabilities(self) -> np.ndarray:
        """The trial's stored test probabilities, float64 [N, K]."""
        assert self.predictions.logits is not None
        return scipy.special.softmax(self.predictions.logits.astype(np.float64) / self.temperature, axis=1)

    def network(self) -> DeployedStudent:
        """The network with its weights, on the CPU, for inference."""
        try:
            return load_deployed(self.config, len(self.class_names), self.temperature, self.trial.product.weights)
        except ModelError as error:
            raise SpecError(f"{error}; use the version of timm that it was trained with") from None

    def calibration_images(self) -> np.ndarray:
        """Some validation images, uint8 [N, H, W, 3], evenly spread."""
        count = len(self.validation)
        places = np.unique(np.linspace(0, count - 1, min(count, _NUM_CALIBRATION)).astype(int))
        return np.stack([self.validation.image(int(place)).numpy() for place in places])


def student_of(sweep: SweepRecord, trial: State) -> Student:
    """The student of a finished trial of a sweep, with the sweep's data; raises SpecError for data of another kind."""
    path = sweep.path / "spec.yaml"
    predictions = trial.product.predictions("test", with_logits=True)
    for problem in sweep.problems():
        raise SpecError(problem)
    with naming_source(str(path)):
        data = DataConfig.model_validate(yaml.safe_load(sweep.spec_yaml())["data"])
        parts = parts_of(data)
        _, validation, test = (_split(part, data.image_size) for part in parts.splits)
    if not np.array_equal(test.labels, predictions.label):
        raise SpecError(f"{path}: data: its test labels are not those that the trial was tested on; run the spec again")
    network = StudentConfig.model_validate(trial.config["student"]).untrained
    return Student(trial, network, predictions, test, validation, len(parts.train), parts.class_names)


def load_deployed(config: StudentConfig, num_classes: int, temperature: float, weights: object) -> DeployedStudent:
    """Build a student from its form, and load its weights from a safetensors file."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(config, num_classes)
    load_weights(network, weights)  # type: ignore[arg-type]
    plain = network.to(memory_format=torch.contiguous_format)  # the only one that all exporters know
    return DeployedStudent(plain, temperature).eval().requires_grad_(False)


def _split(part: Part, image_size: int | None) -> StreamedSplit:
    height, width, _ = part.pixels(0, image_size).shape
    return StreamedSplit(part, (height, width), image_size)
