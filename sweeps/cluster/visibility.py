"""Checks, before a sweep begins, that every node of a cluster sees the same files."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kd_core.config.errors import SpecError
from kd_core.fields import shown
from kd_core.store.records import Store


def check_visible(paths: Iterable[tuple[str, str]], store: Store) -> None:
    """Raise SpecError if one of several nodes lacks the store of this process, or a path that its trials would read.

    paths are pairs of a place in the spec and a path; URLs are taken to be within reach.
    """
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(nodes) == 1:
        return
    wanted = {path: f"{where}: {shown(path)}" for where, path in paths if "://" not in path}
    with _marker(store) as marker:
        wanted |= {marker: f"--storage: {store.root}"} if marker else {}
        task = ray.remote(num_cpus=0, max_retries=0)(_missing)
        places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        missing = ray.get([task.options(scheduling_strategy=place).remote(list(wanted)) for place in places])
    for address, found in zip(nodes.values(), missing, strict=True):
        if found:
            remedy = "use a folder that every node mounts at the same path, or a URL"
            raise SpecError(f"{wanted[found[0]]}: node {address} does not see it; {remedy}")


@contextmanager
def _marker(store: Store) -> Iterator[str | None]:
    """The path of a new file in a local store, which goes when the block ends; None for a store at a URL."""
    if store.local is None:
        yield None
        return
    store.local.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=store.local, prefix=".visible-") as file:
        yield file.name


def _missing(paths: list[str]) -> list[str]:
    """The paths that this node does not see."""
    return [path for path in paths if not Path(path).exists()]
