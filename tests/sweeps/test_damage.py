"""The damage matrix: every kind of file of a sweep, damaged in every way, under every command."""

import json
import shutil
from functools import partial
from itertools import cycle, product

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from kd_core.training.trial import run_trial
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.plan.upkeep import to_make_again
from sweeps.tracking.sync import embedded_uri
from tests.damages import DAMAGES, damage
from tests.products import STOP, members_of, write_members

PARTS = ("journal.jsonl", "{}.safetensors", "predictions-validation.npz", "predictions-test.npz", "manifest.json")
SHARED = ("spec.yaml", "mlflow.json", "report/inputs.json", "report/front.json", "report/report.html")
SHARED = tuple(f"sweeps/tiny/{name}" for name in SHARED)
FIGURES = ("accuracy", "ece", "nll", "ece_scaled")
COMMANDS = ("plan", "status", "report", "sync", "verify", "signal prune")


@pytest.fixture
def command_on(kdsweep, tiny):
    """Runs one command on a store; it must end by itself, with no traceback and one sentence if it complains."""

    def run(store, line, *options):
        """The result of the command."""
        words = line.split()
        words += {"plan": [str(tiny)], "signal": []}.get(words[0], ["tiny"])
        done = kdsweep(*words, "--storage", store.root, *options)
        assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
        assert "Traceback" not in done.output
        assert done.exit_code in (0, 1, 2)
        assert done.exit_code != 2 or done.stderr.count("\n") == 1, done.stderr
        return done

    return lambda store: partial(run, store)


@pytest.fixture
def command(command_on, store):
    """Runs one command on the store of the tiny sweep."""
    return command_on(store)


def records_of(store):
    """The teacher and the trials of the sweep, by label."""
    members = members_of(store.sweep("tiny"))
    teachers = {each["name"]: store.teacher(each["key"]) for each in members["teachers"]}
    return teachers | {each["label"]: store.trial(each["key"]) for each in members["trials"]}


def named(record, part):
    """The path of a part of a record."""
    return record.path / part.format(record.weights.name.split(".")[0])


def figures_of(store):
    """Everything that must come back: weights, figures and predictions of each record, and its epochs."""
    return {
        label: (
            record.weights.read_bytes(),
            record.result().metrics,
            [(record.path / f"predictions-{split}.npz").read_bytes() for split in ("validation", "test")],
            [(row["epoch"], row["train/loss"], row["validation/nll"]) for row in record.journal().epochs],
        )
        for label, record in records_of(store).items()
    }


def arms_of(done):
    """The figures of each arm as a command prints them."""
    return {row["arm"]: [row[name] for name in FIGURES] for row in json.loads(done.stdout)["arms"]}


def statuses_of(command):
    """Status and error of the teacher and of each trial, by label."""
    rows = json.loads(command("status", "--json").stdout)
    return {
        row["label"].removeprefix("teacher "): (row["status"], row["error"])
        for kind in ("teachers", "trials")
        for row in rows[kind]
    }


def check_commands(command, shown):
    """Run every command; those that print figures print those of before, or none."""
    for line in COMMANDS:
        done = command(line, "--json") if line == "report" else command(line)
        if line == "report":
            assert arms_of(done).items() <= shown.items()


@pytest.fixture
def whole(finished, tmp_path):
    """A copy of the store of the finished sweep, with its view in MLflow."""
    shutil.copytree(finished.store.local, tmp_path / "whole")
    return Store.at(tmp_path / "whole")


@pytest.fixture(scope="module")
def shown(finished):
    """The figures of each arm of the undamaged sweep."""
    return arms_of(finished)


PAIRS = list(product(PARTS, DAMAGES))


END_TO_END = {  # what becomes of the teacher and of three trials: every part and every kind
    "one": list(zip(PARTS[:4], DAMAGES[:4], strict=True)),
    "other": list(zip(PARTS[1:], ("deleted", "cut", "flipped", "empty"), strict=True)),
}


def is_forgotten(part, kind):
    """Whether a damaged product looks like one that never ended."""
    return (part, kind) == ("manifest.json", "deleted")


