"""What happens to parquet files in life."""

import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa

from tests.benchmarks.folder_sources import CLASSES
from tests.benchmarks.parquet_sources import PART_WORDS, Table, Tables
from tests.benchmarks.pictures import Picture, spoilt, unusual

_NOTHING = Picture(b"", None, damaged=True)


def mutate(files: Tables, generator: random.Random) -> str:
    """Let one thing happen to the files; its name."""
    if not files.tables:
        return "nothing"
    mutation = generator.choice(_MUTATIONS)
    mutation(files, generator)
    return mutation.__name__


def _some(files: Tables, generator: random.Random) -> Iterator[Table]:
    """One of the files, or all of them."""
    tables = list(files.tables.values())
    yield from tables if generator.random() < 0.4 else [generator.choice(tables)]


def _one(files: Tables, generator: random.Random) -> tuple[str, Table]:
    return generator.choice(list(files.tables.items()))


def _spoil_images(files: Tables, generator: random.Random) -> None:
    for table in _some(files, generator):
        for item in generator.sample(table.items, min(len(table.items), 2)):
            changed = [spoilt(item.picture, generator), unusual(generator), unusual(generator), _NOTHING]
            item.picture = generator.choice(changed)


def _spoil_file(files: Tables, generator: random.Random) -> None:
    _, table = _one(files, generator)
    place, number, kind = generator.random(), generator.choice([1, 1, 4]), generator.random()
    flips = [(generator.random(), generator.randrange(8)) for _ in range(number)]

    def flip(content: bytes) -> bytes:
        flipped = bytearray(content)
        for where, bit in flips if flipped else ():
            flipped[int(where * len(flipped))] ^= 1 << bit
        return bytes(flipped)

    def cut(content: bytes) -> bytes:
        return content[: int(place * len(content))]

    lost = [b"", b"version https://git-lfs.github.com/spec/v1\n", bytes(1000), b"PAR1" + bytes(100) + b"PAR1"]
    instead = generator.choice(lost)
    table.spoil.append(flip if kind < 0.6 else cut if kind < 0.8 else lambda _: instead)


def _rename_column(files: Tables, generator: random.Random) -> None:
    kind = generator.choice(["image", "label"])
    name = generator.choice(["img", "Image", "labels", "class", "target", "Label", "y", "a\nb", "", "é", "image.bytes"])
    for table in _some(files, generator):
        table.columns = [(name if of == kind else old, of) for old, of in table.columns]


def _drop_column(files: Tables, generator: random.Random) -> None:
    kind = generator.choice(["image", "label", "label"])
    for table in _some(files, generator):
        table.columns = [column for column in table.columns if column[1] != kind] or table.columns


def _order_columns(files: Tables, generator: random.Random) -> None:
    for table in _some(files, generator):
        generator.shuffle(table.columns)


def _add_column(files: Tables, generator: random.Random) -> None:
    """Masks, another label, an id, a constant, a score, or the labels once more under the same name."""
    kind = generator.choice(["mask", "coarse", "id", "split", "score", "label"])
    for table in _some(files, generator):
        if kind == "label" or kind not in dict(table.columns).values():
            table.columns.insert(generator.randrange(len(table.columns) + 1), (kind, kind))


def _retype(files: Tables, generator: random.Random) -> None:
    kinds: list[Callable[[pa.Array], pa.Array]] = [
        lambda labels: labels.cast(pa.string()),
        lambda labels: pa.array([str(value) for value in labels.to_pylist()], pa.large_string()),
        lambda labels: pa.array([float(row) for row in range(len(labels))]),
        lambda labels: pa.array([[value] for value in labels.to_pylist()]),
        lambda labels: labels.dictionary_encode(),
        lambda labels: pa.array([value in (1, "dog") for value in labels.to_pylist()]),
        lambda labels: pa.array([zlib.crc32(str(value).encode()) % 5 for value in labels.to_pylist()], pa.uint8()),
        lambda labels: pa.array([str(value).encode() for value in labels.to_pylist()]),
        lambda labels: pa.array([{"label": value} for value in labels.to_pylist()]),
        lambda labels: pa.nulls(len(labels)),
        lambda labels: pa.array([0] * len(labels), pa.timestamp("s")),
    ]
    kind = generator.choice(kinds)
    for table in _some(files, generator):
        table.labels = kind(table.labels)


