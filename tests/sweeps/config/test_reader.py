"""Specs: what they expand to, and that every mistake is one readable sentence."""

import pytest

from kd_core.config.errors import SpecError
from kd_core.fields import shown
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec, shipped_specs, to_yaml
from tests.benchmarks.mutants import measure


@pytest.mark.parametrize("resources", ["{cpu: 2}", "auto", "{auto: true, workers: 2}"])
def test_the_resolved_spec_reads_back_as_itself(tiny, tmp_path, resources):
    spec = read_spec(str(tiny), [f"resources={resources}"])
    (tmp_path / "again.yaml").write_text(to_yaml(spec))
    assert read_spec(str(tmp_path / "again.yaml")) == spec


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_parses(name, overrides_of):
    spec = read_spec(name, overrides_of(name))
    assert spec.name == name
    assert "classic" in {trial.config.method for trial in trials_of(spec)}  # with which a report compares


MISTAKES = {
    "arms.1.temprature=2": "arms[1].temprature: unknown key; did you mean temperature?",
    "trian.epochs=2": "trian: unknown key; did you mean train?",
    "teachers.resnet.finetune.epoch=2": "teachers.resnet.finetune.epoch: unknown key; did you mean epochs?",
    "arms.1.student.modl=x": "arms[1].student.modl: unknown key; did you mean model?",
    "arms.1.temperature=0": "arms[1].temperature: 0: must be a number above 0, or sigma",
    "arms.1.temperature=[2, warm]": "arms[1].temperature: warm: must be a number above 0, or sigma",
    "arms.1.alpha=2": "arms[1].alpha: 2: must be less than or equal to 1; alpha is weight of the hard-label",
    "data={source: folder, path: /no/where}": "data.path: /no/where: no such folder",
    "data={source: folder, path: /, unlabelled: file:///no/where}": "data.unlabelled: /no/where: no such folder",
    "data={source: folder, path: file:///no/where}": "data.path: /no/where: no such folder",
    "data={source: folder, path: 'sftp://me:word@host/a'}": "data: data.path is a URL with a password or a query",
    "data={source: parquet}": "data: the parquet source needs data.path",
    "train.batch_size=7": "train.batch_size: 7: must be even",
    "seeds=1": "seeds: 1: must be a list of seeds; write [0]",
    "seeds=3": "seeds: 3: must be a list of seeds; write [0, 1, 2]",
    "seeds=2024": "seeds: 2024: must be a list of seeds; write one such as [0, 1, 2]",
    "seeds=-1": "seeds: -1: must be a list of seeds; write one such as [0, 1, 2]",
    "seeds=three": "seeds: three: must be a list of seeds; write one such as [0, 1, 2]",
    "seeds=true": "seeds: True: must be a list of seeds; write one such as [0, 1, 2]",
    "seeds=[]": "seeds: must be a list of seeds; write one such as [0, 1, 2]",
    "seeds=[-1]": "seeds[0]: -1: must be greater than or equal to 0",
    "train.epochs=-1": "train.epochs: -1: must be greater than or equal to 0",
    "arms.1.temperature=[]": "arms[1].temperature: []: an empty list leaves no trial",
    "arms.1.teacher={model: resnet18}": "arms[1].teacher: {'model': 'resnet18'}: no such teacher",
    "arms.1.teacher=resnit": "arms[1].teacher: resnit: no such teacher; did you mean resnet?",
    "arms.1.data.limit=3": "arms[1].data: is shared by all arms",
    "arms.0.temperature=2": "arms[0]: classic learns from hard labels only and takes no temperature",
    "arms.0.mixup=uniform": "arms[0]: classic trains without mixup; use method: mixup",
    "arms.0.method=kd": "arms[0]: kd needs a teacher",
    "teachers.resnet.stem_stride=2": "teachers.resnet.stem_stride: 2: must be 1",
    "teachers.resnet={model: resnet18}": "teachers.resnet.finetune: missing, and so are weights",
    "teachers.resnet.checkpoint=/no/file": "teachers.resnet.checkpoint: /no/file: no such file",
    "teachers.resnet.classes=/no/file": "teachers.resnet.classes: /no/file: no such file; give one name a line",
    "teachers.resnet.model='local-dir:/no/model'": "teachers.resnet.model: /no/model: no such folder; give the folder",
    "student.model='local-dir:/no/model'": "student.model: /no/model: no such folder; give the folder",
    "student.model='hf-hub:resnet18'": "student.model: hf-hub:resnet18: a model of the hub is hf-hub:USER/NAME",
    "name=../up": "name: ../up: must be letters, digits",
    "objectives={validation/ec: min}": "objectives: validation/ec is no figure that selection may see; did you mean "
    "validation/ece?",
    "objectives={test/ece: min}": "objectives: test/ece is no figure that selection may see",
    "objectives={latency_ms: min}": "did you mean latency_ms_1?",
    "objectives={}": "objectives: name one to three",
    "early_stopping=pareto_asha": "early_stopping: pareto_asha: must be null, or a rule such as {pareto_asha: ",
    "objectives={validation/ece: least}": "objectives.validation/ece: least: must be 'max' or 'min'",
    **{
        f"teachers.both={{{fused}}}": f"teachers.both{said}"
        for fused, said in {
            "fuse: []": ".fuse: Tuple should have at least 1 item after validation, not 0; fuse is the names",
            "fuse: resnet": ".fuse: resnet: must be a valid tuple",
            "fuse: [resnet, resnit]": ".fuse: resnit: no such teacher; the spec has resnet",
            "fuse: [resnet, both]": ".fuse: both: is fused itself; name its members instead",
            "fuse: [resnet, resnet]": ".fuse: resnet and resnet are the same teacher; give each once",
            "fuse: [resnet], rule: max": ".rule: max: must be 'mean', 'confidence' or 'entropy'; rule is how their",
            "fuse: [resnet], seed: 1": ": seed: a fused teacher has no such key; remove it",
        }.items()
    },
    "resources=many": "resources: many: must be auto, or what a trial takes, such as {cpu: 2, gpu: 0.25}",
    "resources={auto: true, gpu: 1}": "resources: auto chooses gpu; remove gpu, or remove auto",
    "resources={auto: true, gpu: 0, cpu: 1}": "resources: auto chooses cpu and gpu; remove cpu and gpu, or remove auto",
    "resources={auto: maybe}": "resources.auto: maybe: must be a valid boolean",
    "signal=sometimes": "signal.mode: sometimes: must be 'auto', 'stored' or 'live'",
    "signal={mode: stored, recycle: 0}": "signal.recycle: 0: must be greater than 0; recycle is number of epochs",
    "resources.cpus=2": "resources.cpus: unknown key; did you mean cpu?",
    "arms.9.method=kd": "--set arms.9.method=kd: the spec has no such place",
    "train.epochs.more=2": "--set train.epochs.more=2: the spec says 2 there, which has no key more",
    "epochs": "--set epochs: must be KEY=VALUE",
    "student=null": "student: None: must be a valid dictionary",
    "train.epochs=0": "train.epochs: 0: a student would learn nothing; raise it, or give train.head_epochs",
    "arms=[{method: classic, train.epochs: [2, 0]}]": "arms[0].train.epochs: 0: a student would learn nothing",
    "train={}": "train.epochs: missing; epochs is passes over the training images",
    "arms.0.method={a: 1}": "arms[0].method: must be 'classic', 'mixup', 'kd'",
    "arms.1.teacher=true": "arms[1].teacher: True: no such teacher; the spec has resnet",
    "arms.1.temperature=1" + 400 * "0": "000: must be a number above 0, or sigma",
    "arms.1.alpha=1" + 400 * "0": "arms[1].alpha: 1000",
    "arms.1.alpha=-1" + 400 * "0": "arms[1].alpha: -1000",
    "data.image_size=1"
    + 30 * "0": "data.image_size: 1000000000000000000000000000000: must be less than or equal to 8192",
    "student.bottleneck=9223372036854775808": "student.bottleneck: 9223372036854775808: must be less than or equal to",
    "train.epochs=300000000": "train.epochs: 300000000: must be less than or equal to 99999; epochs is passes",
    "name=2020-01-01": "name: 2020-01-01: must be a valid string",
    "data={source: parquet, path: /" + 5000 * "x" + "}": "xxx: no such folder",
    "data={source: parquet, path: ~nobody-of-this-name/x}": "data.path: ~nobody-of-this-name/x: begins with ~",
    'student={model: a, "b\\n": 1}': "student.b\\n: unknown key; remove it",
    "arms.1.seed." + 5000 * "x" + "=1": "arms[1].seed: is shared by all arms",
    f"arms=[{{method: kd, a: {[*range(400)]}, b: {[*range(400)]}}}]": "arms[0]: makes 160000 trials",
}


