import pytest

from analysis.report import FILES, INPUTS, report_of, update_report, write_report
from analysis.tables import front_rows
from kd_core.store.files import read_json, write_json


@pytest.fixture(scope="module")
def report(store):
    return write_report(store, "demo")


def written(store):
    """The time at which each file of the report was written."""
    return {path.name: path.stat().st_mtime_ns for path in store.sweep("demo").report.iterdir()}


def test_the_report_lies_beside_its_front_as_table_data_and_figure(report):
    assert {path.name for path in report.path.parent.iterdir()} == {*FILES, INPUTS}
    assert read_json(report.path.parent / "front.json")["raw"]["front"] == front_rows(report.front)
    assert len(report.runs) == 8


def test_equal_records_give_equal_bytes(report, store):
    before = {path.name: path.read_bytes() for path in report.path.parent.iterdir()}
    write_report(store, "demo")
    assert before == {path.name: path.read_bytes() for path in report.path.parent.iterdir()}


def test_a_report_of_equal_records_is_not_written_again_and_shows_the_same(make_sweep):
    store = make_sweep()
    first = update_report(store, "demo")
    before = written(store)
    again = update_report(store, "demo")
    assert written(store) == before
    assert (again.path, front_rows(again.front)) == (first.path, front_rows(first.front))
    assert front_rows(again.scaled_front) == front_rows(report_of(store, "demo").scaled_front)


def fail_a_trial(store):
    """Make a finished trial fail."""
    record = store.trial("trial-0-0")
    (record.path / "result.json").unlink()
    record.fail("FloatingPointError: the loss is nan", "")


def forget_an_objective(store):
    """Remove an objective."""
    members = store.sweep("demo").members()
    store.sweep("demo").write("", members | {"objectives": {"validation/accuracy": "max"}})


def make_it_older(store):
    """Give the report an older version."""
    path = store.sweep("demo").report / INPUTS
    write_json(path, read_json(path) | {"version": 0})


def lose_a_figure(store):
    """Remove a file of the report."""
    (store.sweep("demo").report / "front.svg").unlink()


@pytest.mark.parametrize("change", [fail_a_trial, forget_an_objective, make_it_older, lose_a_figure])
def test_a_report_is_written_again_where_anything_that_it_is_made_of_has_changed(make_sweep, change):
    store = make_sweep()
    update_report(store, "demo")
    before = written(store)
    change(store)
    update_report(store, "demo")
    after = written(store)
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)
