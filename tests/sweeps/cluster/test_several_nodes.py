"""README's page of a cluster as it stands: PostgreSQL, MLflow with passwords, a head, and a worker that dies."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run

from analysis.report import write_report
from analysis.snapshot import read_sweep
from kd_core.config.identity import trial_key
from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from kd_core.training.trial import run_trial
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec, to_yaml
from sweeps.tracking.sync import BackgroundSync, sync
from tests.products import members_of, write_members
from tests.sweeps.cluster.processes import free_port, kill_groups, wait_for_server

ROOT = Path(__file__).parents[3]
EMPTY = re.findall(r"^(\w+)=$", (ROOT / "sweeps" / "cluster" / "files" / "cluster.env").read_text(), re.M)
SECRETS = {name: f"{name.lower()}-0123456789-0123456789" for name in EMPTY}
HOLD_SECRETS = {"cluster.env", "mlflow-auth.ini"}  # files
EDITS = ["teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[0, 1, 2, 3]"]
NUM_TRIALS = 8
PORTS = ("5432", "5000", "6379", "8265")  # of the page
SOON_DEAD = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}  # a node that is gone


def commands_of_the_page() -> dict[str, str]:
    """The parts of README's block about a cluster, by the first words of the comments above them."""
    block = re.findall(r"^```bash\n(# Every machine.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)[0]
    return dict(re.findall(r"^# ([^,\n]*)[^\n]*\n(.*?)(?=^# |\Z)", block, re.M | re.S))


@dataclass
class Machines:
    """This machine as all those of the page, with free ports instead of the usual ones."""

    folder: Path
    page: dict[str, str] = field(default_factory=commands_of_the_page)
    ports: dict[str, int] = field(default_factory=lambda: {written: free_port() for written in PORTS})
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def tracking_uri(self) -> str:
        """The URL of MLflow."""
        return f"http://127.0.0.1:{self.ports['5000']}"

    def start(self, title: str, options: str = "", **environment: str) -> subprocess.Popen[bytes]:
        """Run a part of the page, after the part that every machine runs; a node is given more options."""
        text = self.page["Every machine"] + self.page[title]
        text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: str(self.ports[found[0]]), text)
        text = re.sub(r"\b(mlflow|head):(?=\d)", "127.0.0.1:", text).replace("/shared/", f"{self.folder}/shared/")
        if "ray start" in text:  # what two nodes of one machine may not share
            options += f" --dashboard-agent-listen-port={free_port()} --temp-dir={self.folder}/n{len(self.processes)}"
            text = text.replace("ray start", f"ray start {options}")
        paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log(title).open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-euc", text],
                env=os.environ | {"PATH": paths, "OMP_NUM_THREADS": "1"} | environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self, title: str) -> Path:
        """Where a part of the page writes what it says."""
        return self.folder / f"{title}.log"

    def asked(self, path: str) -> bytes:
        """What the job server answers."""
        signed = {"Authorization": f"Bearer {SECRETS['RAY_AUTH_TOKEN']}"}
        return requests.get(f"http://127.0.0.1:{self.ports['8265']}/api/{path}", headers=signed, timeout=60).content

    def nodes(self) -> list[dict[str, Any]]:
        """What Ray tells of each node."""
        return json.loads(self.asked("v0/nodes"))["data"]["result"]["result"]

    def start_nodes(self, num_workers: int) -> None:
        """Start the head and its workers, and wait until all have joined."""
        head = self.start("The head", **SOON_DEAD)
        wait_for_server(f"http://127.0.0.1:{self.ports['8265']}/api/version", head, self.log("The head"))
        workers = [self.start("Each worker", "--num-cpus=1") for _ in range(num_workers)]
        while len(self.nodes()) < 1 + num_workers:
            assert not any(each.poll() for each in workers), self.log("Each worker").read_text()
            time.sleep(0.1)

    def command_lines(self) -> bytes:
        """The command lines of every process, which all users of a machine see."""
        lines = (" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]))
        return "\n".join(lines).encode(errors="replace")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Callable[[int], dict[str, str]]]:
    """Starts Debian's PostgreSQL at a port; returns the environment in which psql is its administrator."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())  # PostgreSQL refuses root
    others = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="kd-", dir="/tmp") as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        data = f"{folder}/data"

        def run(program: str, *arguments: str) -> None:
            """Run one of PostgreSQL's programs."""
            subprocess.run([programs / program, "-D", data, *arguments], check=True, cwd=folder, stdout=-3, **others)

        def start(port: int) -> dict[str, str]:
            """Make a database folder and serve it; connections by TCP need a password."""
            run("initdb", "--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres", "--no-sync")
            options = f"-F -k {folder} -p {port} -c listen_addresses=127.0.0.1"
            run("pg_ctl", "-o", options, "-l", f"{folder}/log", "--wait", "start")
            return {"PGHOST": folder, "PGPORT": str(port), "PGUSER": "postgres"}

        yield start
        run("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture(scope="module")
def machines(postgres: Callable[[int], dict[str, str]]) -> Iterator[Machines]:
    """The environment file with its secrets, the database, and MLflow."""
    with tempfile.TemporaryDirectory(prefix="kd-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = Machines(Path(folder))
        content = (ROOT / "sweeps" / "cluster" / "files" / "cluster.env").read_text()
        content = content.replace("/shared/", f"{folder}/shared/").replace("http://mlflow:5000", made.tracking_uri)
        for name, secret in SECRETS.items():
            content = content.replace(f"\n{name}=\n", f"\n{name}={secret}\n")
        (made.folder / "cluster.env").write_text(content)
        try:
            assert made.start("PostgreSQL", **postgres(made.ports["5432"])).wait() == 0
            wait_for_server(f"{made.tracking_uri}/health", made.start("MLflow"), made.log("MLflow"))
            yield made
        finally:
            kill_groups(made.processes)


@pytest.fixture
def client(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of MLflow with the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "kdsweep")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_TRACKING_PASSWORD"])
    return MlflowClient(machines.tracking_uri)


def children_of(client: MlflowClient, name: str) -> list[Run]:
    """The runs of a sweep's trials in MLflow."""
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id], "tags.`kdsweep.trial` != ''") if experiment else []


