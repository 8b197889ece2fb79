"""make bench: run the benchmarks and write tests/benchmarks/results.json; name some to run only those."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import overhead

BENCHMARKS = {"overhead": overhead.measure}
RESULTS = Path(__file__).parent / "results.json"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), platform.processor())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    threads = torch.get_num_threads()
    return {"cpu": cpu, "threads": threads, "gpu": gpu, "python": platform.python_version(), "torch": torch.__version__}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all, and keep the results of the others."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or list(BENCHMARKS):
        results[name] = {"machine": machine(), "figures": BENCHMARKS[name]()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        Console(stderr=True).print(f"{name}: {BENCHMARKS[name].__doc__}", soft_wrap=True)
        table = Table()
        table.add_column("figure")
        table.add_column("value", justify="right")
        for figure, value in results[name]["figures"].items():
            table.add_row(figure, f"{value:.3f}" if isinstance(value, float) else str(value))
        Console(stderr=True).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
