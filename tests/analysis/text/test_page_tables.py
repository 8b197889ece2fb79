import numpy as np
import pandas as pd
import pytest

from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from analysis.text.page_tables import against_table, failures_of, front_table, header_of, paper_table
from kd_core.measure.predictions import RAW, SCALED


@pytest.fixture(scope="module")
def findings(store):
    return findings_of(read_sweep(store, "demo"))


def test_plausible_arms_come_with_intervals_the_likeliest_first(findings):
    table = front_table(findings.shipped)
    assert len(table.rows) == np.count_nonzero(findings.points["plausible"])
    place = table.headers.index("Front probability")
    probabilities = [float(row[place]) for row in table.rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all("–" in row[table.headers.index("Accuracy %")] for row in table.rows)


def test_the_third_reading_is_a_column_where_a_plausible_arm_has_it(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    snapshot = read_sweep(make_sweep(arms=arms), "demo")
    sigma = findings_of(snapshot, {"num_parameters": "min"})  # all are alike, so all plausible
    table = front_table(sigma.readings[RAW])
    assert "ECE z/σ" not in front_table(sigma.readings[SCALED]).headers
    values = {row[0]: row[table.headers.index("ECE z/σ")] for row in table.rows}
    assert values["classic"] == ""
    assert float(values["kd resnet T=sigma"]) > 0
    plain = findings_of(read_sweep(make_sweep(arms=arms[:1]), "demo"))
    assert "ECE z/σ" not in front_table(plain.readings[RAW]).headers


def test_each_reading_has_the_validation_figures_that_it_is_judged_by(findings):
    for reading, figure in ((SCALED, "ece_scaled"), (RAW, "ece")):
        table = front_table(findings.readings[reading])
        ece = findings.points.set_index("arm")[f"validation/{figure}"]
        place = table.headers.index("Val. ECE")
        assert {row[0]: row[place] for row in table.rows} == {row[0]: f"{ece[row[0]]:.4f}" for row in table.rows}


def test_headers_are_short():
    assert [header_of(name) for name in ("accuracy", "ece_scaled", "nll")] == [
        "Accuracy %",
        "ECE as shipped",
        "NLL (nats)",
    ]


def test_differences_to_another_sweep_are_signed_and_side_by_side():
    columns = ["arm", "other_arm", "figure", "value", "low", "high"]
    rows = [("a", "x: a", "accuracy", 0.01, -0.02, 0.03), ("a", "x: a", "ece", -0.004, -0.01, 0.002)]
    table = against_table(pd.DataFrame(rows, columns=columns))
    assert table.headers == ["Arm", "Less", "Accuracy %", "ECE"]
    assert table.rows == [["a", "x: a", "+1.00 (−2.00 to +3.00)", "−0.0040 (−0.0100 to +0.0020)"]]
    assert against_table(None) is None


def test_what_failed_is_listed_with_its_reason(findings):
    assert failures_of(findings) == [("mixup seed 1", "FloatingPointError: the loss is nan at epoch 2")]


def test_a_sweep_on_other_data_than_the_paper_s_has_no_rows_of_it(findings):
    assert paper_table(findings) is None
