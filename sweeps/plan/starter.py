"""The first spec for somebody's own images: from a look at them to a sweep that plans at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError, SpecError
from kd_core.config.networks import StudentConfig
from kd_core.config.recipe import TrainConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.look import Progress
from kd_core.data.part_names import is_hidden
from kd_core.data.survey import Survey, survey_of
from sweeps.config.errors import sentence_of

_SIZES = (32, 48, 64, 96, 128, 160, 224)
_LARGEST_ON_CPU = 64  # pixels a side; a first sweep should end today
_SMALL = 40  # pixels a side: below, networks take their form for small images
_IMAGES = {"cpu": 100_000, "cuda": 4_000_000}  # that one student sees in a first sweep
_NUM_STUDENTS, _DISTILLED, _MOST_LISTED = 14, 10, 8


@dataclass(frozen=True)
class Starter:
    """A survey of the images, and the networks and epochs that suit them on a device."""

    survey: Survey
    device: str
    student: StudentConfig
    teacher: StudentConfig
    epochs: int
    teacher_epochs: int
    seconds: float

    def text(self, name: str, path: str) -> str:
        """The spec as YAML with comments; path is written as data.path."""
        summary, source = self.survey.summary, self.survey.parts.source
        splits = f"{summary.num_train:,} training, {summary.num_validation:,} validation, {summary.num_test:,} test"
        held_out = (
            "validation is the source's own part" if source.validation else "validation: 0.1 is held out of training"
        )
        gpu = ", gpu: 0.25" if self.device == "cuda" else ""
        where = "one GPU" if self.device == "cuda" else "this machine's CPU"
        lines = [
            "# yaml-language-server: $schema=spec.schema.json",
            f"# {splits} images of {summary.num_classes} classes: {_listed(self.survey.parts.class_names)}",
            *(f"# {note.kind}: {note.sentence}" for note in self.survey.notes),
            f"name: {name}",
            f"data: {self._data(path)}   # {held_out}",
            "",
            "teachers:   # with pretrained: true they start from timm's weights, a download: better with few images",
            f"  teacher: {{{_network(self.teacher)}, finetune: {{epochs: {self.teacher_epochs}, warmup_epochs: 1}}}}",
            f"student: {{{_network(self.student)}}}   # any network of timm",
            f"train: {{epochs: {self.epochs}, warmup_epochs: 1}}",
            "",
            "arms:   # a list makes a grid",
            "  - {method: [classic, mixup]}",
            "  - {method: kd, teacher: teacher, temperature: 2}",
            "  - {method: kd_mixup, teacher: teacher, temperature: [2, 4, 8, sigma]}",
            "seeds: [0, 1]   # with two or more, the report can tell arms from luck",
            f"resources: {{cpu: 1, teacher_cpu: 2{gpu}}}   # of one trial",
            "",
            f"# {_NUM_STUDENTS} students and a teacher: about {_minutes(self.seconds)} on {where}, measured",
        ]
        return "\n".join(lines) + "\n"

    def _data(self, path: str) -> str:
        """The data of the spec, as YAML in one line."""
        given = self.survey.config.model_dump(mode="json", exclude_defaults=True) | {"path": path}
        return yaml.safe_dump(given, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True).strip()


def data_of(folder: Path, options: Mapping[str, Any], progress: Progress | None = None) -> Survey:
    """A survey of the images in a folder, with the source and the image size that suit them unless options give them.

    options are fields of a DataConfig. Raises DataError, SpecError for options that it has not.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder that holds the images")
    files = (file for file in folder.rglob("*.parquet") if not any(map(is_hidden, file.relative_to(folder).parts)))
    given = {"source": "parquet" if any(files) else "folder", "path": str(folder)} | dict(options)
    try:
        config = DataConfig.model_validate({"image_size": _SIZES[-1]} | given)
    except ValidationError as error:
        raise SpecError(sentence_of(error, DataConfig, "data")) from None
    survey = survey_of(config, progress, whole=True)
    if "image_size" in options:
        return survey
    return survey_of(config.model_copy(update={"image_size": _image_size(survey)}), progress, whole=True)


def starter_of(folder: Path, options: Mapping[str, Any], progress: Progress | None = None) -> Starter:
    """A look at the images in a folder, as in data_of, and what suits them on this machine; raises as that does."""
    import torch

    survey, device = data_of(folder, options, progress), "cuda" if torch.cuda.is_available() else "cpu"
    summary, stem = survey.summary, 1 if survey.summary.image_size <= _SMALL and device == "cuda" else None
    if device == "cuda":
        student = StudentConfig(model="mobilenetv2_050", stem_stride=stem)
        teacher = StudentConfig(model="resnet18" if stem else "resnet50", stem_stride=stem)
    else:
        student, teacher = StudentConfig(model="test_efficientnet"), StudentConfig(model="resnet10t")
    epochs = int(np.clip(_IMAGES[device] // summary.num_train, 12, 200))
    teacher_epochs = max(8, epochs // 2)
    speeds = [_images_per_s(network, summary.num_classes, summary.image_size, device) for network in (student, teacher)]
    num_images = summary.num_train * epochs
    labelling = _DISTILLED * num_images / (3 * speeds[1]) / 5  # a forward pass is a third, and five arms share one
    seconds = _NUM_STUDENTS * num_images / speeds[0] + summary.num_train * teacher_epochs / speeds[1] + labelling
    return Starter(survey, device, student, teacher, epochs, teacher_epochs, seconds)


def _image_size(survey: Survey) -> int | None:
    """None where all images are small and of one size; else what most of them have, or fewer on a CPU."""
    import torch

    look = survey.look
    assert look is not None
    sizes = look.sizes[look.readable]
    most = _SIZES[-1] if torch.cuda.is_available() else _LARGEST_ON_CPU
    if len(np.unique(sizes, axis=0)) == 1 and sizes.max() <= most and sizes[0, 0] == sizes[0, 1]:
        return None
    median = float(np.median(sizes.min(axis=1)))
    return max((size for size in _SIZES if size <= min(median, most)), default=_SIZES[0])


def _images_per_s(network: StudentConfig, num_classes: int, image_size: int, device: str) -> float:
    """Training images a second of a network, measured in its second epoch on random images."""
    from kd_core.data.dataset import Dataset, Split
    from kd_core.training.loop import train

    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (256, image_size, image_size, 3), dtype=np.uint8)
    split = Split(pixels, generator.integers(0, num_classes, 256))
    few = Split(pixels[:16], split.labels[:16])
    data = Dataset(split, few, few, tuple(map(str, range(num_classes))), "random")
    recipe = {"student": network, "method": "classic", "train": TrainConfig(epochs=2)}
    config = TrialConfig.model_validate({"data": DataConfig(source="digits"), **recipe})
    *_, last = train(config, data, device=device)
    return last.figures["train/images_per_s"]


def _network(network: StudentConfig) -> str:
    return f"model: {network.model}" + (f", stem_stride: {network.stem_stride}" if network.stem_stride else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_LISTED]) + f" and {len(names) - _MOST_LISTED} more" * (len(names) > _MOST_LISTED)


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} minutes" if seconds < 5400 else f"{seconds / 3600:.0f} hours"
