"""A sweep small enough for tests, a real local Ray, a real store, a real command line."""

import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from analysis.report import write_report
from analysis.snapshot import read_sweep
from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.cli import main
from sweeps.config.reader import read_spec
from sweeps.config.sweep import SweepSpec
from sweeps.engine.labelling import Labeller
from sweeps.engine.orders import order_of
from sweeps.engine.worker import StepTrainable
from sweeps.plan.plan import plan_sweep
from sweeps.plan.schedule import Schedule
from sweeps.run import SweepOutcome, run_sweep
from sweeps.terminal.progress import SweepProgress
from tests.products import members_of

TINY = """
name: tiny
data: {source: digits, limit: 120, validation: 0.25, test: 0.4}
view: {padding: 1, flip: false}
teachers:
  resnet: {model: test_resnet, stem_stride: 1, image_size: 8, finetune: {epochs: 2, batch_size: 32}}
student: {model: test_efficientnet, stem_stride: 1, image_size: 8}
train: {epochs: 2, batch_size: 32}
arms:
  - {method: classic}
  - {method: kd_mixup, teacher: resnet, temperature: [2, sigma]}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a spec with one teacher and three trials of two epochs; only to be read."""
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(textwrap.dedent(TINY))
    return path


@pytest.fixture
def overrides_of(cifar100: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """The overrides that point each shipped spec to local data, by the spec's name."""

    def point(name: str) -> list[str]:
        if name == "quickstart":
            return []
        if name != "paper-imagenet":
            return [f"data={{source: parquet, path: {cifar100}, label_column: fine_label, validation: 0.5}}"]
        for index, part in enumerate(("train", "val")):
            for shade, wordnet_id in enumerate(("n01440764", "n01443537")):
                folder = tmp_path / "imagenet" / part / wordnet_id
                folder.mkdir(parents=True, exist_ok=True)
                for number in range(5):
                    Image.new("RGB", (40, 30), (90 * shade, 40 * number, 99 * index)).save(folder / f"{number}.JPEG")
        return [f"data.path={tmp_path / 'imagenet'}", "data.validation=0.4"]

    return point


@pytest.fixture(scope="session")
def ray_cluster(s3_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One local Ray of two cores for every test on Ray, which knows the S3 server; its address.

    The tests have one of its cores: a second worker would cost each of them the import of torch once more.
    """
    import ray

    import sweeps.engine.cluster  # noqa: F401 - sets what Ray reads when it is imported

    kept = {"num_workers_soft_limit": 4}  # a worker that has imported torch waits for the next test
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR", "_system_config": kept}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_settings.items():
            environment.setenv(name, value)
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        ray.init("local", num_cpus=2, **options)
        reserve_a_core()
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def reserve_a_core() -> None:
    """Leave one core of the Ray to those who run on it."""
    import ray

    ray.get(ray.util.placement_group([{"CPU": 1}], name="reserved").ready())


@pytest.fixture
def both_cores(ray_cluster: str) -> Iterator[None]:
    """While a test runs, it has both cores of the Ray."""
    import ray

    ray.util.remove_placement_group(ray.util.get_placement_group("reserved"))
    yield
    reserve_a_core()


@pytest.fixture(scope="session")
def kdsweep() -> Callable[..., Result]:
    """Runs a command line in this process."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def sweep(tiny: Path, ray_cluster: str) -> Callable[..., tuple[SweepOutcome, str]]:
    """Runs the tiny sweep with overrides in a store, on the Ray of this process; returns the outcome and the log."""

    def run(store: Store, *overrides: str) -> tuple[SweepOutcome, str]:
        """Run one sweep, from its spec to its report."""
        log = io.StringIO()
        with SweepProgress(log) as progress:
            outcome = run_sweep(read_spec(str(tiny), overrides), store, progress)
        return outcome, log.getvalue()

    return run


@pytest.fixture(scope="session")
def start_driver(tiny: Path, ray_cluster: str) -> Callable[..., subprocess.Popen[str]]:
    """Starts the tiny sweep with overrides from a shell, on the Ray of the tests."""

    def start(store: Store, overrides: Sequence[str] = ()) -> subprocess.Popen[str]:
        """The process, which has a process group of its own."""
        command = [sys.executable, "-m", "sweeps", "run", str(tiny), f"--storage={store.root}"]
        command += [f"--address={ray_cluster}", *(f"--set={each}" for each in overrides)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    return start


@pytest.fixture(scope="session")
def kill_driver(
    start_driver: Callable[..., subprocess.Popen[str]], wait_until: Callable[..., None]
) -> Callable[..., None]:
    """Runs the tiny sweep with overrides from a shell, and kills it once something is so."""

    def kill(store: Store, overrides: Sequence[str], is_so: Callable[[], object]) -> None:
        """Start, wait and kill."""
        with start_driver(store, overrides) as driver:
            wait_until(is_so, driver)
            os.killpg(driver.pid, signal.SIGKILL)

    return kill


@dataclass(frozen=True)
class Swept:
    """The output of a sweep's command line, and its store."""

    store: Store
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def finished(tiny: Path, once: Callable[[str, Callable[[Path], object]], Path]) -> Swept:
    """The tiny sweep run from a shell, its signal stored, two workers; only to be read."""

    def run(folder: Path) -> None:
        """Run it, and keep what it prints."""
        command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={folder / 'runs'}", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)

    folder = once("finished", run)
    return Swept(Store.at(folder / "runs"), *((folder / name).read_text() for name in ("stdout", "stderr")))


def _train_here(spec: SweepSpec, store: Store) -> None:
    """Make all products of a sweep and its report one after another in this process: no Ray, MLflow or latencies."""
    dataset, plan = load(spec.data), plan_sweep(spec, store, summarize(spec.data))
    labeller = Labeller(plan, lambda: 1, SweepProgress(io.StringIO()))
    schedule, worker = Schedule(plan, store, labeller.labellings, lambda *_: None), None
    schedule.join(plan.trials)
    while step := schedule.next_upstream() or schedule.next_trial():
        resources = {"cpu": 1, "gpu": 0, "workers": 0, "threads": 1}
        given = {"step": order_of(step, schedule.plan, labeller.is_usable) | {"resources": resources}}
        schedule.started(step)
        if worker is None:
            worker = StepTrainable.__new__(StepTrainable)
            worker.setup(given, dataset=dataset, storage=str(store.root))
        else:
            worker.reset_config(given)
        while not (report := worker.step())["done"]:
            pass
        assert "error" not in report, report["error"]
        schedule.ended(step)
    plan_sweep(spec, store, summarize(spec.data)).write(store)
    write_report(read_sweep(store, spec.name))


@pytest.fixture(scope="session")
def train_here() -> Callable[[SweepSpec, Store], None]:
    """Makes the products and the report of a sweep in this process, without Ray."""
    return _train_here


@pytest.fixture(scope="session")
def sweep_here(tiny: Path) -> Callable[..., None]:
    """Makes the products and the report of the tiny sweep with overrides in this process, without Ray."""
    return lambda store, *overrides: _train_here(read_spec(str(tiny), overrides), store)


@pytest.fixture(scope="session")
def tiny_store(tiny: Path, once: Callable[[str, Callable[[Path], object]], Path]) -> Store:
    """The store of the tiny sweep, trained in a process of the tests; only to be read."""
    folder = once("tiny-store", lambda folder: _train_here(read_spec(str(tiny)), Store.at(folder)))
    return Store.at(folder)


@pytest.fixture
def store(tiny_store: Store, tmp_path: Path) -> Store:
    """A copy of the store of the tiny sweep."""
    assert tiny_store.local is not None
    shutil.copytree(tiny_store.local, tmp_path / "runs")
    return Store.at(tmp_path / "runs")


@pytest.fixture(scope="session")
def students_of() -> Callable[[Store], dict[str, str]]:
    """The hash of every student of a store's tiny sweep by its trial's key."""

    def students(store: Store) -> dict[str, str]:
        """The weights' hashes from the manifests."""
        records = [store.trial(trial["key"]) for trial in members_of(store.sweep("tiny"))["trials"]]
        return {state.key: state.manifest.weights_sha256 for state in store.states(records) if state.manifest}

    return students