@pytest.mark.parametrize("label", ["resnet", "classic seed 0"])
def test_a_plan_makes_a_damaged_product_again_and_no_other(store, tiny, label):
    """Every part in every way; a damage that keeps a file's size is found out by whoever reads the file."""
    record, spec = records_of(store)[label], read_spec(str(tiny))
    for part, kind in PAIRS:
        path = named(record, part)
        content = path.read_bytes()
        damage(path, kind)
        problems = record.problems()
        assert [problem.split(": ")[0] for problem in problems] == ([] if is_forgotten(part, kind) else [str(path)])
        plan = plan_sweep(spec, store, summarize(spec.data))
        again = [each.name for each in plan.missing_teachers]
        again += [each.trial.label for each in plan.trials if not each.done]
        assert again == [label], (part, kind)
        assert [problem for problem in to_make_again(plan) if str(path) in problem] or is_forgotten(part, kind)
        path.write_bytes(content)
        record.path.joinpath(f"{path.name}.damaged").unlink(missing_ok=True)
    assert record.problems() == []


@pytest.mark.parametrize(("part", "kind"), zip(PARTS, cycle(DAMAGES), strict=False))
def test_a_damaged_file_is_named_and_costs_no_other_product_anything(store, command, part, kind):
    for label in ("resnet", "classic seed 0"):
        record = records_of(store)[label]
        path = named(record, part)
        content = path.read_bytes()
        damage(path, kind)
        assert command("plan").exit_code == 0
        command("status")
        done = command("verify", "--samples", "0", "--json")
        problems = json.loads(done.stdout)["problems"]
        gone = is_forgotten(part, kind)
        assert [problem.split(": ")[0] for problem in problems] == ([] if gone else [str(path)])
        assert done.exit_code == (0 if gone else 1)
        statuses = statuses_of(command)
        status, error = statuses.pop(label)
        assert status == ("pending" if gone else "damaged")
        assert gone or error.startswith(f"{path}: is ")
        assert set(statuses.values()) == {("finished", None)}
        path.write_bytes(content)
    assert set(statuses_of(command).values()) == {("finished", None)}


@pytest.mark.parametrize("turn", END_TO_END)
def test_whatever_is_damaged_no_command_shows_a_wrong_figure_and_a_run_makes_it_again(
    whole, sweep, command_on, shown, turn
):
    """Four products, the teacher among them, are damaged each in its own way."""
    before, command = figures_of(whole), command_on(whole)
    for (part, kind), record in zip(END_TO_END[turn], records_of(whole).values(), strict=True):
        damage(named(record, part), kind)
    check_commands(command, shown)
    again = command("report", "--from-mlflow", embedded_uri(whole), "--json")
    assert arms_of(again).items() <= shown.items()
    outcome, log = sweep(whole)
    assert outcome.ok, log
    assert figures_of(whole) == before
    assert {row["arm"]: [row[name] for name in FIGURES] for row in outcome.report.arms} == shown
    assert command("verify").exit_code == 0


def test_what_the_products_share_is_written_again_and_changes_no_figure(whole, sweep, command_on, shown):
    """Each shared file is damaged in its own way."""
    before, command = figures_of(whole), command_on(whole)
    (signal,) = whole.signals()
    files = [*(whole.local / path for path in SHARED), *whole.latency_files(), signal.path / "epoch-00001.npy"]
    kinds = dict(zip(files, DAMAGES * 2, strict=False))
    for path, kind in kinds.items():
        damage(path, kind)
    done = command("verify", "--samples", "60")
    assert done.exit_code == 1
    told = {line.split(": ")[0] for line in done.stderr.splitlines()}
    report = {whole.sweep("tiny").report / name for name in ("front.json", "report.html")}  # known by its inputs
    forgotten = {path for path, kind in kinds.items() if kind == "deleted" and path.name == "mlflow.json"}
    forgotten |= {path for path in whole.latency_files() if kinds[path] == "deleted"}
    assert told >= {str(path) for path in kinds.keys() - report - forgotten}
    check_commands(command, shown)
    outcome, log = sweep(whole)
    assert outcome.counts["reused"] == 3, log
    assert figures_of(whole) == before
    assert len(whole.latencies()) == 1
    problems = json.loads(command("verify", "--samples", "0", "--json").stdout)["problems"]
    assert all("epoch-00001.npy" in each for each in problems)  # no trial needs it: it is labelled anew when one does


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_sweep_whose_list_is_damaged_says_so(store, command, kind):
    path = store.sweep("tiny").path / "index.json"
    damage(path, kind)
    assert command("plan").exit_code == 0
    for line in COMMANDS[1:]:
        done = command(line)
        assert done.exit_code == 2
        assert ("no sweep named tiny" if kind == "deleted" else str(path)) in done.stderr
    assert len(store.signals()) == 1


