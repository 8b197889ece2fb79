"""The input of the networks, as frozen values: the images and their splits, the random view, and mixup."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kd_core.fields import (
    AbsolutePath,
    Config,
    Fraction,
    Mark,
    Neutral,
    OpenFraction,
    Pixels,
    PositiveFraction,
    PositiveInt,
    or_word,
    shown,
)


class DataConfig(Config):
    """Where the images come from and how they are split."""

    source: Literal["digits", "cifar10", "cifar100", "folder", "parquet"]
    """digits (bundled with scikit-learn), cifar10 or cifar100 (downloaded), folder (one folder of images per class) or
    parquet (the Hugging Face layout)"""
    path: Annotated[AbsolutePath | None, Mark.PLACE] = None
    """the folder of a folder or parquet source, or its URL; or the folder of a download, by default the user's cache"""
    streaming: Annotated[bool, Mark.APART] = False
    """whether images of a folder or parquet source are decoded on demand instead of kept in memory"""
    labels: Annotated[AbsolutePath | None, Mark.PLACE, Neutral(None)] = None
    """a CSV or TSV file of path and label, and part if it has such a column, for images in no class folder"""
    unlabelled: Annotated[AbsolutePath | None, Mark.PLACE, Neutral(None)] = None
    """a folder of images without labels, or its URL, on which students of a teacher learn too"""
    label_column: str | None = None
    """the parquet column with the labels; by default the one that can be"""
    image_column: Annotated[str | None, Neutral(None)] = None
    """the parquet column with the images; by default the one that can be"""
    image_size: Pixels | None = None
    """pixels a side that every image is resized and cropped to; needed where the images differ in size"""
    limit: PositiveInt | None = None
    """at most this many training images, the same share of every class; validation is held out of them"""
    validation: OpenFraction | None = None
    """the share of the training images held out, stratified, for selection and temperature scaling; by default the
    source's own validation part, or 0.1"""
    test: OpenFraction = 0.2
    """the share held out as test if the source has no test part"""
    skip_unreadable: Annotated[bool, Neutral(False)] = False
    """whether to go on without images that cannot be decoded, which are otherwise refused"""
    background: Annotated[str, Field(pattern=r"^(white|black|#[0-9a-f]{6})$"), Neutral("white")] = "white"
    """what lies behind transparent pixels: white, black or '#rrggbb'"""
    duplicates: Annotated[Literal["keep", "drop_train"], Neutral("keep")] = "keep"
    """keep, or drop_train, which leaves out training images, also unlabelled ones, that validation or test has too"""
    imbalance: Annotated[PositiveFraction, Neutral(1.0)] = 1.0
    """the training images of the last class as a share of those of the first, falling exponentially between them
    (Cui 2019); 1 leaves them as they are"""

    @model_validator(mode="after")
    def _suits_the_source(self) -> Self:
        files = self.source in ("folder", "parquet")
        if self.source == "digits" and self.path is not None:
            raise ValueError("the digits source is bundled and takes no path")
        if files and self.path is None:
            raise ValueError(f"the {self.source} source needs data.path, the folder that holds the images")
        if self.streaming and not files:
            raise ValueError(f"the {self.source} source fits in memory; remove streaming")
        if self.labels is not None and self.source != "folder":
            raise ValueError(f"data.labels is for a folder source; remove it from the {self.source} source")
        if self.unlabelled is not None and not files:
            raise ValueError(f"data.unlabelled is for folder and parquet sources; remove it from {self.source}")
        for key, path in (("data.path", self.path), ("data.unlabelled", self.unlabelled)):
            if path is not None and "://" in path:
                _check_url(path, self.source, key)
        return self

    @property
    def folder(self) -> str | None:
        """The path; for a URL that means a folder, that folder."""
        return _folder_of(self.path)

    @property
    def unlabelled_folder(self) -> str | None:
        """The folder of unlabelled images, like `folder`."""
        return _folder_of(self.unlabelled)


def _folder_of(path: str | None) -> str | None:
    return re.sub(r"^(file|local)://", "", path) if path is not None else None


