import pytest
import timm
import torch
from torch import nn

from kd_core.networks.folding import fold_batch_norm

ALL_FOLD = {"resnet10t": 14, "test_resnet": 15, "mobilenetv2_050": 52, "test_efficientnet": 13, "seresnet18": 20}


def trained(model: str) -> nn.Module:
    """A network in evaluation mode whose batch normalisations have random statistics and weights."""
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network


def norms(network: nn.Module) -> int:
    """The number of batch normalisations of a network."""
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("model", [*ALL_FOLD, "resnetv2_50", "densenet121", "test_convnext", "test_vit"])
def test_a_folded_network_gives_the_same_logits_but_for_rounding(model):
    network = trained(model).double()
    images = torch.rand(2, 3, *network.default_cfg["input_size"][1:], dtype=torch.float64)
    with torch.no_grad():
        before, there = network(images), norms(network)
        folded = fold_batch_norm(network)
        torch.testing.assert_close(network(images), before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))
    assert folded == there - norms(network) == ALL_FOLD.get(model, folded)
    assert fold_batch_norm(network) == 0
    assert not any(module.training for module in network.modules())


class Used(nn.Module):
    """A convolution and its normalisation, used in a way in which they cannot be folded."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.convolution, self.norm = how, nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns [B, 3, H, W]."""
        if self.how == "twice":
            return self.norm(self.convolution(self.norm(self.convolution(images))))
        if self.how == "beside":
            convolved = self.convolution(images)
            return self.norm(convolved) + convolved
        return self.norm(self.convolution(images)) if images.sum() > 0 else images


@pytest.mark.parametrize("how", ["twice", "beside", "untraceable"])
def test_what_cannot_be_folded_is_left_alone(how):
    network, images = Used(how).eval(), torch.rand(2, 3, 4, 4)
    before = network(images)
    assert fold_batch_norm(network) == 0
    assert torch.equal(network(images), before)
