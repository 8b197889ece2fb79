"""The latency of a student's form on a device that is named."""

import subprocess
import sys

import pytest
import timm
import torch

from kd_core.config.errors import ModelError
from kd_core.config.identity import digest
from kd_core.config.networks import StudentConfig
from kd_core.evaluate.latency import comparable, device_name, form_of, measure_latency, unmeasured


def form(**settings):
    """The form of a small student on digits, with other settings."""
    student = StudentConfig(**{"model": "test_efficientnet", "stem_stride": 1, **settings})
    return form_of(student.model_dump(mode="json"), num_classes=10, image_size=8)


def latency(model, device, measured_at=0.0):
    """A latency as if measured elsewhere."""
    numbers = {"threads": 1, "ms_1": 1.0, "ms_64": 0.5, "measured_at": measured_at}
    return {"form": form(model=model), "device": device} | numbers


def test_weights_do_not_matter_and_the_network_does():
    assert form(pretrained=True, dropout=0.1, checkpoint="/no/file") == form()
    others = [form(model="resnet10t"), form(bottleneck=8), form(image_size=16), form(stem_stride=None)]
    assert len({digest(each) for each in [form(), *others]}) == 5


def test_a_folder_counts_by_what_is_in_it(tmp_path):
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=3), tmp_path)
    model = f"local-dir:{tmp_path}"
    first = form(model=model)
    assert form(model=model) == first
    assert measure_latency(first)["ms_1"] > 0
    (tmp_path / "config.json").write_text("{}")
    assert digest(form(model=model)) != digest(first)
    (tmp_path / "config.json").unlink()
    assert form(model=model)["student"] == first["student"]


@pytest.fixture(scope="module")
def measured():
    """The latency of the small student."""
    return measure_latency(form())


def test_a_measurement_says_what_was_measured_and_on_what(measured):
    assert measured["form"] == form()
    assert (measured["device"], measured["threads"]) == (device_name(), 1)
    assert measured["torch"] == str(torch.__version__)
    assert 0 < measured["ms_64"] < measured["ms_1"]


def test_a_larger_network_takes_longer(measured):
    larger = measure_latency(form(model="resnet10t"))
    assert larger["ms_1"] > 1.3 * measured["ms_1"]
    assert larger["ms_64"] > 3 * measured["ms_64"]


def test_weights_are_not_looked_for():
    assert measure_latency(form(pretrained=True, checkpoint="/no/file"))["ms_1"] > 0


def test_a_measurement_leaves_threads_and_random_numbers_as_they_were():
    before = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    measure_latency(form())
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_network_that_cannot_be_built_is_an_error():
    with pytest.raises(ModelError):
        measure_latency(form(model="no_such_network"))


def test_latencies_are_compared_on_one_device_the_one_that_measured_most_or_last():
    models = ["resnet10t", "resnet18"]
    forms = [form(model=each) for each in models]
    one = [latency(each, "one") for each in models]
    other = latency("resnet18", "other", measured_at=2.0)
    assert {each["device"] for each in comparable([*one, other], forms).values()} == {"one"}
    assert comparable([one[1], other], forms) == {digest(forms[1]): other}
    assert comparable([other, latency("resnet50", "one")], forms) == {digest(forms[1]): other}
    assert comparable([], forms) == {}


def test_only_what_is_missing_is_measured_and_all_of_it_on_one_device():
    models = ["resnet10t", "resnet18"]
    forms = [form(model=each) for each in models]
    elsewhere = [latency(each, "elsewhere") for each in models]
    assert unmeasured(elsewhere, forms * 2) == []
    assert unmeasured(elsewhere[:1], forms * 2) == forms
    assert unmeasured([*elsewhere[:1], latency("resnet18", device_name())], forms) == forms[:1]
    assert unmeasured([], []) == []


def test_torch_is_loaded_only_to_measure():
    code = (
        "import sys, kd_core.evaluate.latency as latency; "
        "form = {'student': {}, 'num_classes': 2, 'image_size': 8}; "
        "there = {'form': form, 'device': 'x', 'measured_at': 0}; "
        "assert latency.unmeasured([there], [form]) == []; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
