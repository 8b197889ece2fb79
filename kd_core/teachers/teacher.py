"""Loads a finished teacher from its record."""

from kd_core.config.errors import TeacherError
from kd_core.config.networks import TeacherConfig
from kd_core.networks.models import Network, build_teacher, load_weights
from kd_core.store.record import Record


def load_teacher(config: TeacherConfig, record: Record, num_classes: int) -> Network:
    """Load a finished teacher; raises TeacherError if it is not complete or its weights are damaged.

    Either way, the next run of a sweep makes it again.
    """
    if record.verdict() is None:
        problem = record.damage() or f"{record.path}: holds no finished teacher"
        raise TeacherError(f"{problem}; run the sweep again to make it")
    for problem in record.check(record.weights_name):
        raise TeacherError(f"{problem}; run the sweep again to make it")
    network = build_teacher(config.untrained, num_classes)
    load_weights(network, record.weights)
    return network
