from dataclasses import replace

from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from analysis.statistics.evidence import evidence_of
from analysis.text.protocol import protocol_of
from kd_core.store.files import read_json, write_json
from tests.products import edit, members_of, write_members


def evidence(store, split):
    runs = runs_of(read_sweep(store, "demo"))
    return evidence_of(runs, split, lambda key: store.trial(key).predictions(split), num_resamples=50)


def protocol_in(store, validation=None, test=None):
    """The protocol of the sweep of a store."""
    snapshot = read_sweep(store, "demo")
    return protocol_of(snapshot, runs_of(snapshot), validation, test)


def test_the_protocol_tells_sizes_seeds_resamples_time_and_teacher_passes(store):
    protocol = protocol_in(store, evidence(store, "validation"), evidence(store, "test"))
    assert protocol["Images"] == "200 validation, 200 test"
    assert protocol["Seeds"] == "0, 1"
    assert "Unstable arms" not in protocol
    assert protocol["Evidence"].endswith(
        "from 50 paired resamples of the images, and of the seeds where an arm has several"
    )
    assert protocol["Computation"].endswith("in 8 networks")
    assert protocol["Teacher passes"] == "12, one for each epoch of each distilled trial"
    assert "timm" in protocol["Versions"]


def test_with_one_seed_the_protocol_says_what_intervals_leave_out(make_sweep):
    store = make_sweep(seeds=(0,))
    protocol = protocol_in(store, evidence(store, "validation"), evidence(store, "test"))
    assert "do not tell how much another seed would change" in protocol["Evidence"]


def test_arms_whose_seeds_differ_much_more_are_told(store):
    test = replace(
        evidence(store, "test"),
        seed_deviation={"accuracy": 0.01, "ece": 0.002},
        own_deviation={"accuracy": {"mixup": 0.05}, "ece": {"mixup": 0.004}},
        unstable={"accuracy": ["mixup"], "ece": []},
    )
    protocol = protocol_in(store, evidence(store, "validation"), test)
    assert protocol["Unstable arms"] == (
        "mixup (seeds differ by 5.00 points in accuracy, those of other arms by 1.00 points): "
        "its interval is from its own seeds"
    )


def test_stored_signals_versions_and_sizes_are_told(make_sweep):
    store = make_sweep()
    sizes = {
        "fingerprint": "f",
        "num_train": 1000,
        "num_validation": 200,
        "num_test": 200,
        "num_classes": 5,
        "image_size": 8,
    }
    signal = {"key": "s", "label": "resnet", "teacher": "resnet", "epochs": 3}
    write_members(store.sweep("demo"), "", members_of(store.sweep("demo")) | {"data": sizes, "signals": [signal]})
    for product in (
        store.teacher("teacher-resnet"),
        *(store.trial(f"trial-{arm}-{seed}") for arm in range(4) for seed in (0, 1)),
    ):
        manifest = read_json(product.path / "manifest.json")
        write_json(product.path / "manifest.json", manifest | {"versions": {"torch": "2.14.1"}})
    protocol = protocol_in(store)
    assert protocol["Images"] == "1,000 training, 200 validation, 200 test; 5 classes at 8 px"
    more = members_of(store.sweep("demo")) | {"data": sizes | {"num_unlabelled": 3000}}
    write_members(store.sweep("demo"), "", more)
    images = "1,000 training, 3,000 unlabelled for students of a teacher, 200 validation, 200 test"
    assert protocol_in(store)["Images"].startswith(images)
    assert protocol["Teacher passes"] == (
        "3 over the training images, stored and shared by the trials that would have made 12"
    )
    assert protocol["Versions"] == "torch 2.14.1"
    assert "Evidence" not in protocol


def test_a_temperature_that_the_images_do_not_determine_is_told(make_sweep):
    store = make_sweep()

    def scaling(*known):
        for number, has_optimum in enumerate(known):
            edit(store.trial(f"trial-{number}-0"), result={"temperature_has_optimum": has_optimum})
        return protocol_in(store).get("Temperature scaling", "")

    assert scaling() == scaling(True, True) == ""
    assert scaling(True, False).startswith("the validation images of 1 of 9 networks alone have no best temperature")


def test_a_teacher_given_as_a_checkpoint_is_told(make_sweep):
    store = make_sweep()
    assert "Teachers" not in protocol_in(store)
    record = store.teacher("teacher-resnet")
    begun = record.state().begun
    student = begun.recipe["student"] | {"checkpoint": "/shared/resnet.safetensors"}
    edit(record, begun={"recipe": begun.recipe | {"student": student}})
    said = protocol_in(store)["Teachers"]
    assert said.startswith("the checkpoint of the teacher resnet may have been trained on images that are validation")
