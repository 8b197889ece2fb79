"""The files of an exported student, each checked to give the trial's stored test probabilities."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kd_core.config.errors import ExportError, SpecError
from kd_core.config.networks import StudentConfig
from kd_core.evaluate.evaluation import EVALUATION_BATCH
from kd_core.measure.calibration import expected_calibration_error
from kd_core.store.files import read_json, write_json
from sweeps.promotion.student import DeployedStudent, Student, load_deployed

WEIGHTS, PROGRAM, ONNX, INT8 = "student.safetensors", "student.pt2", "student.onnx", "student-int8.onnx"
FORMATS = (WEIGHTS, PROGRAM, ONNX, INT8)
CONFIG, MARK = "config.json", "export.json"
Predictor = Callable[[np.ndarray], np.ndarray]  # images uint8 [B, H, W, 3] to probabilities [B, K]


@dataclass(frozen=True)
class FormatCheck:
    """One file's metrics on the test split, and its largest difference from the stored probabilities."""

    name: str
    size_bytes: int
    difference: float
    accuracy: float
    ece: float


def write_formats(student: Student, folder: Path, formats: tuple[str, ...] = FORMATS) -> None:
    """Write a student to a folder in these formats, with config.json beside the weights."""
    network = student.network()
    if WEIGHTS in formats:
        (folder / WEIGHTS).write_bytes(student.trial.product.weights.read_bytes())
        write_json(folder / CONFIG, _config_of(student, network))
    if PROGRAM in formats:
        torch.export.save(_program(network, student.image_size), folder / PROGRAM)
    if ONNX in formats:
        _write_onnx(network, student, folder / ONNX)
    if INT8 in formats:
        _write_int8(folder / ONNX, student.calibration_images(), folder / INT8)


def _config_of(student: Student, network: DeployedStudent) -> dict[str, Any]:
    """All that is needed to build the network, to give it images, and to read its logits."""
    mean, std = (each.flatten().tolist() for each in (network.network.mean, network.network.std))
    return {
        "student": student.config.model_dump(mode="json"),
        "num_classes": len(student.class_names),
        "class_names": list(student.class_names),
        "image_size": list(student.image_size),
        "background": student.background,
        "mean": mean,
        "std": std,
        "temperature": student.temperature,
        "trial": student.trial.key,
    }


def _program(network: DeployedStudent, image_size: tuple[int, int]) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim("batch")}
    return torch.export.export(network, (_blank(image_size),), dynamic_shapes={"images": batch})


def _blank(image_size: tuple[int, int]) -> torch.Tensor:
    return torch.zeros(2, *image_size, 3, dtype=torch.uint8)


def _write_onnx(network: DeployedStudent, student: Student, path: Path) -> None:
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (_blank(student.image_size),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["probabilities"],
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props["background"] = student.background
        program.save(path, include_initializers=True, external_data=False)


def _write_int8(source: Path, images: np.ndarray, path: Path) -> None:
    """Quantise an ONNX file to 8 bits, weights and activations, the latter by the ranges that they have on images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        """The calibration images in batches."""

        def __init__(self) -> None:
            self._batches = iter(np.array_split(images, max(1, len(images) // 64)))

        def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
            """The next batch, None after the last."""
            batch = next(self._batches, None)
            return None if batch is None else {"images": batch}

    prepared = path.with_suffix(".prepared")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Images(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def predictor_of(path: Path) -> Predictor:
    """A file of `write_formats` as a function, read back from the disk."""
    if path.suffix == ".onnx":
        return _onnx_predictor(path)
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
    else:
        config = read_json(path.with_name(CONFIG))
        form = StudentConfig.model_validate(config["student"])
        module = load_deployed(form, config["num_classes"], config["temperature"], path)

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        """The probabilities [B, K] of uint8 images [B, H, W, 3]."""
        return module(torch.tensor(images)).numpy()

    return predict


def _onnx_predictor(path: Path) -> Predictor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]  # type: ignore[return-value]


def check_formats(student: Student, folder: Path, tolerance: float) -> list[FormatCheck]:
    """The metrics of every format in a folder; raises ExportError if one in floats is not the trial's student."""
    files = [folder / name for name in FORMATS if (folder / name).exists()]
    predictors = {path: predictor_of(path) for path in files}
    answers: dict[Path, list[np.ndarray]] = {path: [] for path in files}
    for images in student.test.batches(EVALUATION_BATCH):
        for path, predict in predictors.items():
            answers[path].append(predict(images.numpy()))
    checks = [_check(student, path, np.concatenate(parts)) for path, parts in answers.items()]
    for check in checks:
        if check.name != INT8 and not check.difference <= tolerance:
            device = student.trial.manifest.machine["device"] if student.trial.manifest else "an unknown device"
            problem = f"differs by {check.difference:.2g} from the stored test probabilities, computed on {device}"
            raise ExportError(f"{check.name}: {problem}; if that is rounding there, give a larger --tolerance")
    return checks


def _check(student: Student, path: Path, probabilities: np.ndarray) -> FormatCheck:
    correct = probabilities.argmax(axis=1) == student.test.labels
    confidence = np.minimum(probabilities.max(axis=1), 1.0)
    difference = float(np.abs(probabilities - student.probabilities).max())
    ece = expected_calibration_error(confidence, correct)
    return FormatCheck(path.name, path.stat().st_size, difference, float(correct.mean()), ece)


def check_target(target: Path) -> None:
    """Raise SpecError unless an export may be written to a path: a new or empty folder, or an earlier export."""
    if target.is_file():
        raise SpecError(f"--export: {target}: is a file; name a new folder")
    if target.is_dir() and any(target.iterdir()) and read_json(target / MARK) is None:
        raise SpecError(f"--export: {target}: is not empty and holds no earlier export; name a new folder")


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside a target, which it replaces when the block ends; on error nothing changes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        made, before = Path(scratch) / "made", Path(scratch) / "before"
        made.mkdir()
        yield made
        check_target(target)
        if target.exists():
            target.rename(before)
        try:
            made.rename(target)
        except OSError:
            if before.exists():
                before.rename(target)
            raise