@pytest.mark.parametrize("override", MISTAKES, ids=shown)
def test_a_mistake_is_one_sentence_that_names_key_value_and_remedy(tiny, override):
    with pytest.raises(SpecError) as error:
        read_spec(str(tiny), [override])
    message = str(error.value)
    assert MISTAKES[override] in message
    assert message.isprintable()
    assert len(message) < len(str(tiny)) + 500
    assert override.startswith(("arms.9", "train.epochs.more", "epochs")) or message.startswith(f"{tiny}: ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs=010", "010: YAML reads this as 8, a number of base 8; write the number in decimal, or quote it"),
        ("name=4:00", "4:00: YAML reads this as 240, a number of base 60; write the number in decimal, or quote it"),
        ("name=[", "is no valid YAML: expected the node content, but found '<stream end>'; quote what is text"),
        ("arms.-3.method=kd", "the spec has no such place as arms.-3.method; indices count from 0"),
    ],
)
def test_a_value_that_no_option_can_have_is_one_sentence(tiny, override, said):
    with pytest.raises(SpecError) as error:
        read_spec(str(tiny), [override])
    assert str(error.value).startswith(f"--set {override}: {said}")


def test_a_merge_key_in_a_spec_is_as_good_as_its_keys_written_out(tiny, tmp_path):
    text = tiny.read_text().replace("resnet: {", "resnet: &resnet {")
    (tmp_path / "merged.yaml").write_text(text.replace("student:", "  other: {<<: *resnet, seed: 1}\nstudent:"))
    teachers = read_spec(str(tmp_path / "merged.yaml")).teachers
    assert teachers["other"] == teachers["resnet"].model_copy(update={"seed": 1})


