"""The batch script in a real Slurm of one node, which ends with its process group."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.sweeps.cluster.processes import free_port

FILES = Path(__file__).parents[3] / "sweeps" / "cluster" / "files"
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
FirstJobId={first}
SlurmUser=root
AuthInfo=socket={folder}/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus}
PartitionName=main Nodes=ALL Default=YES
"""
START = """
head -c 1024 /dev/urandom >key && chmod 600 key
munged --key-file="$PWD/key" --socket="$PWD/munge" --pid-file="$PWD/munge.pid" --seed-file="$PWD/seed" \
    --log-file="$PWD/munge.log" --force
slurmctld -D & slurmd -D & wait -n
"""


class Slurm:
    """Runs the commands of a Slurm whose files are in a folder."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def __call__(self, *command: str) -> str:
        """What a command prints; it must succeed."""
        done = self._try(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _try(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    @contextmanager
    def running(self) -> Iterator["Slurm"]:
        """While the block runs, so does Slurm, in a process namespace of its own: `ray stop` stops all Ray it sees."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        values = {"host": socket.gethostname().split(".")[0], "folder": self.folder, "cpus": os.cpu_count()}
        values |= {"ports": [free_port(), free_port()], "first": os.getpid() % 10000 + 1}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-ec", START]
        with (self.folder / "slurm.log").open("wb") as log:
            self.process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        try:
            self.wait(lambda: "idle" in self._try("sinfo").stdout)
            yield self
        finally:
            self.process.kill()
            self.process.wait()

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not is_so():
            assert self.process.poll() is None, (self.folder / "slurm.log").read_text()
            time.sleep(0.2)

    def state(self, job: str) -> str:
        """The state of a job, such as RUNNING."""
        return re.findall(r"JobState=(\w+)", self("scontrol", "show", "job", job))[0]


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    """A Slurm of this machine, whose folder has the batch script and a filled environment file."""
    assert shutil.which("slurmctld"), "the batch script is tested in Slurm; install slurmctld, slurmd, slurm-client"
    for name in ("slurm.sbatch", "cluster.env"):
        shutil.copy(FILES / name, tmp_path)
    text = (tmp_path / "cluster.env").read_text().replace("/shared/runs", str(tmp_path / "runs"))
    text = re.sub("^MLFLOW_TRACKING_URI=.*$", "", text, flags=re.MULTILINE)
    (tmp_path / "cluster.env").write_text(text.replace("RAY_AUTH_TOKEN=", "RAY_AUTH_TOKEN=" + "token0123456789" * 3))
    with Slurm(tmp_path).running() as running:
        yield running


def test_a_sweep_is_stopped_before_the_time_limit_queued_again_and_resumed(slurm, tiny, tmp_path):
    edits = {"teachers": {}, "arms": [{"method": "classic"}], "train": {"epochs": 80, "batch_size": 32}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(yaml.safe_load(tiny.read_text()) | edits))

    def journal() -> list[str]:
        """The lines of the epochs in the one trial's journal."""
        lines = [
            line for path in tmp_path.glob("runs/trials/*/journal.jsonl") for line in path.read_text().splitlines()
        ]
        return [line for line in lines if '"epoch"' in line]

    here = ["--nodes=1", "--cpus-per-task=1", "--gpus-per-node=0"]
    job = slurm("sbatch", "--parsable", *here, "slurm.sbatch", "tiny.yaml")
    log = tmp_path / f"kdsweep-{job}.log"
    slurm.wait(lambda: len(journal()) > 5 or slurm.state(job) == "FAILED")
    slurm("scancel", "--signal=TERM", "--batch", job)  # as --signal=B:TERM@120 does
    slurm.wait(lambda: slurm.state(job) not in ("RUNNING", "COMPLETING"))
    assert slurm.state(job) == "PENDING", log.read_text()
    assert "stopped; nothing is lost" in log.read_text()
    before = journal()
    assert len(before) < 80

    time.sleep(2)  # within a second, the node would take it for the job that has just ended
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm would let it wait for two minutes
    slurm.wait(lambda: slurm.state(job) not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"))
    assert slurm.state(job) == "COMPLETED", log.read_text()
    assert "1 finished, 0 stopped, 0 failed" in log.read_text()
    assert len(journal()) == 80
    assert journal()[0] == before[0]  # with the time when it was written
    assert not list(Path("/tmp").glob(f"kdsweep-{job}.*"))