def _change_labels(files: Tables, generator: random.Random) -> None:
    """All by the same rule, or a few of them to something else."""
    rule = generator.choice([lambda n: n + 1, lambda n: n - 1, lambda n: n * 10, lambda n: 2 - n, None, None])
    odd = generator.choice([None, -1, -2, 3, 99, 2**40, 2**62])
    for table in _some(files, generator):
        values = table.labels.to_pylist()
        if all(isinstance(value, int) for value in values):
            share = generator.choice([0.1, 1])
            change = rule or (lambda value, odd=odd, share=share: odd if generator.random() < share else value)
            changed = [change(int(value)) for value in values]
            if all(value is None or abs(value) < 2**63 for value in changed):
                table.labels = pa.array(changed, pa.int64())


def _change_names(files: Tables, generator: random.Random) -> None:
    """The names of the classes in another order, cut, doubled or lengthened, or metadata that are none."""
    names = [["eel", "cat", "dog"], ["cat", "dog"], ["cat", "cat", "eel"], [*CLASSES, "fox"], [], ["0", "2", "1"]]
    names += [["cat", None, 3], ["a\nb", "", " "], ["Cat", "Dog", "Eel"], ["x" * 300, "dog", "eel"]]
    spoilt_features = [b"{oops", b"[]", b"\xff", b'{"info": {"features": []}}', b'{"info": {"features": {"label": 3}}}']
    spoilt_features += [b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": {"a": 1}}}}}']
    chosen = generator.choice([*names, *spoilt_features])
    for table in _some(files, generator):
        if isinstance(chosen, bytes):
            table.features = chosen
        else:
            table.names = [*chosen]


def _rename_file(files: Tables, generator: random.Random) -> None:
    """To another name of its part, to none, to another part, or into folders."""
    path, table = _one(files, generator)
    folder, _, name = path.rpartition("/")
    names = {"train": "Training", "validation": "VAL", "test": "eval_2", "beside": "more", "hidden": ".more"}
    renamed = {
        f"{folder}/{names[table.part]}-0.parquet": table.part,
        f"{folder}/index.parquet": "beside",
        f"{folder}/.{name}": "hidden",
        f"{folder}/{'trainval' if table.part == 'train' else 'holdout'}.parquet": "beside",
        f"en/{path}": table.part,
        f"{names[table.part]}/0000.parquet": table.part,
        f"{names[table.part]}.parquet/part-0000.snappy.parquet": table.part,
        f"{folder}/{name.removesuffix('.parquet')}.PARQUET": table.part,
        f"{folder}/a\nb {name}": table.part,
    }
    target = generator.choice(sorted(renamed)).lstrip("/")
    part = renamed.get(target, renamed.get(f"/{target}", table.part))
    in_part = PART_WORDS.intersection(re.findall("[a-z]+", folder.rpartition("/")[2].lower()))
    table.part = table.part if part == "beside" and in_part else part
    files.tables[target] = files.tables.pop(path)


def _remove_file(files: Tables, generator: random.Random) -> None:
    del files.tables[_one(files, generator)[0]]


def _copy_file(files: Tables, generator: random.Random) -> None:
    """Under another number, as a second configuration, or into another part."""
    path, table = _one(files, generator)
    names = [f"other/{path}", path.replace(".parquet", "-1.parquet"), path.replace(".parquet", " (1).parquet")]
    names += [path.replace("train", "test"), "holdout.parquet"]
    target = generator.choice(names)
    if target not in files.tables:
        part = "test" if target.replace("train", "test") == target and "test" in target else table.part
        part = "beside" if "holdout" in target else part
        items = [item.copy() for item in table.items]
        columns, spoil = [*table.columns], [*table.spoil]
        files.tables[target] = replace(table, items=items, part=part, columns=columns, spoil=spoil)


def _copy_rows(files: Tables, generator: random.Random) -> None:
    """Images of one file are in another one too, with that one's labels."""
    (_, table), (_, other) = _one(files, generator), _one(files, generator)
    for place in range(min(3, len(table.items), len(other.items))):
        other.items[place] = table.items[place].copy()


def _empty_file(files: Tables, generator: random.Random) -> None:
    """No row is left, or a single one."""
    _, table = _one(files, generator)
    count = generator.choice([0, 0, 1])
    table.items, table.labels = table.items[:count], table.labels[:count]


_MUTATIONS = [
    *(_spoil_images, _spoil_images, _spoil_file, _spoil_file, _rename_column, _drop_column, _order_columns),
    *(_add_column, _retype, _change_labels, _change_labels, _change_names, _rename_file, _remove_file),
    *(_copy_file, _copy_rows, _empty_file),
]
