"""What happens to image folders in life."""

import random
import unicodedata
from collections.abc import Iterator

from tests.benchmarks.data_truth import Item
from tests.benchmarks.folder_sources import CLASSES, Folder
from tests.benchmarks.label_mutations import labels_mutation
from tests.benchmarks.pictures import Picture, picture, spoilt, unusual

_PART_NAMES = {
    "train": ["Train", "TRAIN", "training", "Training", "train2017", "train_1", "trainset", "trainval", "learn"],
    "validation": ["val", "VAL", "valid", "Validation", "dev", "val2017", "holdout"],
    "test": ["Test", "TEST", "testing", "test2", "eval", "testset", "holdout"],
}
_NO_PARTS = ("trainval", "learn", "holdout")
_LINK_TO_NOTHING = Picture(b"", None, damaged=True, link="/nonexistent/x.png")


def mutate(folder: Folder, generator: random.Random) -> str:
    """Let one thing happen to a folder; its name."""
    if folder.labels is not None and generator.random() < 0.6:
        return labels_mutation(folder.labels, generator)
    mutation = generator.choice(_MUTATIONS)
    mutation(folder, generator)
    return mutation.__name__


def _images(folder: Folder, generator: random.Random) -> Iterator[tuple[str, Item]]:
    """One to three images."""
    for path in generator.sample(sorted(folder.items), min(len(folder.items), generator.choice([1, 1, 3]))):
        yield path, folder.items[path]


def _spoil(folder: Folder, generator: random.Random) -> None:
    for _, item in _images(folder, generator):
        item.picture = spoilt(item.picture, generator)


def _draw_anew(folder: Folder, generator: random.Random) -> None:
    """Images of another kind, under their right suffix or the one they had."""
    for path, item in _images(folder, generator):
        item.picture = unusual(generator)
        if generator.random() < 0.5:
            folder.move(path, path.rpartition(".")[0] + item.picture.suffix)


def _end_otherwise(folder: Folder, generator: random.Random) -> None:
    suffixes = [".jpg", ".PNG", ".JpEg", ".bmp", ".TIF", ".heic", ".jfif", ".png.bak", "", ".png~"]
    for path, _ in _images(folder, generator):
        folder.move(path, path.rpartition(".")[0] + generator.choice(suffixes))


def _name_oddly(folder: Folder, generator: random.Random) -> None:
    odd = ["a b", "é", "e\u0301", "漢字", "a,b", 'a"b', "a;b\t", "x" * 200, "-x", "a\nb", "\x1b[31m", "caf\udce9", ".x"]
    for path, _ in _images(folder, generator):
        folder.move(path, f"{path.rpartition('/')[0]}/{generator.choice(odd)}.png".lstrip("/"))


def _leave_rubbish(folder: Folder, generator: random.Random) -> None:
    """Files of systems and tools, some of which hold images."""
    image, text = picture(generator).content, b"a.png,cat\n"
    hidden = [".DS_Store", "._0.png", ".ipynb_checkpoints/0.png", "__MACOSX/cat/0.png", "@eaDir/0.png", ".git/HEAD"]
    rubbish = dict.fromkeys(hidden, image)
    rubbish |= dict.fromkeys(["notes.txt", "labels.csv", "README.md", "caf\udce9.txt", "a\nb.xml", "Thumbs.db"], text)
    name = generator.choice(sorted(rubbish))
    inside = generator.choice(["", *(f"{folder}/" for folder in (*folder.classes(), *folder.parts))])
    folder.others[inside + name] = rubbish[name]


def _rename_class(folder: Folder, generator: random.Random) -> None:
    """In one part, or in all of them."""
    label = generator.choice(folder.classes()).rpartition("/")[2]
    names = [label.upper(), label.title(), f"{label} ", "caf\u00e9", "caf\udce9", "0", "10", "a\nb", "'", "x" * 120]
    name = generator.choice([*names, "train", "test", "images", f".{label}", "true", "dog", f"{label}.png", "\u202e"])
    share = generator.choice([0.4, 1])
    for old in folder.classes():
        if old.rpartition("/")[2] == label and generator.random() < share:
            folder.move_folder(old, old.removesuffix(label) + name)


def _write_in_two_forms(folder: Folder, generator: random.Random) -> None:
    """A class whose é is written in one way here and in another there."""
    label = generator.choice(CLASSES)
    for old in folder.classes():
        if old.rpartition("/")[2] == label:
            folder.move_folder(old, unicodedata.normalize(generator.choice(["NFC", "NFD"]), f"{old}é"))


def _empty_class(folder: Folder, generator: random.Random) -> None:
    name = generator.choice(folder.classes())
    folder.folders |= {name} if generator.random() < 0.7 else set()
    for path in folder.below(name):
        del folder.items[path]