def _check_url(url: str, source: str, key: str) -> None:
    """Raise ValueError, without the URL, which may hold a password, unless nodes can fetch a source from there."""
    scheme, rest = url.split("://", 1)
    if source not in ("folder", "parquet"):
        raise ValueError(f"the {source} source is downloaded into data.path, which is a URL; give a folder")
    if ":" in rest.split("/")[0].rpartition("@")[0] or (scheme in ("http", "https") and "?" in rest):
        raise ValueError(
            f"{key} is a URL with a password or a query, which records would show; remove that, and give it to the "
            f"driver of {shown(scheme)}:// by its environment or settings"
        )
    if scheme == "memory" or "::" in url or (scheme in ("file", "local") and not rest.startswith("/")):
        raise ValueError(
            f"{key} is {shown(url)}, where other nodes find nothing; give a folder, or a URL such as "
            "s3://bucket/images or file:///shared/images"
        )


class ViewConfig(Config):
    """The random view of an image before mixing, drawn by the vicinal stream."""

    crop: Literal["padded", "resized"] = "padded"
    """padded (the image shifted by up to `padding`) or resized (a random part of it, Szegedy 2015)"""
    padding: Annotated[int, Field(ge=0, le=8192)] = 4
    """pixels of zeros around the image from which a padded crop of the image's own size is taken"""
    scale: tuple[PositiveFraction, PositiveFraction] = (0.08, 1.0)
    """the smallest and the largest share of the image's area that a resized crop takes"""
    flip: bool = True
    """whether half of the images are mirrored left to right"""

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must go from the smaller share to the larger, not {list(self.scale)}")
        return self


class MixupConfig(Config):
    """How slots are mixed with their partners: x̃ = λx + (1−λ)x′ (Medina 2026, eq. 5)."""

    model_config = or_word("off", "uniform", False)

    distribution: Literal["off", "uniform", "beta"] = "uniform"
    """the distribution of λ: uniform on (0, 1) as in the paper, Beta(concentration, concentration), or off (λ = 1)"""
    concentration: Annotated[float, Field(gt=0)] | None = None
    """the parameter of Beta(a, a); only with distribution: beta"""
    fraction: Fraction = 1.0
    """the share of slots that are mixed; the rest keep λ = 1"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        if value is False:  # YAML reads a bare `off` as false
            return {"distribution": "off"}
        return {"distribution": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _concentration_belongs_to_beta(self) -> Self:
        if (self.distribution == "beta") != (self.concentration is not None):
            raise ValueError("concentration is given with distribution: beta, and only then")
        return self


NO_MIXUP = MixupConfig(distribution="off")


class Note(Config):
    """Something about a source that its user should know: what was taken or left out, or what is doubtful."""

    kind: Literal["taken", "left out", "doubtful"]
    text: str
    """a part of a sentence, with a count, and a remedy where there is one"""
    examples: tuple[str, ...] = ()
    """up to three of the files or classes that are meant"""

    @property
    def sentence(self) -> str:
        """The text and its examples."""
        return f"{self.text}: {', '.join(map(shown, self.examples))}" if self.examples else self.text


def note(kind: Literal["taken", "left out", "doubtful"], text: str, examples: Iterable[str] = ()) -> Note:
    """A note with the first three of its examples, which may be names of files that are no text."""
    named = (example.encode(errors="surrogateescape").decode(errors="backslashreplace") for example in examples)
    return Note(kind=kind, text=text, examples=tuple(islice(named, 3)))


class DataSummary(Config):
    """The sizes of a dataset, and what its user should know of it."""

    fingerprint: str
    """see `kd_core.data.splits.fingerprint_of`"""
    num_train: int
    """with a label"""
    num_validation: int
    num_test: int
    num_classes: int
    image_size: int
    """the longer side, in pixels"""
    num_unlabelled: int = 0
    """training images without a label, which students of a teacher see too"""
    notes: tuple[Note, ...] = ()

    @property
    def sizes(self) -> str:
        """The images of each split, the classes and the size in pixels, in words."""
        unlabelled = f" and {self.num_unlabelled:,} unlabelled" if self.num_unlabelled else ""
        return (
            f"{self.num_train:,} training{unlabelled}, {self.num_validation:,} validation and {self.num_test:,} test "
            f"images of {self.num_classes:,} classes at {self.image_size} px"
        )

    @property
    def lines(self) -> list[str]:
        """Each note as a line, what was taken first and what is doubtful last."""
        order = ("taken", "left out", "doubtful")
        return [f"{note.kind}: {note.sentence}" for note in sorted(self.notes, key=lambda note: order.index(note.kind))]
