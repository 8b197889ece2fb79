"""The tiers of the tests, by what each needs, and fixtures that several test packages share.

A test needs nothing but Python packages, or it is `system` (Ray, servers, kills, whole sweeps: what pip brings), or
`site` (what a package manager brings, and clusters that are started node by node). Fixtures of a tier make their tests
of that tier; others are marked by hand.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # share the cores
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import logging
import resource
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from filelock import FileLock
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

for _ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # as in a shell's background job, and by all it starts
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        signal.signal(_ignored, signal.default_int_handler if _ignored is signal.SIGINT else signal.SIG_DFL)

TIERS = {
    "site": {"chromium", "slurm", "machines", "start_nodes"},
    "system": {"ray_cluster", "finished", "server", "s3_settings", "processes"},
}
MOST_CPU_S = 10.0  # of a test of no tier: 5 s, and as much again for slower or busier machines
LEFT_OUT = pytest.StashKey[int]()  # tests of the site that were not selected


@pytest.hookimpl(tryfirst=True)  # before the tests are selected by their marks, and distributed by their groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its tier and its group: one for all that use the Ray of a process, and one a file.

    What takes longest comes first: the tests on Ray, then the files with tests of a tier.
    """
    on_ray, with_tiers = set(), set()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        for tier, needed in TIERS.items():
            if needed & fixtures and not tier_of(item):
                item.add_marker(tier)
        if "ray_cluster" in fixtures:
            on_ray.add(item)
        if tier_of(item):
            with_tiers.add(item.path)
        item.add_marker(pytest.mark.xdist_group("ray" if item in on_ray else str(item.path)))
    items.sort(key=lambda item: (item not in on_ray, item.path not in with_tiers))


def tier_of(item: pytest.Item) -> str:
    """The tier of a test: site, system, or "" for none."""
    return next((tier for tier in TIERS if item.get_closest_marker(tier)), "")


@pytest.fixture(autouse=True)
def _cheap_without_a_tier(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test of no tier that takes more than MOST_CPU_S of this process's and its children's CPU time.

    Fixtures that tests share are set up before this one, and do not count.
    """
    before = _cpu_s()
    yield
    taken = _cpu_s() - before
    if not tier_of(request.node):
        assert taken < MOST_CPU_S, f"took {taken:.1f} s of CPU time: make it cheaper, or mark what it needs"


def _cpu_s() -> float:
    """Seconds of CPU time that this process and its ended children have taken."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests of the site that are left out."""
    if items:
        config = items[0].config
        left_out = sum(tier_of(item) == "site" for item in items)
        config.stash[LEFT_OUT] = config.stash.get(LEFT_OUT, 0) + left_out


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if any, how many were left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take the count from a test process, each of which has seen all tests."""
    if output := getattr(node, "workeroutput", {}):
        node.config.stash[LEFT_OUT] = output["left_out"]  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line: what was left out, and how to run it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (left_out := config.stash.get(LEFT_OUT, 0)):
        needs = "Chromium, Slurm, PostgreSQL and clusters of their own"
        reporter.write_line(f"{left_out} tests of the site left out, which need {needs}: make test-site")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A folder that is made once for all test processes, by the first that asks for it: `once("name", make)`."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def made(name: str, make: Callable[[Path], object]) -> Path:
        """The folder of this name, filled by `make`; only to be read."""
        folder, mark = root / name, root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                mark.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def cifar100() -> Path:
    """300 images of CIFAR-100 as parquet."""
    return Path(__file__).parent / "cifar100"


@pytest.fixture(scope="session")
def database(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """An empty database of MLflow, which takes seconds to make, and to open for the first time; only to be copied."""
    from mlflow import MlflowClient

    def opened(folder: Path) -> object:
        """Ask it for its experiments."""
        return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    folder = once("database", opened)
    opened(folder)
    return folder / "mlflow.db"


@pytest.fixture
def sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of a report's page are made, but not drawn: an SVG has their words and nothing else, for less work."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from analysis.drawing import page, panels

    def sketch(figure: Figure, name: str, standalone: bool = False) -> str:
        """The words of a figure as the texts of an SVG."""
        words = "".join(f"<text>{escape(text.get_text(), quote=False)}</text>" for text in figure.findobj(Text))
        return f'<svg role="img" aria-label="{escape(name)}">{words}</svg>'

    for module in (page, panels):
        monkeypatch.setattr(module, "svg_of", sketch)


@pytest.fixture(scope="session")
def s3_settings() -> Iterator[dict[str, str]]:
    """A real S3 server, and the environment in which every process finds it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    yield {f"AWS_{name}": value for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items()}
    server.stop()


@pytest.fixture
def s3(s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> UPath:
    """An empty bucket of a real S3 server."""
    for name, value in s3_settings.items():
        monkeypatch.setenv(name, value)
    bucket = UPath(f"s3://{uuid.uuid4().hex}")
    bucket.mkdir()
    return bucket


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file or folder of memory:// is read or listed, by its path."""
    counts: Counter[str] = Counter()

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        """The method of the file system, counted unless it opens a file to write it."""

        def call(self: object, path: str, *arguments: object, **options: object) -> object:
            """Count one request."""
            counts[path.strip("/")] += {*arguments, *options.values()}.isdisjoint({"wb", "xb"})
            return method(self, path, *arguments, **options)

        return call

    for name in ("cat_file", "_open", "ls"):
        monkeypatch.setattr(MemoryFileSystem, name, counted(getattr(MemoryFileSystem, name)))
    return counts


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], object], subprocess.Popen[str] | BaseProcess], None]:
    """Waits until a condition holds, as long as the process that causes it is running."""

    def wait(holds: Callable[[], object], process: subprocess.Popen[str] | BaseProcess) -> None:
        """Poll the condition; fails if the process ends first."""
        while not holds():
            if isinstance(process, BaseProcess):
                assert process.exitcode is None
            else:
                assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)

    return wait
