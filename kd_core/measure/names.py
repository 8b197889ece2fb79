"""The names of the figures of a model on a split, in the order in which they are listed."""

FIGURES = (
    *("accuracy", "balanced_accuracy", "confidence", "gap", "ece", "ece_debiased", "mce", "nll", "brier"),
    *("aurc", "augrc"),
)
ACCURACIES = ("accuracy", "balanced_accuracy")  # figures that are the same in every reading
STORED_FIGURES = ("classwise_ece", "set_size", "set_coverage")  # need every probability and are stored, not derived
SUMMARY_FIGURES = (*FIGURES, *STORED_FIGURES)
