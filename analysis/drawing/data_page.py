"""The page of a source: its classes as the networks see them, how many images each has, and what is doubtful."""

import base64
from io import BytesIO

import numpy as np
from markupsafe import Markup
from PIL import Image

from analysis.drawing.page import TEMPLATES
from kd_core.data.samples import Samples

PAGE = "data.html"  # its name beside a report
_SMALL = 64  # pixels a side: smaller images are enlarged without smoothing


def data_page(samples: Samples) -> str:
    """The page as self-contained HTML."""
    largest = max(max(split) for split in samples.counts.values())
    classes = [
        {
            "name": name,
            "counts": {split: counts[number] for split, counts in samples.counts.items()},
            "share": samples.counts["train"][number] / largest,
            "picture": _picture(_row(samples.images[number])) if number < len(samples.images) else "",
        }
        for number, name in enumerate(samples.class_names)
    ]
    return TEMPLATES.get_template("data.html.j2").render(
        title=samples.title,
        classes=classes,
        totals={split: sum(counts) for split, counts in samples.counts.items()},
        mixed=[(_picture(image), text) for image, text in samples.mixed],
        pairs=[(pair, *map(_picture, pair.images)) for pair in samples.pairs],
        notes=samples.notes,
    )


def _row(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, 3] side by side, with a gap of an eighth of their width."""
    gap = np.full((images.shape[1], max(1, images.shape[2] // 8), 4), 0, np.uint8)
    opaque = np.concatenate([images, np.full((*images.shape[:3], 1), 255, np.uint8)], axis=3)
    return np.concatenate([part for image in opaque for part in (image, gap)][:-1], axis=1)


def _picture(pixels: np.ndarray) -> Markup:
    """An image element of pixels [H, W, 3 or 4], with small ones enlarged by whole factors."""
    factor = max(1, round(_SMALL / pixels.shape[0]))
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    height, width = pixels.shape[0] * factor, pixels.shape[1] * factor
    return Markup('<img alt="" width="{}" height="{}" src="data:image/png;base64,{}">').format(width, height, source)
