import pytest

from kd_core.config.errors import DamagedError
from kd_core.store.records import Store, left_out
from tests.damages import DAMAGES, damage
from tests.products import finish, members_of, write_members


def test_teachers_and_trials_differ_in_two_names(store):
    teacher, trial = store.teacher("key"), store.trial("key")
    assert (teacher.weights.name, trial.weights.name) == ("weights.safetensors", "student.safetensors")
    finish(teacher)
    assert teacher.state().manifest.kind == "teacher"
    assert teacher.state().manifest.files.keys() == {"journal.jsonl", "weights.safetensors"}
    assert teacher.key == "key"
    assert trial.status == "pending"


def test_a_relative_storage_is_the_same_folder_for_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store.at("runs")
    assert store.local == tmp_path / "runs"
    assert store.root.is_absolute()
    assert Store.at("memory://runs").local is None


def test_a_file_url_is_a_local_store(tmp_path):
    assert Store.at(f"file://{tmp_path}").local == tmp_path


def test_a_sweep_lists_its_members(store):
    assert list(store.sweeps()) == []
    with pytest.raises(FileNotFoundError, match="no sweep named first"):
        members_of(store.sweep("first"))
    for name in ("second", "first"):
        write_members(store.sweep(name), "name: x\n", {"sweep": name, "trials": []})
    assert [sweep.name for sweep in store.sweeps()] == ["first", "second"]
    assert members_of(store.sweep("first"))["trials"] == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "..", "a b", "-x", "a\n", "a\\b", "x" * 101])
def test_a_sweep_name_that_is_no_file_name_is_refused(store, name):
    with pytest.raises(ValueError, match="is no sweep name"):
        store.sweep(name)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_list_of_a_sweep_or_its_spec_is_one_sentence(store, kind):
    sweep = store.sweep("first")
    write_members(sweep, "name: first\n", {"sweep": "first", "trials": []})
    assert sweep.spec_yaml() == "name: first\n"
    damage(sweep.path / "spec.yaml", kind)
    with pytest.raises(FileNotFoundError if kind == "deleted" else DamagedError, match=r"spec\.yaml"):
        sweep.spec_yaml()
    (problem,) = sweep.problems()
    assert problem.startswith(f"{sweep.path / 'spec.yaml'}: is ")
    damage(sweep.path / "index.json", kind)
    said = (
        "no sweep named first"
        if kind == "deleted"
        else r"index\.json: (is damaged|was written by another version).*; run its spec again"
    )
    with pytest.raises(FileNotFoundError, match=said):
        members_of(sweep)
    write_members(sweep, "name: first\n", {"sweep": "first", "trials": []})
    assert sweep.problems() == []


def test_a_latency_is_kept_once_a_form_and_device(store):
    assert store.latencies() == []
    first = {"form": {"student": "a"}, "device": "cpu", "ms_1": 1.0}
    for latency in (first, first | {"device": "gpu"}, first | {"ms_1": 2.0}):
        store.keep_latency(latency)
    assert sorted((each["device"], each["ms_1"]) for each in store.latencies()) == [("cpu", 2.0), ("gpu", 1.0)]


def test_a_damaged_latency_is_none(store):
    for device in ("cpu", "gpu"):
        store.keep_latency({"form": {}, "device": device})
    damage(store.latency_files()[0], "flipped")
    assert len(store.latencies()) == 1


def test_followers_are_left_out_where_the_scout_of_their_own_arm_was_stopped():
    trials = [("a", "scout", "stopped"), ("a", "follower", "pending"), ("a", "follower", "finished")]
    trials += [("b", "scout", "finished"), ("b", "follower", "pending"), ("c", "", "stopped"), ("c", "", "pending")]
    assert left_out(trials) == [False, True, False, False, False, False, False]
