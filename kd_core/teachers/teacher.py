"""Loads a finished teacher from its product."""

from kd_core.config.errors import TeacherError
from kd_core.config.networks import TeacherConfig
from kd_core.networks.models import Network, build_teacher
from kd_core.networks.weights import load_weights
from kd_core.store.product import Product


def load_teacher(config: TeacherConfig, product: Product, num_classes: int) -> Network:
    """Load a finished teacher; raises TeacherError if it is not complete or its weights are damaged.

    Either way, the next run of a sweep makes it again.
    """
    state = product.state()
    if state.status != "finished":
        problem = state.problem or f"{product.path}: holds no finished teacher"
        raise TeacherError(f"{problem}; run the sweep again to make it")
    for problem in product.check(product.weights.name):
        raise TeacherError(f"{problem}; run the sweep again to make it")
    network = build_teacher(config.untrained, num_classes)
    load_weights(network, product.weights)
    return network
