"""Folds batch normalisation into the preceding convolutions, for networks that only predict."""

from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norm(network: nn.Module) -> int:
    """Fold, in place, every batch normalisation in evaluation mode into the convolution directly before it.

    Nothing else may use the convolution's output. Such a pair equals one convolution with scaled weights and another
    bias, except for rounding. Returns the number of pairs; 0 for a network whose forward pass torch.fx cannot trace.
    """
    try:
        nodes = _Tracer().trace(network).nodes
    except Exception:  # data-dependent control flow raises many kinds of errors
        return 0
    modules = dict(network.named_modules())
    calls = [str(node.target) for node in nodes if node.op == "call_module"]
    pairs = [
        (modules[str(before.target)], str(node.target))
        for node in nodes
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.BatchNorm2d)
        if (before := _only_convolution_before(node, modules)) is not None
        and calls.count(str(node.target)) == calls.count(str(before.target)) == 1
    ]
    for convolution, name in pairs:
        _fold(network, convolution, name, modules[name])
    return len(pairs)


class _Tracer(fx.Tracer):
    """Traces into every module except convolutions and batch normalisations, including timm's variants."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _only_convolution_before(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The convolution whose output a node takes, or None unless the node is its only user."""
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
        return None
    return before if isinstance(modules[str(before.target)], nn.Conv2d) else None


def _fold(network: nn.Module, convolution: Any, name: str, norm: Any) -> None:
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    convolution.weight, convolution.bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics)
    behind = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]  # of timm's BatchNormAct2d
    network.set_submodule(name, nn.Sequential(*behind).eval())
