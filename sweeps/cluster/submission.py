"""Sweeps as Ray jobs: submitted under a fixed id, followed to their exit code, and stopped so that they resume."""

import asyncio
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp

from kd_core.config.identity import digest
from sweeps.cluster.job_server import JobServer
from sweeps.config.reader import to_yaml
from sweeps.config.sweep import SweepSpec

PACKAGES = ("kd_core", "analysis", "sweeps")
LEFT_OUT = ["?*.*", ".?*", *(f"!*.{kind}" for kind in ("py", "json", "yaml", "j2", "css", "js"))]  # as in .gitignore
_SPEC_FILE = "submitted.yaml"
POLL_S = 1.0
_START_S = 60.0
_LAST_LINES = 10  # of a log
ENDED = ("SUCCEEDED", "STOPPED", "FAILED")
_STOPPED_CODE = 143  # that of a program which SIGTERM ends
_ENVIRONMENT = {"RAY_JOB_STOP_WAIT_TIME_S": "30"}  # a sweep ends within 15 s of SIGTERM; Ray kills it after 3
_SWEEP, _STORAGE = "kdsweep.sweep", "kdsweep.storage"  # of a job's metadata


@dataclass(frozen=True)
class Submission:
    """A sweep's job: its id, whether it ran already, and where its log begins."""

    job: str
    attached: bool
    log_start: int = 0


def submit(server: JobServer, spec: SweepSpec, storage: str, tracking_uri: str | None) -> Submission:
    """Submit a sweep, or attach to the running job of the same spec, storage and tracking server.

    The cluster receives the spec and our packages, so that its nodes need only what these import. A job that has ended
    is submitted again under its id, and resumes.
    """
    text = to_yaml(spec)
    job = f"{spec.name}-{digest([text, storage, tracking_uri])}"
    status = server.status(job)
    if status is not None and status not in ENDED:
        return Submission(job, attached=True)
    command = ["python", "-m", "sweeps", "run", _SPEC_FILE, "--address", "auto", "--storage", storage]
    command += ["--tracking-uri", tracking_uri] if tracking_uri else []
    log_start = 0
    with server.asking(), tempfile.TemporaryDirectory() as folder:
        if status is not None:
            log_start = len(server.client.get_job_logs(job))  # Ray appends to the log of an earlier job of this id
            server.client.delete_job(job)
        Path(folder, _SPEC_FILE).write_text(text)
        sent = {"working_dir": folder, "py_modules": package_folders(), "excludes": LEFT_OUT}
        request = {
            "submission_id": job,
            "entrypoint": shlex.join(command),
            "runtime_env": sent | {"env_vars": _ENVIRONMENT},
            "metadata": {_SWEEP: spec.name, _STORAGE: storage},
        }
        _send(server.client, request)
    return Submission(job, attached=False, log_start=log_start)


def package_folders() -> list[str]:
    """The folders of our packages, wherever they are installed."""
    return [import_module(package).__path__[0] for package in PACKAGES]


def _send(client: Any, request: dict[str, Any]) -> None:
    """Submit a job; a cluster that has only just started is given some seconds to become ready for it."""
    started = time.monotonic()
    while True:
        try:
            client.submit_job(**request)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() - started > _START_S:
                raise
            time.sleep(POLL_S)
        else:
            return


def follow(server: JobServer, job: str, write: Callable[[str], object] | None = None, log_start: int = 0) -> int:
    """Wait until a job ends, and return the exit code of its sweep; write gets the log as it grows, from log_start."""
    if write is not None:
        asyncio.run(_tail(server, job, write, log_start))
    while (status := server.status(job)) not in (None, *ENDED):
        time.sleep(POLL_S)
    with server.asking():
        info = server.client.get_job_info(job)
    return _STOPPED_CODE if status == "STOPPED" else info.driver_exit_code if info.driver_exit_code is not None else 1


async def _tail(server: JobServer, job: str, write: Callable[[str], object], written: int) -> None:
    """Write the log of a job until it ends; a connection that breaks is made again, and goes on where it was."""
    while True:
        seen = 0
        try:
            async for text in server.client.tail_job_logs(job):
                seen += len(text)
                if seen > written:
                    write(text[max(0, len(text) - (seen - written)) :])
                    written = seen
            return
        except (RuntimeError, aiohttp.ClientError):
            if server.status(job) in (None, *ENDED):
                return
            await asyncio.sleep(POLL_S)


def jobs_of(server: JobServer, name: str) -> list[Any]:
    """Ray's details of the jobs of a sweep, the newest first."""
    with server.asking():
        found = [each for each in server.client.list_jobs() if (each.metadata or {}).get(_SWEEP) == name]
    return sorted(found, key=lambda each: each.start_time or 0, reverse=True)


def last_job(server: JobServer, name: str) -> dict[str, Any] | None:
    """Id, status, message and storage of the newest job of a sweep, and the last lines of its log; None without one."""
    found = jobs_of(server, name)
    if not found:
        return None
    newest = found[0]
    with server.asking():
        lines = [line for line in server.client.get_job_logs(newest.submission_id).splitlines() if line.strip()]
    said = {"id": newest.submission_id, "status": newest.status.value, "message": newest.message}
    return said | {"storage": newest.metadata.get(_STORAGE), "log": lines[-_LAST_LINES:]}


def stop(server: JobServer, name: str) -> list[str]:
    """End the running jobs of a sweep, so that submitting them again resumes it; returns their ids."""
    running = [each.submission_id for each in jobs_of(server, name) if each.status.value not in ENDED]
    with server.asking():
        for job in running:
            server.client.stop_job(job)
    for job in running:
        follow(server, job)
    return running