def test_an_option_changes_what_it_names_and_not_what_shares_an_anchor_with_it(cifar100):
    overrides = [f"data.path={cifar100}", "teachers.convnext_large.finetune.epochs=3"]
    spec = read_spec("paper-cifar100", overrides)
    epochs = {name: teacher.finetune.epochs for name, teacher in spec.teachers.items() if teacher.finetune}
    assert epochs == {"convnext_large": 3, "vit_base_patch16": 10, "resnet152v2": 10, "convnext_tiny": 10}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: [", "is no valid YAML"),
        ("just words", "must hold keys and values"),
        ("", "must hold keys and values"),
        ("name: a\ndata: {limit: 0100}\n", "line 2, column 15: 0100: YAML reads this as 64"),
    ],
    ids=shown,
)
def test_a_file_that_is_no_spec_is_refused_by_name(tmp_path, text, problem):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=problem) as error:
        read_spec(str(path))
    assert str(error.value).startswith(str(path))
    assert len(str(error.value)) < len(str(path)) + 500
    assert str(error.value).isprintable()


def test_data_at_a_url_are_within_reach_of_a_cluster_unless_they_are_a_folder_of_this_machine(tiny):
    def path(url, shared):
        """The data's path in a spec for a cluster whose nodes share a folder."""
        return read_spec(str(tiny), [f"data={{source: folder, path: '{url}'}}"], [shared]).data.path

    assert path("s3://bucket/images", "/nfs") == "s3://bucket/images"
    assert path("file:///nfs/images", "/nfs") == "file:///nfs/images"
    with pytest.raises(
        SpecError, match=r"data\.path: /home/images: the cluster may not see it; move it below a folder"
    ):
        path("file:///home/images", "/nfs")


@pytest.mark.parametrize("content", [b"name: \xff", b"\x80"])
def test_a_file_that_is_no_text_is_refused_by_name(tmp_path, content):
    (tmp_path / "broken.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=r"broken\.yaml: is no text in UTF-8"):
        read_spec(str(tmp_path / "broken.yaml"))


@pytest.mark.parametrize("source", ["x" * 5000, "~nobody-of-this-name/x.yaml", "a\0b"], ids=shown)
def test_a_name_that_no_file_can_have_is_no_spec(source):
    with pytest.raises(SpecError, match="no such file, nor a shipped spec; the shipped ones are"):
        read_spec(source)


def test_a_name_without_its_ending_is_told_the_file_that_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers.yaml").touch()
    with pytest.raises(SpecError, match=r"^flowers: no such file, nor a shipped spec; did you mean flowers\.yaml\?$"):
        read_spec("flowers")


def test_of_spoilt_specs_none_is_a_traceback_and_each_mistake_is_one_sentence():
    answered = measure(100, seed=1)
    assert answered["wrong"] == 0
    assert min(answered["sweeps"], answered["sentences"]) > 10


def test_an_unknown_spec_lists_the_shipped_ones():
    with pytest.raises(SpecError, match="quickstart"):
        read_spec("quikstart")


LATE = ["num_parameters", "latency_ms_1", "validation/ece_scaled", "validation/set_size"]


@pytest.mark.parametrize("objective", LATE)
def test_no_trial_is_stopped_by_what_no_epoch_measures(tiny, objective):
    overrides = [f"objectives={{validation/accuracy: max, {objective}: min}}"]
    assert objective in read_spec(str(tiny), overrides).objectives
    with pytest.raises(SpecError) as error:
        read_spec(str(tiny), [*overrides, "early_stopping={pareto_asha: {grace_epochs: 1}}"])
    assert f"early_stopping: {objective} is not measured after every epoch" in str(error.value)
    assert "\n" not in str(error.value)
