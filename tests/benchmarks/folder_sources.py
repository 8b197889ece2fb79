"""Image folders of several layouts before they are written, each with its truth."""

import os
import random
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.data_truth import Item
from tests.benchmarks.label_mutations import LabelsFile, Line
from tests.benchmarks.pictures import picture

CLASSES = ("cat", "dog", "eel")
LAYOUTS = ("tidy", "tidy", "own validation", "bare", "labelled", "labelled parts")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".webp")


@dataclass
class Folder:
    """An image folder before it is written: its images, other files, empty folders and links, by their paths.

    parts gives the part of each top folder that is one; without any, the class folders lie bare. top is a folder in
    which all of it lies. lines of the labels file follow the images where follows is set.
    """

    items: dict[str, Item] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    top: str = ""
    labels: LabelsFile | None = None
    follows: bool = False

    def truth(self) -> list[Item]:
        """Every image, with its part and label by where it lies, or by the labels file."""
        items = dict(self.items)
        for path, target in self.links.items():  # a class folder that a link shows once more
            below = self.below(f"{path.rpartition('/')[0]}/{target}".lstrip("/"))
            items |= {path + "/" + inside.rpartition("/")[2]: self.items[inside].copy() for inside in below}
        names = [path.removeprefix(self.top).split("/") for path in items]
        are_parts = any(len(below) > 2 - (self.labels is not None) for below in names if below[0] in self.parts)
        parts = self.parts if are_parts else {}  # a folder of images beside class folders is a class, whatever its name
        for path, item in items.items():
            self._decide(path, item, parts)
        if self.labels is not None:
            self._decide_by_lines(self.labels, items)
        return list(items.values())

    def _decide(self, path: str, item: Item, parts: dict[str, str]) -> None:
        names = path.removeprefix(self.top).split("/")
        part = parts.get(names[0], "beside") if parts else "train"
        inside = names[1:] if parts else names
        item.label = unicodedata.normalize("NFC", inside[0]) if len(inside) > 1 else ""
        item.part = part
        item.due = "in folders below" if len(inside) > 2 and inside[1] != "images" else ""
        item.due = "named like parts" if not parts and item.label in self.parts else item.due
        if not item.label or part == "beside":
            item.gone += ["in no class folder", "beside the parts"]
        if not path.lower().endswith(_SUFFIXES):
            item.gone.append("whose ending")
        if any(name.startswith(".") for name in names):
            item.gone.append("hidden file")

    def _decide_by_lines(self, labels: LabelsFile, items: dict[str, Item]) -> None:
        """Folders are parts if one of them that holds labelled images is; the others are for training then."""
        lined = {line.item for line in labels.lines}
        has_parts = any(item.part != "beside" for item in lined) and bool(self.parts)
        for item in items.values():
            item.due = "that name no part" if has_parts and item.part == "beside" else ""
            item.part = "train" if item.part == "beside" else item.part
        labels.decide(list(items.values()))

    def classes(self) -> list[str]:
        """The class folders of all parts, or the folder `flat`."""
        depth = len(self.top.split("/")) + bool(self.parts)
        paths = (path.split("/") for path in self.items)
        return sorted({"/".join(names[:depth]) for names in paths if len(names) > depth}) or ["flat"]

    def below(self, folder: str) -> list[str]:
        """The paths of the images in a folder."""
        return [path for path in self.items if path.startswith(f"{folder}/")]

    def move(self, path: str, target: str) -> None:
        """Move an image, unless another one is there."""
        if target not in self.items:
            self.items[target] = self.items.pop(path)

    def move_folder(self, folder: str, target: str) -> None:
        """Move the images of a folder."""
        for path in self.below(folder):
            self.move(path, target + path[len(folder) :])

    def write(self, root: Path) -> None:
        """Write everything below a folder that is not there yet, and the labels file beside it."""
        for folder in ("", *self.folders):
            (root / folder).mkdir(parents=True, exist_ok=True)
        links = self.links | {path: item.picture.link for path, item in self.items.items() if item.picture.link}
        files = {path: item.picture.content for path, item in self.items.items() if not item.picture.link}
        for path, content in (self.others | files).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        for path, target in links.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(root / path):
                (root / path).symlink_to(target)
        if self.labels is not None:
            paths = {item: path for path, item in self.items.items()} if self.follows else {}
            for line in self.labels.lines:
                line.path = paths.get(line.item, line.path)
            self.labels.write(root.parent / "labels.csv", root)


def folder_of(layout: str, generator: random.Random) -> Folder:
    """A whole folder of a layout."""
    folder, numbers = Folder(follows=generator.random() < 0.5), iter(range(1000))
    folder.parts = {} if layout in ("bare", "labelled") else {"train": "train", "test": "test"}
    if layout == "own validation":
        folder.parts["val"] = "validation"
    for top in folder.parts or ("",):
        for label in CLASSES:
            inside = f"{top}/{label}" if not layout.startswith("labelled") else top or "flat"
            for _ in range({"": 8, "train": 5}.get(top, 2)):
                path = f"{inside}/{next(numbers)}.png".lstrip("/")
                folder.items[path] = Item(picture(generator), label)
    if layout.startswith("labelled"):
        folder.labels = LabelsFile([Line(item, path, item.label, "") for path, item in folder.items.items()])
        generator.shuffle(folder.labels.lines)
    return folder
