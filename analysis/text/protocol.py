"""How a sweep was run and judged, for the end of its report: sizes, seeds, versions, time and teacher passes."""

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.runs import recycled_of
from analysis.snapshot import Snapshot, Teacher, Trial
from analysis.statistics.bootstrap import COVERAGE
from analysis.statistics.evidence import Evidence
from analysis.text.names import share_text, title_of
from analysis.text.provenance import provenance_of
from kd_core.config.checkpoint import checkpoint_caveat, is_given
from kd_core.config.data import DataSummary
from kd_core.config.recipe import TrainConfig
from kd_core.measure.calibration import NUM_BINS
from kd_core.store.index import SignalEntry
from kd_core.store.manifest import Manifest, TrialResult


def protocol_of(
    snapshot: Snapshot, runs: pd.DataFrame, validation: Evidence | None, test: Evidence | None
) -> dict[str, str]:
    """The protocol as titles and texts, from records only, so that equal records give equal text."""
    index, products = snapshot.index, [*snapshot.teachers, *snapshot.trials]
    manifests = [product.manifest for product in products if product.manifest]
    parts = {
        "Images": _images(index.data, validation, test),
        "Data": _notes(index.data, "taken", "left out"),
        "Doubts of the data": _notes(index.data, "doubtful"),
        "Seeds": ", ".join(str(seed) for seed in sorted(runs["seed"].unique())),
        "Selection": " ".join(provenance_of(runs)),
        "Teachers": _given_teachers(snapshot.teachers),
        "Calibration": f"ECE over {NUM_BINS} bins of equal width of the top-label confidence",
        "Temperature scaling": _scaling([manifest.result for manifest in manifests]),
        "Evidence": _resampling(validation) if test is not None else "",
        "Unstable arms": _unstable(test),
        "Computation": _computation([manifest.result.wall_s for manifest in manifests]),
        "Teacher passes": _teacher_passes(index.signals, snapshot.trials),
        "Recycled epochs": ", ".join(map(str, recycled_of(snapshot))),
        "Versions": _versions(manifests),
    }
    return {title: text for title, text in parts.items() if text}


def _resampling(validation: Evidence | None) -> str:
    if validation is None:
        return ""
    one_seed = "; with one seed an arm, they do not tell how much another seed would change"
    return (
        f"{share_text(COVERAGE)} intervals and front probabilities from {validation.num_resamples:,} paired resamples "
        f"of the images{', and of the seeds where an arm has several' if validation.freedom else one_seed}"
    )


def _unstable(test: Evidence | None) -> str:
    """The arms whose seeds differ visibly more than those of the others, in accuracy or ECE."""
    if test is None:
        return ""
    texts = [
        f"{arm} (seeds differ by {_amount(figure, test.deviation_of_seeds(figure, arm))} in {title_of(figure)}, "
        f"those of other arms by {_amount(figure, test.seed_deviation[figure])}): its interval is from its own seeds"
        for figure in ("accuracy", "ece")
        for arm in test.unstable.get(figure, [])
    ]
    return "; ".join(texts)


def _amount(figure: str, deviation: float) -> str:
    return f"{100 * deviation:.2f} points" if figure == "accuracy" else f"{deviation:.4f}"


def _images(sizes: DataSummary | None, validation: Evidence | None, test: Evidence | None) -> str:
    counts = {
        "training": sizes and sizes.num_train,
        "unlabelled for students of a teacher": (sizes and sizes.num_unlabelled) or None,
        "validation": validation.num_images if validation else sizes and sizes.num_validation,
        "test": test.num_images if test else sizes and sizes.num_test,
    }
    text = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count is not None)
    return text + (f"; {sizes.num_classes} classes at {sizes.image_size} px" if sizes else "")


def _notes(data: DataSummary | None, *kinds: str) -> str:
    return "; ".join(f"{note.kind}: {note.sentence}" for note in (data.notes if data else ()) if note.kind in kinds)


def _given_teachers(teachers: Iterable[Teacher]) -> str:
    """What to bear in mind of teachers that were given as checkpoints, or as folders with weights."""
    networks = [(teacher.entry.name, teacher.config.get("student", {})) for teacher in teachers]
    return checkpoint_caveat([name for name, network in networks if is_given(network)])


def _scaling(results: Sequence[TrialResult]) -> str:
    """For how many networks the validation images alone have no best temperature."""
    num_without = sum(not result.temperature_has_optimum for result in results)
    if not num_without:
        return ""
    return (
        f"the validation images of {num_without} of {len(results)} networks alone have no best temperature (all "
        "right, or no better than chance): there a weak prior around T = 1 decides, and more images would change it"
    )


def _computation(seconds: Sequence[float]) -> str:
    return f"{sum(seconds) / 3600:.2f} hours of training and evaluation in {len(seconds)} networks" if seconds else ""


def _teacher_passes(signals: Iterable[SignalEntry], trials: Iterable[Trial]) -> str:
    distilled = [trial.config for trial in trials if trial.config.get("teacher")]
    if not distilled:
        return ""
    live = sum(TrainConfig.model_validate(config["train"]).epochs for config in distilled)
    stored = sum(signal.epochs for signal in signals)
    if not stored:
        return f"{live:,}, one for each epoch of each distilled trial"
    return f"{stored:,} over the training images, stored and shared by the trials that would have made {live:,}"


def _versions(manifests: Iterable[Manifest]) -> str:
    """Every version that some product was made with."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for library, version in manifest.versions.items():
            found.setdefault(library, set()).add(version)
    return ", ".join(f"{library} {' and '.join(sorted(versions))}" for library, versions in sorted(found.items()))
