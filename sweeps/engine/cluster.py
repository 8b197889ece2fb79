"""The Ray cluster: connection and node resources; loads neither Tune nor torch."""

import gc
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what goes wrong in Ray is said in sentences of ours
    "RAY_AIR_NEW_OUTPUT": "0",  # stdout is for kdsweep's JSON
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the records serve as the log,
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # and for a restart
    "TUNE_MAX_PENDING_TRIALS_PG": "200",  # that wait for room, by which an autoscaler sees how many nodes to add
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # a signal ends the sweep at once; it resumes from the records
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
for _name, _value in _ENVIRONMENT.items():  # Ray reads some of these when it is imported
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray._private import worker as ray_worker  # noqa: E402

from sweeps.config.errors import SpecError  # noqa: E402
from sweeps.config.sweep import ResourcesConfig  # noqa: E402
from sweeps.engine.packing import Node, whole  # noqa: E402
from sweeps.engine.scratch import scratch_folder  # noqa: E402
from sweeps.terminal.interrupt import keeping_handlers, leave  # noqa: E402

_VITAL = {"raylet", "gcs_server"}  # the processes without which nothing goes on


@contextmanager
def cluster(address: str | None, resources: ResourcesConfig) -> Iterator[None]:
    """Connect to a Ray cluster while the block runs: at address or RAY_ADDRESS, or a new one on this machine.

    An existing connection of this process is used and left open. Raises SpecError if no node has room for a single
    trial.
    """
    if ray.is_initialized():
        _check_resources(resources)
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options = {"log_to_driver": False, "logging_level": logging.ERROR}
    with scratch_folder() as scratch:
        if address == "local":
            options |= {"include_dashboard": False, "_temp_dir": str(scratch)}
        with keeping_handlers():
            _start(address, options)
        ending = threading.Event()
        _watch(ending)
        try:
            _check_resources(resources)
            yield
        finally:
            ending.set()
            _shut_down()


def _start(address: str, options: dict[str, Any]) -> None:
    """Connect to Ray; one of our own, which has 30 s to start, gets a second chance on a busy machine."""
    if address == "local":
        try:
            ray.init(address, **options)
            return
        except Exception as error:  # Ray raises nothing more special
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
    ray.init(address, **options)


def _shut_down() -> None:
    """End the connection, while no thread frees one of Ray's objects: it would find no Ray, and abort."""
    gc.collect()
    gc.disable()
    ray.shutdown()
    gc.enable()


def _watch(ending: threading.Event) -> None:
    """End the program with a sentence if a process of our own Ray dies, without which its library would abort."""
    processes: dict[str, Any] = getattr(ray_worker._global_node, "all_processes", {})  # none of a cluster of others

    def wait_for(kind: str, process: Any) -> None:
        """Leave when a process has ended by itself."""
        process.wait()
        if not ending.is_set():
            leave(1, f"kdsweep: Ray's {kind} died; nothing is lost")

    for kind in _VITAL.intersection(processes):
        for each in processes[kind]:
            threading.Thread(target=wait_for, args=[kind, each.process], name=f"watch-{kind}", daemon=True).start()


def _check_resources(resources: ResourcesConfig) -> None:
    nodes = nodes_of_cluster()
    cpus, gpus = [node.cpus for node in nodes], [node.gpus for node in nodes]
    for kind, wanted, there in (("CPU", resources.cpu, cpus), ("GPU", resources.gpu, gpus)):
        largest = max(there, default=0)
        if wanted > largest:
            key = f"resources.{kind.lower()}"
            problem = f"no node of the Ray cluster has more than {largest:g} {kind}s"
            raise SpecError(f"{key}: {wanted:g}: {problem}; --set {key}={largest:g}")


def nodes_of_cluster() -> list[Node]:
    """The resources of each living node."""
    amounts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(each.get("CPU", 0), each.get("GPU", 0), each.get("memory", 0)) for each in amounts]


def whole_resources(resources: ResourcesConfig) -> ResourcesConfig:
    """The resources of a teacher: those of the spec, or with auto, a whole GPU if the cluster has GPUs."""
    return whole(nodes_of_cluster(), resources.workers) if resources.auto else resources