def _copy_class(folder: Folder, generator: random.Random) -> None:
    """Into another part, or beside itself under a name that is nearly its own."""
    name = generator.choice(folder.classes())
    top, _, label = name.rpartition("/")
    target = f"{generator.choice(sorted(folder.parts) or [top])}/{label}".lstrip("/")
    target = target if target != name else name.removesuffix(label) + generator.choice([f"{label} ", label.title()])
    for path in folder.below(name):
        folder.items.setdefault(target + path[len(name) :], folder.items[path].copy())


def _nest(folder: Folder, generator: random.Random) -> None:
    """A class folder goes into a folder, or its images do."""
    name = generator.choice(folder.classes())
    label, inner = name.rpartition("/")[2], generator.choice(["deep", "dog", "images", "2021"])
    folder.move_folder(name, name.removesuffix(label) + generator.choice([f"{label}/{inner}", f"{inner}/{label}"]))


def _wrap(folder: Folder, generator: random.Random) -> None:
    """All of it goes into one folder."""
    name = generator.choice(["data", "set", "train", "images"])
    for path in list(folder.items):
        folder.items[f"{name}/{path}"] = folder.items.pop(path)
    folder.top = f"{name}/{folder.top}"


def _rename_part(folder: Folder, generator: random.Random) -> None:
    if folder.parts:
        old = generator.choice(sorted(folder.parts))
        part = folder.parts.pop(old)
        name = generator.choice(_PART_NAMES[part])
        folder.move_folder(folder.top + old, folder.top + name)
        if name not in _NO_PARTS:
            folder.parts[name] = part


def _remove_part(folder: Folder, generator: random.Random) -> None:
    if folder.parts:
        for path in folder.below(folder.top + generator.choice(sorted(folder.parts))):
            del folder.items[path]


def _flatten(folder: Folder, generator: random.Random) -> None:
    """The images of some parts, or of all classes, lie in no class folder."""
    tops = [top for top in folder.parts if generator.random() < 0.7]
    for path in list(folder.items):
        top, name = path.removeprefix(folder.top).split("/")[0], path.rpartition("/")[2]
        if not folder.parts or top in tops:
            folder.move(path, folder.top + (f"{top}/{name}" if folder.parts else name))


def _put_beside(folder: Folder, generator: random.Random) -> None:
    """A folder beside the parts, which is a class where there are none."""
    name, inside = generator.choice(["extra", "unlabelled", "old"]), generator.choice(["cat/", ""])
    for number in range(3):
        folder.items[f"{folder.top}{name}/{inside if folder.parts else ''}{number}.png"] = Item(picture(generator), "")


def _add_part(folder: Folder, generator: random.Random) -> None:
    """A folder that may be a part, beside one that is, or beside bare class folders."""
    part = generator.choice(["train", "test", "validation"])
    name = generator.choice([name for name in _PART_NAMES[part] if name not in _NO_PARTS])
    folder.parts[name] = part
    for number, label in enumerate(CLASSES * 2):
        folder.items[f"{folder.top}{name}/{label}/new{number}.png"] = Item(picture(generator), label)


def _move_up(folder: Folder, generator: random.Random) -> None:
    """Images go to the root of their part, or of all."""
    for path, _ in _images(folder, generator):
        top = path.split("/")[0] if generator.random() < 0.6 else "."
        folder.move(path, f"{top}/{path.rpartition('/')[2]}".removeprefix("./"))


def _copy_images(folder: Folder, generator: random.Random) -> None:
    """Into a class, of this part or another."""
    for path, item in _images(folder, generator):
        folder.items[f"{generator.choice(folder.classes())}/copy of {path.rpartition('/')[2]}"] = item.copy()


def _link(folder: Folder, generator: random.Random) -> None:
    """Links to nothing, to themselves, to a folder above, or from one class to another."""
    for path, item in _images(folder, generator):
        above = path.rpartition("/")[0]
        if generator.random() < 0.5:
            item.picture = _LINK_TO_NOTHING
        else:
            name, target = generator.choice([("loop", "."), ("loop", ".."), ("x", "x"), ("x.png", "x.png")])
            folder.links[f"{above}/{name}".lstrip("/")] = target
    if generator.random() < 0.5:
        name = generator.choice(folder.classes())
        label = name.rpartition("/")[2]
        folder.links[f"{name.removesuffix(label)}linked"] = label


_MUTATIONS = [
    *(_spoil, _spoil, _draw_anew, _draw_anew, _end_otherwise, _name_oddly, _leave_rubbish, _rename_class),
    *(_write_in_two_forms, _empty_class, _copy_class, _nest, _wrap, _rename_part, _rename_part, _remove_part),
    *(_flatten, _put_beside, _add_part, _move_up, _copy_images, _link),
]
