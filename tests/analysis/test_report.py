import json
from itertools import product

import pytest

from analysis.objectives import objectives_named
from analysis.report import CONTENT, INPUTS, PAGE, report_problems, update_report, write_report
from analysis.snapshot import read_sweep
from kd_core.store.files import read_json, write_json
from tests.damages import DAMAGES, damage
from tests.products import finish, members_of, write_members


@pytest.fixture
def make_sweep(make_sweep, sketches):
    """Makes sweeps whose reports have figures that are not drawn."""
    return make_sweep


@pytest.fixture(scope="module")
def report(store):
    """The report of a sweep, its figures drawn."""
    return write_report(read_sweep(store, "demo"))


def written(store):
    """The time at which each file of the report was written."""
    return {path.name: path.stat().st_mtime_ns for path in store.sweep("demo").report.iterdir()}


def test_the_report_lies_beside_its_front_as_table_data_and_figure_and_the_tables_of_the_paper(report):
    names = {path.name for path in report.path.parent.iterdir()}
    tables = {f"table{number}.{kind}" for number in (1, 2, 3, 4, 5) for kind in ("csv", "md", "tex")}
    assert names == {"report.html", "front.json", "front.csv", "front.svg", INPUTS, *tables}
    content = json.loads((report.path.parent / "front.json").read_text(), parse_constant=pytest.fail)
    assert content.pop("sha256")
    assert content == json.loads(json.dumps(report.content))


def test_every_finished_arm_has_intervals_and_a_probability(report):
    assert [row["arm"] for row in report.arms] == [
        "classic",
        "mixup",
        "kd resnet T=2",
        "kd_mixup resnet T=sigma alpha=0.2",
    ]
    for row in report.arms:
        low, high = row["accuracy_interval"]
        assert low < row["accuracy"] < high
        assert 0 <= row["ece_interval"][0] <= row["ece_estimate"] <= row["ece_interval"][1]
        assert row["ece_scaled_interval"][0] <= row["ece_scaled_interval"][1]
        assert 0 <= row["front_probability"] <= 1
        assert row["plausible"] or not row["on_front"]
    assert {row["arm"] for row in report.front} == {row["arm"] for row in report.arms if row["on_front"]}


def test_equal_records_give_equal_bytes(report, store):
    before = {path.name: path.read_bytes() for path in report.path.parent.iterdir()}
    write_report(read_sweep(store, "demo"))
    assert before == {path.name: path.read_bytes() for path in report.path.parent.iterdir()}


def test_a_report_of_equal_records_is_not_written_again_and_shows_the_same(make_sweep):
    store = make_sweep()
    first = update_report(read_sweep(store, "demo"))
    before = written(store)
    again = update_report(read_sweep(store, "demo"))
    assert written(store) == before
    assert (again.path, again.content) == (first.path, first.content)


def test_other_objectives_give_another_front_until_the_sweep_is_run_again(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}, {"method": "mixup"}], teachers=(), seeds=(0,))
    first = update_report(read_sweep(store, "demo"))
    other = write_report(read_sweep(store, "demo"), objectives_named(["nll_scaled", "num_parameters"]))
    assert list(other.content["temperature_scaled"]["objectives"]) == ["validation/nll_scaled", "num_parameters"]
    assert read_json(other.path.parent / "front.json") == other.content
    assert update_report(read_sweep(store, "demo")).content == first.content


def test_a_sweep_is_compared_with_another_one_of_the_store(make_sweep):
    store = make_sweep()
    write_members(store.sweep("twin"), "name: twin\n", members_of(store.sweep("demo")) | {"sweep": "twin"})
    page = write_report(read_sweep(store, "demo"), against=read_sweep(store, "twin")).path.read_text()
    assert "twin: kd resnet T=2" in page


