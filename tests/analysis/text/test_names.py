from analysis.objectives import OBJECTIVE_FIGURES, figure_of
from analysis.statistics.bootstrap import Estimate
from analysis.text.names import interval_text, share_text, title_of, value_text


def test_figures_have_titles_and_texts():
    for name in OBJECTIVE_FIGURES:
        assert "_" not in title_of(figure_of(name))
        assert ("as shipped" in title_of(figure_of(name))) == name.endswith("_scaled")
    assert value_text("accuracy", 0.4705) == "47.05"
    assert value_text("ece", 0.04) == "0.0400"
    assert value_text("num_parameters", 123456) == "123,456"
    assert value_text("latency_ms_1", 0.12345) == "0.123"
    assert interval_text("accuracy", Estimate(0.5, 0.4, 0.6)) == "40.00–60.00"


def test_shares_are_percent_and_only_nothing_is_0():
    shares = [share_text(share).split("\N{NO-BREAK SPACE}") for share in (0.95, 1, 0.004, 0)]
    assert shares == [["95", "%"], ["100", "%"], ["less than 1", "%"], ["0", "%"]]
    assert share_text(0.7096, 1) == "71.0\N{NO-BREAK SPACE}%"
