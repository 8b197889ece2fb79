import resource

import pytest
import torch
from torch import nn

from kd_core.config.networks import StudentConfig, TeacherConfig
from kd_core.networks.execution import (
    SignBitReLU,
    autocast,
    bfloat16_gain,
    build_optimizer,
    for_inference,
    has_bfloat16_instructions,
    keep_freed_memory,
    return_freed_memory,
)
from kd_core.networks.models import Network, build_student
from kd_core.training.loop import initial_student

IMAGES = torch.rand(4, 16, 16, 3).permute(0, 3, 1, 2)


@pytest.fixture
def network() -> Network:
    """A small student with a bottleneck, in evaluation mode."""
    torch.manual_seed(0)
    return build_student(StudentConfig(model="test_efficientnet", bottleneck=8, image_size=16), 10).eval()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_spares_biases_and_norms(trial, optimizer):
    config = trial(train={"optimizer": optimizer, "weight_decay": 0.3})
    network = initial_student(config, 10)
    groups = build_optimizer(network, config.train).param_groups
    decayed = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(decayed) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decayed[id(parameter)] == (0.0 if parameter.ndim == 1 else 0.3), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_fused_update_is_the_plain_one_but_for_rounding(trial, optimizer):
    config = trial(train={"optimizer": optimizer, "learning_rate": 0.01})
    fused, plain = (build_optimizer(initial_student(config, 10).double(), config.train) for _ in range(2))
    assert all(group["fused"] for group in fused.param_groups)
    for group in plain.param_groups:
        group["fused"], group["foreach"] = False, False
    for step in range(3):
        for each in (fused, plain):
            torch.manual_seed(step)
            for parameter in (parameter for group in each.param_groups for parameter in group["params"]):
                parameter.grad = torch.randn_like(parameter)
            each.step()
    for ours, reference in zip(fused.param_groups, plain.param_groups, strict=True):
        for first, second in zip(ours["params"], reference["params"], strict=True):
            torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


def test_momentum_that_begins_at_zero_takes_the_first_step_of_one_that_does_not_exist(trial):
    config = trial(train={"optimizer": "sgd", "learning_rate": 0.01})
    ours, reference = (build_optimizer(initial_student(config, 10), config.train) for _ in range(2))
    reference.state.clear()
    for step in range(2):
        for each in (ours, reference):
            torch.manual_seed(step)
            for parameter in (parameter for group in each.param_groups for parameter in group["params"]):
                parameter.grad = torch.randn_like(parameter)
            each.step()
    for group, other in zip(ours.param_groups, reference.param_groups, strict=True):
        for first, second in zip(group["params"], other["params"], strict=True):
            assert torch.equal(first, second)
            assert torch.equal(ours.state[first]["momentum_buffer"], reference.state[second]["momentum_buffer"])


def test_sgd_goes_on_from_the_state_of_an_optimizer_that_only_moved_the_head(trial):
    """Such a state lies in checkpoints of older versions: momentum of the head and of nothing else."""
    config = trial(train={"optimizer": "sgd"})
    network = initial_student(config, 10)
    before = build_optimizer(network, config.train)
    before.state.clear()
    network.train_only_head()
    network(IMAGES).sum().backward()
    before.step()
    bias, stem = network.classifier[-1].bias, next(network.backbone.parameters())
    moved = before.state[bias]["momentum_buffer"].clone()
    after = build_optimizer(network, config.train, before.state_dict())
    network.train_whole()
    before.zero_grad()
    stem_before = stem.detach().clone()
    network(IMAGES).sum().backward()
    after.step()
    torch.testing.assert_close(after.state[bias]["momentum_buffer"], 0.9 * moved + bias.grad)
    torch.testing.assert_close(after.state[stem]["momentum_buffer"], stem.grad + 0.05 * stem_before)


def test_weights_and_activations_have_their_channels_last(network):
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    network(IMAGES)
    seen += [parameter for parameter in network.parameters() if parameter.ndim == 4]
    assert len(seen) > 10
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in seen)


def test_bfloat16_is_autocast_on_any_device_and_float32_is_left_alone(network):
    with autocast("bfloat16", "cpu"):
        assert network(IMAGES).dtype == torch.bfloat16
    with autocast("float32", "cpu"):
        assert network(IMAGES).dtype == torch.float32


def test_weights_cast_once_give_the_bits_of_autocast(network):
    for_inference(network, "float32")
    with autocast("bfloat16", "cpu"):
        at_every_call = network(IMAGES)
        assert torch.equal(for_inference(network, "bfloat16")(IMAGES), at_every_call)


def test_relu_by_sign_bits_is_relu():
    every_bfloat16 = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)
    numbers = every_bfloat16[~every_bfloat16.isnan()].clone()
    expected = torch.relu(numbers)
    assert torch.equal(SignBitReLU()(numbers), expected)
    assert SignBitReLU()(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]


def test_a_resnet_predicts_the_same_bits_with_either_relu():
    config = StudentConfig(model="resnet10t", image_size=32)
    network = for_inference(build_student(config, 10), "bfloat16")
    own = [name for name, module in network.named_modules() if type(module) is SignBitReLU]
    images = torch.rand(4, 32, 32, 3).permute(0, 3, 1, 2)
    with torch.inference_mode(), autocast("bfloat16", "cpu"):
        logits = network(images)
        for name in own:
            network.set_submodule(name, nn.ReLU(inplace=True))
        assert own
        assert torch.equal(logits, network(images))


def test_a_network_for_inference_has_no_normalisation_left_and_learns_nothing(network):
    before = network(IMAGES).detach()
    folded = for_inference(network, "float32")
    assert folded is network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network(IMAGES), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_the_gain_of_bfloat16_is_measured_or_left_out():
    gain = bfloat16_gain(TeacherConfig(model="convnext_tiny"), 10, 32)
    assert gain is not None and gain > 1 if has_bfloat16_instructions() else gain is None
    assert bfloat16_gain(TeacherConfig(model="vit_base_patch16_224"), 10, 224) is None  # too large for a second


def test_whether_the_cpu_has_bfloat16_is_what_the_kernel_says():
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        flags = file.read()
    assert has_bfloat16_instructions() == ("avx512_bf16" in flags or "amx_bf16" in flags)


def page_faults(how, faults):
    """Run by a new process: page faults for each 4 KiB of 64 MiB that are allocated over and over."""

    def count():
        """All of this process until now."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    if "kept" in how:
        keep_freed_memory()
    torch.ones(2**24)
    before = count()
    for _ in range(10):
        torch.ones(2**24)
        if "returned" in how:
            return_freed_memory()
    faults.value = (count() - before) / (10 * 2**14)


@pytest.mark.parametrize(
    ("how", "least", "most"), [("kept", 0, 0.4), ("freed", 0.9, 1.1), ("kept and returned", 0.9, 1.1)]
)
def test_freed_memory_is_kept_until_it_is_returned(processes, how, least, most):
    """One page fault for every 4 KiB by default, few where the memory is kept."""
    faults = processes.Value("d", -1.0)
    process = processes.Process(target=page_faults, args=(how, faults))
    process.start()
    process.join()
    assert least <= faults.value <= most