@pytest.mark.parametrize("choices", [{"arms": [{"method": "classic"}], "teachers": ()}, {"seeds": (0,)}])
def test_one_arm_and_arms_without_replicates_have_a_report(make_sweep, choices):
    assert update_report(read_sweep(make_sweep(**choices), "demo")).arms[0]["front_probability"] > 0


def test_without_a_finished_trial_the_report_says_so(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], seeds=(0,), teachers=(), unfinished=("classic seed 0",))
    report = update_report(read_sweep(store, "demo"))
    assert (report.front, report.arms, report.claims) == ([], [], [])
    assert "No trial has finished" in report.path.read_text()


def test_a_dominated_trial_changes_no_front(make_sweep, tmp_path):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": 2}]
    store = make_sweep(arms=arms)
    before = update_report(read_sweep(store, "demo")).front
    members, worst = members_of(store.sweep("demo")), store.trial("worst")
    first, splits = store.trial("trial-0-0").state(), {}
    for split in ("validation", "test"):
        splits[split] = store.trial("trial-0-0").predictions(split)
    worst_of = {"accuracy": 0.01, "confidence": 1.0, "ece": 0.99}
    metrics = {f"validation/{name}{suffix}": value for name, value in worst_of.items() for suffix in ("", "_scaled")}
    finish(worst, first.config, splits, metrics=first.result.metrics | metrics)
    trial = {"key": "worst", "label": "worst seed 0", "arm": "worst", "teacher": None, "seed": 0}
    write_members(store.sweep("demo"), "name: demo\n", members | {"trials": [*members["trials"], trial]})
    after = update_report(read_sweep(store, "demo")).front
    assert [row["arm"] for row in after] == [row["arm"] for row in before]


def fail_a_trial(store):
    """Make a finished trial fail."""
    record = store.trial("trial-0-0")
    (record.path / "manifest.json").unlink()
    record.fail("FloatingPointError: the loss is nan", "")


def forget_an_objective(store):
    """Remove an objective."""
    members = members_of(store.sweep("demo"))
    write_members(store.sweep("demo"), "", members | {"objectives": {"validation/accuracy": "max"}})


def make_it_older(store):
    """Give the report an older version."""
    path = store.sweep("demo").report / INPUTS
    write_json(path, read_json(path) | {"version": 0})


def lose_a_figure(store):
    """Remove a file of the report."""
    (store.sweep("demo").report / "table1.tex").unlink()


@pytest.mark.parametrize("changes", [(fail_a_trial, forget_an_objective), (make_it_older, lose_a_figure)])
def test_a_report_is_written_again_where_anything_that_it_is_made_of_has_changed(make_sweep, changes):
    store = make_sweep(arms=[{"method": "classic"}, {"method": "mixup"}], teachers=(), seeds=(0,))
    update_report(read_sweep(store, "demo"))
    for change in changes:
        before = written(store)
        change(store)
        update_report(read_sweep(store, "demo"))
        after = written(store)
        assert after.keys() == before.keys()
        assert all(after[name] > before[name] for name in before), change.__name__


def test_a_damaged_file_of_a_report_is_named_and_written_again(make_sweep):
    """Every file in every way; what a report does about it is the same for all, and is asked of one."""
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0,))
    folder = update_report(read_sweep(store, "demo")).path.parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert report_problems(store, "demo") == []
    for name, kind in product((CONTENT, INPUTS, PAGE, "front.csv"), DAMAGES):
        damage(folder / name, kind)
        (problem,) = report_problems(store, "demo")
        assert problem.startswith(f"{folder / name}: is "), (name, kind)
        (folder / name).write_bytes(before[name])
    for damages in ({CONTENT: "flipped", PAGE: "cut"}, {INPUTS: "deleted"}):
        for name, kind in damages.items():
            damage(folder / name, kind)
        update_report(read_sweep(store, "demo"))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert report_problems(store, "demo") == []


def test_a_report_that_was_never_written_is_no_problem(make_sweep):
    assert report_problems(make_sweep(), "demo") == []
