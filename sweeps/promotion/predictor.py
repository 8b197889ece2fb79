"""The model that MLflow loads: raw images of any size to calibrated probabilities; kd-sweeps need not be installed.

This file is copied into the registered model, beside the network, and is run there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from PIL import Image, ImageOps

_BATCH = 256  # images that the network takes at once


class ImageClassifier(PythonModel):
    """Class probabilities of images, from the ONNX file of a promoted student."""

    def load_context(self, context: Any) -> None:
        """Open the network of a registered model."""
        self.open(context.artifacts["network"])

    def open(self, path: str | Path) -> "ImageClassifier":
        """Open a network that takes images uint8 [B, H, W, 3] of one size."""
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (entry,) = self._session.get_inputs()
        self._entry, (_, self._height, self._width, _) = entry.name, entry.shape
        self._background = self._session.get_modelmeta().custom_metadata_map.get("background", "white")
        return self

    def predict(self, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """Probabilities float32 [N, K]; raises ValueError for what are no images.

        Takes one image uint8 [H, W, 3] or [H, W], a batch of images of one size, or a list of images of any sizes.
        """
        images = [self._fitted(image) for image in _images_in(model_input)]
        batches = [np.stack(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return np.concatenate([np.asarray(self._session.run(None, {self._entry: batch})[0]) for batch in batches])

    def _fitted(self, image: Any) -> np.ndarray:
        """An image of the network's size, without transparency, resized and centre-cropped as in training."""
        picture = Image.fromarray(_pixels(image))
        if picture.mode == "RGBA":
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, self._background), picture)
        picture = picture.convert("RGB")
        if picture.size != (self._width, self._height):
            picture = ImageOps.fit(picture, (self._width, self._height), Image.Resampling.BICUBIC)
        return np.asarray(picture)


def _images_in(given: Any) -> list[Any]:
    """The images of an input, not checked yet."""
    if isinstance(given, np.ndarray) and given.dtype != object:
        alone = given.ndim == 2 or (given.ndim == 3 and given.shape[-1] in (1, 3, 4))
        given = [given] if alone else given
    images = list(given)
    if not images:
        raise ValueError("no image came; give one image, a batch or a list of images")
    return images


def _pixels(image: Any) -> np.ndarray:
    """An image as uint8 [H, W] or [H, W, 3 or 4]; whole numbers from 0 to 255 of another type are converted."""
    try:
        pixels = np.asarray(image)
        pixels = np.asarray(pixels.tolist()) if pixels.dtype == object else pixels
    except ValueError:
        raise ValueError("an image is no array of pixels; give uint8 [H, W, 3] or [H, W]") from None
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[-1] not in (3, 4)):
        raise ValueError(f"an image has the shape {list(pixels.shape)}; give uint8 [H, W, 3] or [H, W]")
    if 0 in pixels.shape or pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(f"an image holds {pixels.dtype} pixels other than 0 to 255; give raw uint8, not scaled ones")
    return pixels.astype(np.uint8)


set_model(ImageClassifier())
