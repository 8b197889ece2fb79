"""One look at every image of a source: which cannot be read, which are unusual, which are the same.

A look is kept in the cache by the source's identity, so that it is taken once.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kd_core.config.data import Note, note
from kd_core.config.identity import digest
from kd_core.data.images import Part
from kd_core.data.pixels import KINDS, Content, eight_bit_rgb, opened, problem_of
from kd_core.data.source import Source
from kd_core.store.files import cache_folder, writing

_FORMAT = 2  # of the cached file, and of what is refused
_BLOCK = 256  # images that are in memory at a time

_Seen = tuple[int, int, tuple[int, int], int, str, str]  # digest, average hash, size, kinds, format, problem
Progress = Callable[[int, int], None]  # images seen, and of how many


@dataclass(frozen=True)
class Look:
    """What was seen of every image of a source, in the order of `Source.parts`.

    digests and average_hashes are uint64 [M], sizes (height, width) [M, 2], kinds [M] has a bit for each of
    `pixels.KINDS`, formats [M] are file type and mode, problems [M] say why an image cannot be decoded, "" if it can.
    """

    digests: np.ndarray
    average_hashes: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    formats: np.ndarray
    problems: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """The images that can be decoded, a mask [M]."""
        return self.problems == ""

    def notes(self) -> list[Note]:
        """How many images are unusual, by kind."""
        counts = [int((self.kinds >> bit & 1).sum()) for bit in range(len(KINDS))]
        return [note("taken", f"{count:,} images {kind}") for kind, count in zip(KINDS, counts, strict=True) if count]


def look_at(source: Source, progress: Progress | None = None) -> Look:
    """Decode every image of a source, or take what the cache has of it."""
    path = cache_folder() / "looks" / f"{digest([_FORMAT, source.identity(), source.train.background])}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(path) as kept:
        return Look(**{field.name: kept[field.name] for field in fields(Look)})
    total = sum(map(len, source.parts))
    seen = []
    for image in _seen(source.parts):
        seen.append(image)
        if progress and len(seen) % _BLOCK == 0:
            progress(len(seen), total)
    digests, hashes, sizes, kinds, formats, problems = zip(*seen, strict=True) if seen else [()] * 6
    look = Look(
        np.array(digests, np.uint64),
        np.array(hashes, np.uint64),
        np.array(sizes, np.int32).reshape(-1, 2),
        np.array(kinds, np.uint8),
        np.array(formats, np.str_),
        np.array(problems, np.str_),
    )
    with suppress(OSError), writing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **vars(look))
    return look


def names_in(source: Source) -> Iterator[str]:
    """The origin of every image of a source, in the order of a Look."""
    return (part.images.name(number) for part in source.parts for number in part.numbers.tolist())


def _seen(parts: list[Part]) -> Iterator[_Seen]:
    """What is seen of each image, decoded by threads, a block at a time."""
    with ThreadPoolExecutor(8) as pool:
        for part in parts:
            contents = (part.images.content(number) for number in part.numbers.tolist())
            while block := list(islice(contents, _BLOCK)):
                yield from pool.map(partial(_see, background=part.background), block)


def _see(content: Content, background: str) -> _Seen:
    digest_of, kinds, form = 0, 0, ""
    try:
        digest_of = _digest(content)
        if isinstance(content, np.ndarray):
            return digest_of, _average_hash(Image.fromarray(content)), content.shape[:2], 0, "pixels", ""
        with opened(content) as image:
            form = f"{image.format} {image.mode}"
            kinds = sum(1 << bit for bit, is_so in enumerate(KINDS.values()) if is_so(image))
            picture = eight_bit_rgb(image, background)
    except Exception as error:  # each decoder raises its own errors, as do decompression bombs
        return digest_of, 0, (0, 0), kinds, form, problem_of(error, content)
    return digest_of, _average_hash(picture), (picture.height, picture.width), kinds, form, ""


def _digest(content: Content) -> int:
    data: Any = content.read_bytes() if isinstance(content, Path) else content
    data = data if isinstance(data, bytes) else data.getbuffer() if not isinstance(data, np.ndarray) else data.tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _average_hash(picture: Image.Image) -> int:
    """A bit for each field of an 8 × 8 grid that is brighter than their mean; alike for images that look alike."""
    grey = np.asarray(picture.convert("L").resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    return int.from_bytes(np.packbits(grey > grey.mean()).tobytes(), "big")
