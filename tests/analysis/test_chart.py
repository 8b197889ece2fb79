"""The interactive chart: every arm, in both readings."""

from analysis.chart import chart_of
from analysis.pareto import front_of, scaled
from analysis.runs import runs_of


def test_the_interactive_chart_holds_every_arm_once_a_reading(store):
    front = front_of(runs_of(store, "demo"))
    scaled_front = front_of(runs_of(store, "demo"), scaled(front.objectives))
    chart = chart_of(front, scaled_front)
    assert chart == chart_of(front, scaled_front)
    (points,) = [rows for rows in chart["datasets"].values() if "arm" in rows[0]]
    assert [(row["reading"], row["arm"]) for row in points] == [
        (reading, arm) for reading in ("raw", "temperature-scaled") for arm in front.points["arm"]
    ]
    for row in points:
        assert row["ece"] == row["ece_raw" if row["reading"] == "raw" else "ece_scaled"]
