"""make bench: run every benchmark, or those named, write tests/benchmarks/results.json and draw shared_teacher.svg."""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from analysis.drawing.style import svg_of
from kd_core.evaluate.latency import processor_name
from tests.benchmarks import (
    corruptions,
    coverage,
    data_mutants,
    early_stopping,
    gpu,
    idle,
    imagenet,
    kills,
    labelling,
    large_report,
    many_trials,
    memory,
    mutants,
    mutation,
    object_store,
    overhead,
    search,
    shared_teacher,
    step,
)


def all_mutants() -> dict[str, Any]:
    """How many of 10,000 spoilt specs and of 2,000 spoilt sources of images are answered wrongly (none may be)."""
    return mutants.measure() | data_mutants.measure()


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "step": step.measure,
    "overhead": overhead.measure,
    "idle": idle.measure,
    "memory": memory.measure,
    "gpu": gpu.measure,
    "labelling": labelling.measure,
    "shared_teacher": shared_teacher.measure,
    "coverage": coverage.measure,
    "corruptions": corruptions.measure,
    "early_stopping": early_stopping.measure,
    "search": search.measure,
    "large_report": large_report.measure,
    "trials_1000": many_trials.measure,
    "trials_10000": many_trials.simulate,
    "mutants": all_mutants,
    "mutation": mutation.measure,
    "kills": kills.measure,
    "imagenet": imagenet.measure,
    "object_store": object_store.measure,
}
RESULTS = Path(__file__).parent / "results.json"
FIGURE = RESULTS.with_name("shared_teacher.svg")
FIGURE_WIDTH = 720  # pixels


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--draw", "only_draw", is_flag=True, help="Draw the results as they are and run nothing.")
def main(names: tuple[str, ...], only_draw: bool) -> None:
    """Run the named benchmarks, or all, and keep the results of the others."""
    console = Console(stderr=True)
    for name in () if only_draw else names or BENCHMARKS:
        console.print(f"{name}: {sentence_of(name)}", highlight=False)
        figures = BENCHMARKS[name]()
        keep(name, figures)
        console.print(table_of(figures))
    draw()


def sentence_of(name: str) -> str:
    """What a benchmark measures, from its docstring."""
    return " ".join((BENCHMARKS[name].__doc__ or "").split())


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": processor_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def read_results() -> dict[str, Any]:
    """Every benchmark that was run so far, on whatever machine: its machine and its figures."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write the figures of a benchmark into the results; one that was skipped displaces nothing that was measured."""
    results = read_results()
    if "skipped" not in figures or name not in results:
        results[name] = {"machine": machine(), "figures": figures}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table_of(figures: dict[str, Any]) -> Table:
    """One row a figure."""
    table = Table("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.3f}" if isinstance(value, float) else str(value))
    return table


def draw() -> None:
    """Draw the results of shared_teacher, if there are any; equal results give equal bytes."""
    figures = read_results().get("shared_teacher", {}).get("figures", {})
    if figures and "skipped" not in figures:
        svg = svg_of(shared_teacher.draw(figures), "What a sweep costs", standalone=True)
        FIGURE.write_text(svg.replace("<svg", f'<svg width="{FIGURE_WIDTH}"', 1))


if __name__ == "__main__":
    main()
