from kd_core.measure.names import ACCURACIES, FIGURES, STORED_FIGURES, SUMMARY_FIGURES


def test_figures_have_one_name_each_and_accuracies_are_among_them():
    assert len(set(SUMMARY_FIGURES)) == len(SUMMARY_FIGURES) == len(FIGURES) + len(STORED_FIGURES)
    assert set(ACCURACIES) < set(FIGURES)