def check_shown(client: MlflowClient, name: str, store: Store) -> None:
    """Check that each trial of a sweep has just one run in MLflow, which has finished with its figures."""
    children = children_of(client, name)
    shown = {run.data.tags["kdsweep.trial"]: run for run in children}
    assert len(children) == len(shown) == NUM_TRIALS
    for trial in members_of(store.sweep(name))["trials"]:
        run, result = shown[trial["key"]], store.trial(trial["key"]).result()
        assert run.info.status == "FINISHED"
        assert result.metrics.items() <= run.data.metrics.items()


def written_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder but those that hold secrets; servers may remove some meanwhile."""
    written = {}
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if name not in HOLD_SECRETS):
            with suppress(FileNotFoundError):
                written |= {str(path): path.read_bytes()} if path.is_file() else {}
    return written


def parent_of(process: int) -> int:
    """The process that started another one; of Ray's workers, their node's raylet."""
    return psutil.Process(process).ppid()


def processes_at_work(store: Store) -> list[int]:
    """The processes that have trained some epochs of a trial, and go on."""
    records = [store.trial(path.parent.name) for path in store.local.glob("trials/*/journal.jsonl")]
    holders = [
        record.lease.holder for record in records if len(record.journal().epochs) > 3 and record.result() is None
    ]
    return [holder.pid for holder in holders if holder is not None]


def test_the_page_as_it_stands_ends_with_every_trial_once_though_the_worker_dies(machines, client, tiny):
    spec = read_spec(str(tiny), [*EDITS, "name=flowers", "train.epochs=20"])
    (machines.folder / "flowers.yaml").write_text(to_yaml(spec))
    store = Store.at(machines.folder / "shared" / "runs")
    machines.start_nodes(num_workers=2)
    followed = machines.start("Your machine")
    while not (at_work := processes_at_work(store)):
        assert followed.poll() is None, machines.log("Your machine").read_text()
        time.sleep(0.05)
    command_lines = machines.command_lines()
    os.killpg(os.getpgid(parent_of(at_work[0])), signal.SIGKILL)  # the whole node
    assert followed.wait() == 0, machines.log("Your machine").read_text()

    said = machines.log("Your machine").read_text()
    assert [node["state"] for node in machines.nodes()].count("DEAD") == 1
    assert f"{NUM_TRIALS} finished, 0 stopped, 0 failed" in said
    assert (store.sweep("flowers").report / "report.html").stat().st_size > 10_000
    check_shown(client, "flowers", store)
    sync(store, "flowers", machines.tracking_uri)
    check_shown(client, "flowers", store)

    told = written_in(machines.folder) | {"jobs": machines.asked("jobs/"), "ps": command_lines}
    assert b"flowers" in told["jobs"]
    assert len(told) > 100
    secrets = [secret.encode() for secret in SECRETS.values()]
    assert [name for name, content in told.items() if any(secret in content for secret in secrets)] == []


def test_eight_trials_and_eight_sweeps_report_at_once(machines, client, tiny, tmp_path, wait_until):
    spec, store, warnings, epochs, trials = read_spec(str(tiny), EDITS), Store.at(tmp_path / "runs"), [], [], []
    dataset = load(spec.data)
    for trial in trials_of(spec):
        key = trial_key(trial.config, dataset.fingerprint)
        trials.append({"key": key, "label": trial.label, "arm": trial.arm, "teacher": None, "seed": trial.config.seed})
        epochs.append(run_trial(trial.config, dataset, store.trial(key)))
    content = {"objectives": dict(spec.objectives), "teachers": [], "trials": trials}
    content["data"] = dict(vars(summarize(spec.data)))
    write_members(store.sweep("tiny"), to_yaml(spec), content | {"sweep": "tiny"})

    def reporting():
        """The trials that MLflow shows running, with an epoch."""
        return [run for run in children_of(client, "tiny") if run.info.status == "RUNNING" and run.data.metrics]

    background = BackgroundSync(store, "tiny", machines.tracking_uri, warnings.append)
    for each in epochs:
        next(each)
    wait_until(lambda: len(reporting()) == NUM_TRIALS, machines.processes[1])
    for each in epochs:
        list(each)
    write_report(read_sweep(store, "tiny"))
    assert background.finish()
    assert warnings == []
    check_shown(client, "tiny", store)

    processes = {}
    for number in range(8):
        root, name = tmp_path / str(number), f"tiny{number}"
        shutil.copytree(tmp_path / "runs", root)
        write_members(Store.at(root).sweep(name), to_yaml(spec), content | {"sweep": name})
        command = [sys.executable, "-m", "sweeps", "sync", name, f"--storage={root}"]
        command.append(f"--tracking-uri={machines.tracking_uri}")
        processes[name] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for name, process in processes.items():
        _, said = process.communicate()
        assert (process.returncode, said.count("\n")) == (0, 1), said
        check_shown(client, name, Store.at(tmp_path / name.removeprefix("tiny")))


def test_a_wrong_tracking_password_is_one_sentence_and_no_sweep_ends_by_it(
    machines, client, kdsweep, tiny, store, monkeypatch
):
    place = ["--storage", store.root, "--tracking-uri", machines.tracking_uri]
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    told = f"MLflow at {machines.tracking_uri} refuses the user or the password; set MLFLOW_TRACKING_USERNAME"
    refused = kdsweep("sync", "tiny", *place)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert told in refused.stderr
    goes_on = kdsweep("run", tiny, *place, "--set", "name=refused")
    assert goes_on.exit_code == 0, goes_on.stderr
    assert goes_on.stderr.count(told) == goes_on.stderr.count("kdsweep sync refused") == 1
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_TRACKING_PASSWORD"])
    assert kdsweep("sync", "refused", *place).exit_code == 0
    assert len(children_of(client, "refused")) == 3
    hidden = kdsweep("sync", "tiny", *place[:3], machines.tracking_uri.replace("127.0.0.1", "localhost"))
    assert (hidden.exit_code, hidden.stderr.count("\n")) == (2, 1)
    assert "name its host among its --allowed-hosts" in hidden.stderr
