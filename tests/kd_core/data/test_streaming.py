"""Streamed images give the same batches as images in memory, with any number of workers."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from kd_core.config.data import DataConfig, MixupConfig, ViewConfig
from kd_core.config.errors import DataError
from kd_core.config.identity import trial_key
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset, load
from kd_core.data.splits import fingerprint_of
from kd_core.data.streaming import StreamedSplit
from kd_core.data.survey import summarize
from kd_core.evaluate.evaluation import predict
from kd_core.evaluate.footprint import footprint
from kd_core.stream.vicinal import VicinalStream, batch_slots
from kd_core.training.loop import train
from tests.image_sources import noise, numbered

VIEWS = {"padded": ViewConfig(padding=2), "resized": ViewConfig(crop="resized")}
STUDENT = {"model": "test_efficientnet", "image_size": 16, "bottleneck": 16}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    """Forty noisy images of 12×12 pixels in two classes, as a folder of PNG files and as two parquet files."""
    root, cells = tmp_path_factory.mktemp("sources"), []
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        file = root / "folder" / ("cat", "dög")[index // 20] / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
        cells.append({"img": {"bytes": file.read_bytes(), "path": None}, "label": index // 20})
    (root / "parquet").mkdir()
    for shard in range(2):
        table = pa.Table.from_pylist(cells[shard::2])
        pq.write_table(table, root / "parquet" / f"train-{shard}.parquet", row_group_size=7)
    return {name: root / name for name in ("folder", "parquet")}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def both_ways(path: Path, num_workers: int = 0, **options) -> tuple[Dataset, Dataset]:
    """The same data in memory and streamed, the latter as a worker of the cluster gets it."""
    config = {"source": path.name, "path": str(path)} | options
    configs = [DataConfig.model_validate(config | {"streaming": each}) for each in (False, True)]
    in_memory, streamed = (load(each, num_workers) for each in configs)
    assert isinstance(streamed.train, StreamedSplit)
    return in_memory, pickle.loads(pickle.dumps(streamed))


def batches_of(dataset: Dataset, view: ViewConfig, batch_size: int) -> list[torch.Tensor]:
    """Every tensor of the first epoch of a stream, batch after batch."""
    count = len(dataset.train)
    drawn = VicinalStream(0, count, MixupConfig(), view).epoch(1)
    made = dataset.train.views(view, "cpu").batches(drawn, batch_slots(count, batch_size))
    fields = ("images", "labels", "partner_labels", "mixup_lambda")
    parts = zip(*([getattr(batch, field) for field in fields] for batch in made), strict=True)
    return [torch.cat(part) for part in parts]


@pytest.mark.parametrize("crop", VIEWS)
@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_streamed_batches_equal_those_in_memory_bit_for_bit(sources, source, crop):
    for num_workers in (0, 2):
        in_memory, streamed = both_ways(sources[source], num_workers, validation=0.15)
        expected = batches_of(in_memory, VIEWS[crop], 4)
        for batch_size in (4, 10):
            for part, other in zip(expected, batches_of(streamed, VIEWS[crop], batch_size), strict=True):
                assert torch.equal(part, other)


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_unlabelled_images_stream_as_they_are_in_memory(sources, tmp_path, source):
    paths = numbered("more/deep", 5)
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        noise(number, (9, 12)).save(tmp_path / path)
    options = {"unlabelled": str(tmp_path / "more"), "image_size": 12}
    for num_workers in (0, 2):
        in_memory, streamed = both_ways(sources[source], num_workers, **options)
        assert (streamed.num_train, streamed.num_unlabelled, streamed.fingerprint) == (29, 5, in_memory.fingerprint)
        for part, other in zip(*(batches_of(each, VIEWS["padded"], 4) for each in (in_memory, streamed)), strict=True):
            assert torch.equal(part, other)


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_images_at_a_url_are_those_of_the_folder_also_on_a_node_that_lacks_them(
    sources, source, s3, tmp_path, monkeypatch
):
    s3.fs.put(str(sources[source]), f"{s3.path}data", recursive=True)
    configs = [DataConfig(source=source, path=path, streaming=True) for path in (str(sources[source]), f"{s3}data")]
    assert summarize(configs[0]) == summarize(configs[1])
    here, sent = (load(config, num_workers=2) for config in configs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another node"))
    there = pickle.loads(pickle.dumps(sent))
    assert not (tmp_path / "another node").exists()
    for part, other in zip(*(batches_of(each, VIEWS["padded"], 4) for each in (here, there)), strict=True):
        assert torch.equal(part, other)
    assert (tmp_path / "another node" / "kd-sweeps" / "fetched").is_dir()
    assert there.train.part.images.name(3).startswith(f"{s3}data")


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_images_that_are_resized_stream_as_they_are_stored(sources, source):
    """Padded crops come from the resized image on both paths, odd sizes and an image_size included."""
    in_memory, streamed = both_ways(sources[source], image_size=9)
    for part, other in zip(*(batches_of(each, VIEWS["padded"], 4) for each in (in_memory, streamed)), strict=True):
        assert torch.equal(part, other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_streamed_evaluation_is_in_order(sources, num_workers):
    in_memory, streamed = both_ways(sources["parquet"], num_workers)
    expected = torch.from_numpy(in_memory.test.images)
    assert torch.equal(torch.cat(list(streamed.test.batches(3))), expected)
    np.testing.assert_array_equal(streamed.test.labels, in_memory.test.labels)


def test_training_either_way_gives_the_same_weights(sources):
    """Dropout is on: the loader must not draw from the generator that the student draws from."""
    in_memory, streamed = both_ways(sources["folder"])
    _, by_workers = both_ways(sources["folder"], 2)
    recipe = {"epochs": 2, "batch_size": 8}
    config = TrialConfig.model_validate(
        {"data": folder_config(sources), "method": "mixup", "student": STUDENT, "train": recipe}
    )
    networks = [list(train(config, dataset))[-1].network for dataset in (in_memory, streamed, by_workers)]
    for other in networks[1:]:
        for name, tensor in networks[0].state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    np.testing.assert_array_equal(predict(networks[0], in_memory.test), predict(networks[2], by_workers.test))


def folder_config(sources: dict[str, Path], **options) -> dict:
    """The content of a configuration of the folder source."""
    return {"source": "folder", "path": str(sources["folder"])} | options


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_streaming_changes_neither_fingerprint_nor_key_nor_summary(sources, source):
    configs = [
        TrialConfig.model_validate(
            {
                "data": {"source": source, "path": str(sources[source]), "streaming": streaming},
                "method": "classic",
                "view": {"crop": "resized"},
                "student": STUDENT,
                "train": {"epochs": 1},
            }
        )
        for streaming in (False, True)
    ]
    assert len({trial_key(config, fingerprint_of(config.data)) for config in configs}) == 1
    assert summarize(configs[0].data) == summarize(configs[1].data)


def test_a_resized_crop_of_the_original_has_another_key_than_one_of_the_resized_image(sources):
    content = {"method": "classic", "student": STUDENT, "train": {"epochs": 1}}
    keys = {
        (crop, streaming): trial_key(
            TrialConfig.model_validate(
                content | {"data": folder_config(sources, image_size=9, streaming=streaming), "view": {"crop": crop}}
            ),
            "fingerprint",
        )
        for crop in VIEWS
        for streaming in (False, True)
    }
    assert keys["padded", False] == keys["padded", True]
    assert keys["resized", False] != keys["resized", True]


@pytest.mark.parametrize("source", ["digits", "cifar10"])
def test_a_source_that_fits_in_memory_does_not_stream(source):
    with pytest.raises(ValidationError, match="remove streaming"):
        DataConfig(source=source, streaming=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_image_is_named_in_one_sentence_while_it_streams(tmp_path, num_workers):
    for index in range(20):
        file = tmp_path / "set" / ("cat", "dog")[index % 2] / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file)
    dataset = load(DataConfig(source="folder", path=str(tmp_path / "set"), streaming=True), num_workers)
    images = dataset.train.part.images  # type: ignore[union-attr]
    broken = images.name(int(dataset.train.part.numbers[5]))  # type: ignore[union-attr]
    Path(broken).write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        batches_of(dataset, ViewConfig(), 4)
    assert str(caught.value).startswith(f"data.path: {broken}: is no readable image")
    assert "\n" not in str(caught.value)
    Image.new("RGB", (8, 5)).save(broken)
    with pytest.raises(DataError, match=rf"data\.image_size.*{Path(broken).name} has 8×5 pixels.*8×8"):
        batches_of(dataset, ViewConfig(), 4)


def stream_an_epoch(folder, grown_bytes):
    """Run by a new process: how much more memory it takes once an epoch was streamed than at first."""
    dataset = load(DataConfig(source="folder", path=str(folder), streaming=True, validation=0.01, test=0.01))
    count = len(dataset.train)
    drawn = VicinalStream(0, count, MixupConfig(), ViewConfig()).epoch(1)
    batches = dataset.train.views(ViewConfig(), "cpu").batches(drawn, batch_slots(count, 64))
    taken = [footprint("cpu").host_bytes for _ in batches]
    grown_bytes.value = max(taken) - max(taken[:8])


def test_an_epoch_takes_no_more_memory_the_more_of_its_images_were_streamed(tmp_path, processes):
    """All 4,000 together take 94 MiB."""
    for index in range(4000):
        file = tmp_path / ("cat", "dog")[index % 2] / f"{index:04}.jpg"
        if index < 2:
            file.parent.mkdir()
            Image.effect_noise((90, 90), 50).convert("RGB").save(file)
        else:
            file.hardlink_to(tmp_path / ("cat", "dog")[index % 2] / f"{index % 2:04}.jpg")
    grown_bytes = processes.Value("q", -1)
    process = processes.Process(target=stream_an_epoch, args=(tmp_path, grown_bytes))
    process.start()
    process.join()
    assert 0 <= grown_bytes.value < 30 * 2**20
