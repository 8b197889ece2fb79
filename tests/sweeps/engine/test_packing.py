"""How many trials share a GPU or a node: as many as fit, and no more."""

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kd_core.evaluate.footprint import Footprint, largest
from sweeps.cli import main
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.packing import MARGIN, MOST_A_GPU, Node, form_of, num_at_a_time, packed, packing_line, whole

GIB = 2**30
arithmetic = settings(deadline=None, derandomize=True)
memory = st.integers(2**20, 200 * GIB)
gpu_footprints = st.lists(st.builds(Footprint, memory, memory, memory), min_size=1, max_size=3)
cpu_footprints = st.lists(st.builds(Footprint, st.just(0), st.just(0), memory), min_size=1, max_size=3)
gpu_nodes = st.builds(Node, st.integers(1, 256), st.integers(1, 8), memory)
cpu_nodes = st.builds(Node, st.integers(1, 256), st.just(0), memory)


def num_a_gpu(resources):
    """How many trials Ray puts on one GPU, which it counts in ten-thousandths."""
    return 10_000 // round(resources.gpu * 10_000)


@arithmetic
@given(gpu_footprints, st.lists(gpu_nodes, min_size=1, max_size=3), st.integers(1, 1000), st.integers(0, 4))
def test_as_many_trials_share_a_gpu_as_fit_it_and_no_more(footprints, nodes, num_trials, workers):
    need, resources = largest(footprints), packed(footprints, nodes, num_trials, workers)
    count, num_gpus = num_a_gpu(resources), sum(node.gpus for node in nodes)

    def fits(count):
        return (
            count * MARGIN * need.gpu_bytes <= need.gpu_total_bytes
            and all(count * node.gpus * MARGIN * need.host_bytes <= node.memory_bytes for node in nodes)
            and all(count * node.gpus * (1 + workers) <= node.cpus for node in nodes)
            and (count - 1) * num_gpus < num_trials
            and count <= MOST_A_GPU
        )

    assert count == 1 or fits(count)
    assert not fits(count + 1)
    assert resources.workers == workers


@arithmetic
@given(
    st.one_of(gpu_footprints, cpu_footprints),
    st.lists(gpu_nodes, min_size=1, max_size=3),
    st.lists(cpu_nodes, max_size=2),
    st.integers(1, 1000),
)
def test_no_node_holds_more_trials_than_fit_its_memory_and_some_node_holds_one(footprints, nodes, others, num_trials):
    need, resources = largest(footprints), packed(footprints, nodes + others, num_trials)
    counts = {node: num_at_a_time(resources, [node]) for node in nodes + others}
    assert all(n <= 1 or n * MARGIN * need.host_bytes <= node.memory_bytes for node, n in counts.items())
    assert max(counts.values()) >= 1
    assert num_at_a_time(resources, nodes + others) >= max(counts.values())


@arithmetic
@given(cpu_footprints, cpu_nodes)
def test_without_a_gpu_each_trial_has_a_core_unless_memory_is_short(footprints, node):
    need, resources = largest(footprints), packed(footprints, [node], num_trials=1)
    count = num_at_a_time(resources, [node])
    assert count == max(1, min(node.cpus, node.memory_bytes // (MARGIN * need.host_bytes)))
    assert (resources.gpu, resources.cpu >= 1) == (0, True)
    assert resources.cpu == 1 or count < node.cpus


@arithmetic
@given(st.lists(gpu_nodes, min_size=1, max_size=3), st.lists(cpu_nodes, max_size=2))
def test_every_gpu_of_every_node_takes_a_whole_trial(nodes, others):
    resources = whole(nodes + others, workers=2)
    assert (resources.gpu, resources.workers) == (1, 2)
    assert all(num_at_a_time(resources, [node]) == node.gpus for node in nodes)
    assert whole(others) == ResourcesConfig(cpu=1, gpu=0)


H200 = Node(cpus=64, gpus=1, memory_bytes=500 * GIB)


@pytest.mark.parametrize(
    ("node", "gpu_gib", "num_trials", "cpu", "gpu"),
    [
        (H200, 1.9, 1000, 1, 0.0172),  # 139 / (1.25 · 1.9) = 58
        (H200, 1.9, 8, 8, 0.125),  # no more than there are trials
        (H200, 120, 1000, 64, 1),  # it needs more than a GPU with the margin
        (Node(cpus=16, gpus=1, memory_bytes=500 * GIB), 1.9, 1000, 1, 0.0625),  # no more than there are cores
        (Node(cpus=16, gpus=4, memory_bytes=64 * GIB), 1.9, 1000, 1, 0.25),
        (Node(cpus=16, gpus=4, memory_bytes=16 * GIB), 1.9, 1000, 1, 0.3333),  # nor than fit the host
        (Node(cpus=16, gpus=4, memory_bytes=4 * GIB), 1.9, 1000, 5.3333, 1),
        (Node(cpus=2, gpus=4, memory_bytes=64 * GIB), 1.9, 1000, 0.5, 1),
    ],
)
def test_a_gpu_is_shared_like_this(node, gpu_gib, num_trials, cpu, gpu):
    taken = Footprint(int(gpu_gib * GIB), 139 * GIB, GIB)
    assert packed([taken], [node], num_trials) == ResourcesConfig(cpu=cpu, gpu=gpu)


def test_a_line_tells_what_was_measured_and_chosen():
    taken = Footprint(int(1.9 * GIB), 139 * GIB, GIB)
    assert packing_line([taken], [H200], packed([taken], [H200], 100)) == (
        "resources: a trial takes 1.9 GiB of a GPU of 139 GiB and 1 GiB of memory; "
        "58 at a time with a margin of 25 %: cpu 1, gpu 0.0172"
    )
    laptop, taken = Node(cpus=8, gpus=0, memory_bytes=10 * GIB), Footprint(0, 0, 2 * GIB)
    assert packing_line([taken], [laptop], packed([taken], [laptop], 100)) == (
        "resources: a trial takes 2 GiB of memory; 4 at a time with a margin of 25 %: cpu 2, gpu 0"
    )


def test_trials_that_differ_in_temperature_alpha_or_seed_only_are_measured_once(tiny):
    arms = "arms=[{method: kd_mixup, teacher: resnet, temperature: [2, sigma], alpha: [0, 0.2]}]"
    configs = [trial.config for trial in trials_of(read_spec(str(tiny), [arms, "seeds=[0, 1]"]))]
    assert len(configs) == 8
    assert len({form_of(config, stored=[True]) for config in configs}) == 1
    assert form_of(configs[0], stored=[True]) != form_of(configs[0], stored=[False])


@pytest.mark.parametrize(
    "difference",
    ["student.model=test_byobnet", "train.batch_size=64", "train.precision=bfloat16", "student.image_size=16"],
)
def test_what_takes_other_memory_is_measured_for_itself(tiny, difference):
    overrides = ["arms=[{method: classic}]", "student.stem_stride=null"]
    (one,), (other,) = (trials_of(read_spec(str(tiny), each)) for each in (overrides, [*overrides, difference]))
    assert form_of(one.config, stored=[]) != form_of(other.config, stored=[])


def test_nothing_is_measured_for_a_plan(tiny):
    done = CliRunner().invoke(main, ["plan", str(tiny), "--set", "resources=auto"])
    assert done.exit_code == 0, done.output