def test_a_damaged_list_is_written_again_by_a_run(store, kdsweep, tiny, database, sketches):
    before = figures_of(store)
    shutil.copy(database, store.local)
    damage(store.sweep("tiny").path / "index.json", "cut")
    done = kdsweep("run", tiny, "--storage", store.root, "--json")
    assert json.loads(done.stdout)["trials"]["reused"] == 3
    assert figures_of(store) == before
    assert store.sweep("tiny").problems() == []
    assert len(members_of(store.sweep("tiny"))["trials"]) == 3


def test_a_sweep_that_was_left_half_done_and_damaged_goes_on(store, sweep, command):
    """All trials have begun, one has failed; the signal's manifest and an epoch are damaged, and both are needed."""
    before = figures_of(store)
    records = list(records_of(store).values())[1:]
    (signal,) = store.signals()
    for record in records:
        config = record.state().config
        shutil.rmtree(record.path)
        writer = ProductWriter(record, config)
        writer.write_checkpoint(1, b"no checkpoint")
        writer.append({"epoch": 1, "train/loss": 0.0})
    records[0].fail("ValueError: no", "")
    records[1].lease.renew(host="elsewhere")
    records[1].write_stop(STOP)
    files = [records[0].path / "failure.json", records[1].path / "lease.json"]
    files += [records[1].path / "stopped.json"]
    files += [record.path / "journal.jsonl" for record in records]
    files += [record.checkpoints()[0] for record in records]
    files += [signal.path / "epoch-00001.npy", signal.path / "manifest.json"]
    for number, path in enumerate(files):
        damage(path, DAMAGES[number % len(DAMAGES)])
    for line in ("plan", "status", "verify"):
        command(line)
    assert {status for label, (status, _) in statuses_of(command).items() if label != "resnet"} == {"pending"}
    outcome, log = sweep(store)
    assert outcome.ok, log
    assert figures_of(store) == before
    assert command("verify").exit_code == 0


def test_teacher_weights_that_are_gone_are_made_again_though_the_card_is_there(store, tiny):
    teacher = records_of(store)["resnet"]
    teacher.weights.unlink()
    assert teacher.status == "damaged"
    spec = read_spec(str(tiny))
    plan = plan_sweep(spec, store, summarize(spec.data))
    assert [each.name for each in plan.missing_teachers] == ["resnet"]
    assert f"{teacher.weights}: is missing" in list(to_make_again(plan))


def test_verify_with_other_teacher_weights_is_one_sentence(store, command):
    teacher = records_of(store)["resnet"]
    content = bytearray(teacher.weights.read_bytes())
    content[-1] ^= 1
    teacher.weights.write_bytes(content)
    done = command("verify")
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if "weights.safetensors: is damaged: its sha256 is" in line]


def test_a_damaged_trial_that_another_sweep_shares_is_named_by_both(tiny, store, kdsweep):
    spec = read_spec(str(tiny))
    (trial, *_) = trials_of(spec)
    record = records_of(store)[trial.label]
    assert list(run_trial(trial.config, None, record)) == []  # finished: the data is not even looked at
    listed = members_of(store.sweep("tiny"))
    write_members(store.sweep("other"), "name: other\n", listed | {"sweep": "other", "trials": listed["trials"][:1]})
    damage(record.path / "manifest.json", "cut")
    for name in ("tiny", "other"):
        done = kdsweep("verify", name, "--samples", "0", "--storage", store.root)
        assert done.exit_code == 1
        assert "manifest.json: is damaged: it is no JSON" in done.stderr
