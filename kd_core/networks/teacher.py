"""Loads a finished teacher from its record."""

from kd_core.networks.models import Network, build_teacher, load_weights
from kd_core.spec.config import TeacherConfig
from kd_core.spec.keys import file_sha256
from kd_core.store.records import Record


class TeacherError(ValueError):
    """The stored teacher is missing or was changed."""


def load_teacher(config: TeacherConfig, record: Record, num_classes: int) -> Network:
    """Load a finished teacher; raises TeacherError if its weights are missing or were changed."""
    card = record.verdict()
    if card is None or not record.weights.exists():
        raise TeacherError(f"{record.path}: holds no finished teacher; run the sweep again to make it")
    found = file_sha256(record.weights)
    if found != card["weights_sha256"]:
        raise TeacherError(
            f"{record.weights}: sha256 is {found} where card.json says {card['weights_sha256']}; "
            f"remove {record.path} and run the sweep again"
        )
    network = build_teacher(config.model_copy(update={"pretrained": False, "checkpoint": None}), num_classes)
    load_weights(network, record.weights)
    return network
