"""The JSON schema of a spec: it accepts what the reader accepts, refuses what is wrong, and describes every key."""

import json
from importlib.resources import files

import pytest
import yaml
from jsonschema import Draft202012Validator

from kd_core.config.errors import SpecError
from kd_core.config.trial import TrialConfig
from sweeps.config.arms import trials_of
from sweeps.config.errors import models_in
from sweeps.config.reader import read_spec, shipped_specs, to_yaml
from sweeps.config.schema import schema_text, spec_schema
from sweeps.config.search import RangeConfig
from sweeps.config.sweep import SweepSpec
from sweeps.config.yaml_text import yaml_value

SPECS = files("sweeps").joinpath("specs")


@pytest.fixture(scope="module")
def problems():
    """The problems that the schema finds in the content of a spec."""
    Draft202012Validator.check_schema(spec_schema())
    validator = Draft202012Validator(spec_schema())
    return lambda content: [error.message for error in validator.iter_errors(content)]


def test_the_shipped_schema_is_what_the_command_prints_and_no_spec():
    """If this fails: kdsweep schema >sweeps/specs/spec.schema.json"""
    assert SPECS.joinpath("spec.schema.json").read_text() == schema_text() + "\n"
    assert "spec.schema" not in shipped_specs()


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_obeys_the_schema_as_it_is_and_resolved_and_names_it_first(name, problems, overrides_of):
    text = SPECS.joinpath(f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    assert not problems(yaml_value(text))
    assert not problems(yaml_value(to_yaml(read_spec(name, overrides_of(name)))))


@pytest.fixture
def edited(tiny, tmp_path):
    """The content and the file of the tiny spec with some keys replaced."""

    def edit(keys):
        """Replace keys, given as YAML."""
        content = yaml_value(tiny.read_text()) | yaml_value(keys)
        path = tmp_path / "edited.yaml"
        path.write_text(yaml.safe_dump(content))
        return content, str(path)

    return edit


ARMS = "search: {sampler: random, trials: 2}\narms: "


@pytest.mark.parametrize(
    "edits",
    [
        *("search: grid", "search: {sampler: tpe, trials: 3}", "early_stopping: null", "{}"),
        "teachers: {resnet: {model: a, pretrained: true}, both: {fuse: [resnet], rule: entropy}}",
        *("resources: auto", "resources: {auto: true, workers: 2}", "resources: {cpu: 2, gpu: 2e-1}"),
        *("signal: live", "signal: {mode: stored, max_gib: 1e1, recycle: 1_0}", "seeds: [0, '1']", "retries: 0"),
        *("view: {flip: 'no'}", "view: {flip: no}", "view: {crop: resized, scale: [2e-1, 1]}"),
        *("objectives: {validation/nll_scaled: min, latency_ms_1: min}", "objectives: {num_parameters: min}"),
        *("train: {epochs: 2, schedule: step, milestones: [1], learning_rate: 2e-1}", "stream_seed: '3'"),
        "train: {epochs: 2, schedule: piecewise, pieces: [{until: 1, start: 1e-3, end: 0}]}",
        "teachers: {resnet: {model: test_resnet, finetune: {epochs: 2, mixup: off}}}",
        "teachers: {resnet: {model: test_resnet, finetune: {epochs: 2, mixup: {fraction: 0.5}}}}",
        "early_stopping: {pareto_asha: {grace_epochs: 1}}",
        "arms: [{method: [classic, mixup]}]",
        "arms: [{method: kd, teacher: resnet, mixup: off}, {method: dkd, teacher: resnet, mixup: [off, uniform]}]",
        "arms: [{method: dkd, teacher: [resnet], dkd: {target: 2}, alpha: 2e-1}, {method: classic, dkd: null}]",
        "arms: [{method: kd, teacher: resnet, temperature: [2, 2e-1, sigma, null], recycle: [null, 1]}]",
        "arms: [{method: classic, train.milestones: [[1], [1, 2]], train.schedule: step}]",
        "arms: [{method: classic, view.scale: [[0.1, 1]], student: {model: test_efficientnet}}]",
        "arms: [{method: mixup, mixup: {fraction: 0.5}}, {method: mixup, mixup.fraction: 0.5}]",
        "arms: [{method: classic, train.batch_size: {choices: [16, 32]}, student.pretrained: [false]}]",
        ARMS + "[{method: kd, teacher: resnet, temperature: {low: 1, high: 9, log: true}, alpha: {low: 0, high: 1}}]",
        ARMS + "[{method: mixup, mixup.distribution: beta, mixup.concentration: {low: 1e-1, high: 1}}]",
    ],
)
def test_what_the_reader_reads_the_schema_accepts(edited, problems, edits):
    content, path = edited(edits)
    assert trials_of(read_spec(path))
    assert not problems(content)


@pytest.mark.parametrize(
    "edits",
    [
        *("name: ../up", "trian: {epochs: 1}", "data: {source: digitz}", "data: {path: /a}", "train: {epochs: -1}"),
        *("train: {epochs: two}", "train: {epochs: 1, batch_size: 7}", "student: null", "student: {modl: a}"),
        *("seeds: 3", "seeds: []", "seeds: [-1]", "resources: many", "resources: {cpu: 0}", "signal: sometimes"),
        *("search: all", "early_stopping: pareto_asha", "view: {flip: maybe}", "retries: 1000"),
        *("objectives: {}", "objectives: {validation/ec: min}", "objectives: {validation/ece: least}"),
        "objectives: {validation/accuracy: max, validation/ece: min, validation/nll: min, num_parameters: min}",
        "teachers: {../up: {model: a, pretrained: true}}",
        "teachers: {resnet: {model: test_resnet, finetune: {epochs: 2, mixup: maybe}}}",
        *("arms: []", "arms: [{}]", "arms: [{teacher: resnet}]", "arms: [{method: kdd}]", "arms: [{method: []}]"),
        "arms: [{method: kd, teacher: resnet, temprature: 2}]",
        "arms: [{method: kd, teacher: resnet, temperature: 0}]",
        "arms: [{method: kd, teacher: resnet, temperature: [2, warm]}]",
        "arms: [{method: kd, teacher: {model: a}}]",
        "arms: [{method: kd, teacher: true}]",
        "arms: [{method: kd, teacher: resnet, teacher.precision: bfloat16}]",
        "arms: [{method: kd, teacher: resnet, alpha: 2}]",
        "arms: [{method: classic, data.limit: 3}]",
        "arms: [{method: classic, seed: 3}]",
        "arms: [{method: classic, stream_seed: 3}]",
        "arms: [{method: classic, student.modl: a}]",
        "arms: [{method: classic, student: {bottleneck: 8}}]",
        "arms: [{method: classic, train.milestones: [1, 2], train.schedule: step}]",
        "arms: [{method: classic, train.optimizer: {choices: adamw}}]",
        ARMS + "[{method: kd, teacher: resnet, temperature: {low: 1}}]",
        ARMS + "[{method: kd, teacher: {low: 1, high: 2}}]",
        ARMS + "[{method: kd, teacher: resnet, alpha: {low: 0, high: 1, step: 2}}]",
    ],
)
def test_what_is_wrong_is_wrong_for_both(edited, problems, edits):
    content, path = edited(edits)
    assert problems(content)
    with pytest.raises(SpecError):
        trials_of(read_spec(path))


def models_of(model):
    """A model, and all models in its fields."""
    inside = [each for field in model.model_fields.values() for each in models_in(field.annotation)]
    return {model}.union(*map(models_of, inside))


def test_the_docstring_of_every_field_describes_its_key():
    schema = json.loads(schema_text())
    parts = schema["$defs"] | {SweepSpec.__name__: schema}
    settings = schema["properties"]["arms"]["items"]["properties"]
    for model in set.union(*map(models_of, (SweepSpec, TrialConfig, RangeConfig))):
        part = parts[model.__name__]
        properties = part["anyOf"][0]["properties"] if "anyOf" in part else part["properties"]
        for name, field in model.model_fields.items():
            assert field.description
            assert properties[name]["description"] == field.description, f"{model.__name__}.{name}"
    assert {*TrialConfig.model_fields} - {"data", "seed", "stream_seed"} <= settings.keys()
    for key, setting in settings.items():
        *_, name = key.split(".")
        owner = TrialConfig.model_fields[key.split(".")[0]]
        model = models_in(owner.annotation)[0] if "." in key else TrialConfig
        assert setting["description"] == model.model_fields[name].description
