"""Checks that timm can build the networks of a spec for its data; apart from the reader, since it loads torch."""

from kd_core.config.class_order import places_of, read_classes
from kd_core.config.data import DataConfig
from kd_core.config.errors import ModelError, SpecError
from kd_core.config.networks import NetworkConfig, TeacherConfig
from kd_core.data.splits import parts_of
from kd_core.fields import shown
from kd_core.networks.models import check_network, pretrained_classes
from sweeps.config.arms import students_of
from sweeps.config.sweep import SweepSpec


def check_networks(spec: SweepSpec, num_classes: int) -> None:
    """Raise SpecError for a network that timm cannot build as configured, or whose head has other classes."""
    for name, teacher in spec.single_teachers.items():
        _check(teacher, f"teachers.{name}", spec.data)
        _check_head(teacher, f"teachers.{name}", num_classes)
    for where, student in students_of(spec).items():
        _check(student, where, spec.data)


def _check(network: NetworkConfig, where: str, data: DataConfig) -> None:
    try:
        check_network(network)
        if network.classes is not None:
            places_of(parts_of(data).class_names, read_classes(network.classes))
    except ModelError as error:
        raise SpecError(f"{where}.{error.key}: {shown(getattr(network, error.key))}: {error}") from None


def _check_head(teacher: TeacherConfig, where: str, num_classes: int) -> None:
    """Raise SpecError unless a teacher that is used as it is has the classes of the data, or names its own."""
    as_it_is = teacher.pretrained and not teacher.finetune and not teacher.checkpoint and not teacher.classes
    if as_it_is and (known := pretrained_classes(teacher)) != num_classes:
        problem = f"{teacher.model} has {known} classes and the data has {num_classes}"
        remedy = "add a recipe such as {epochs: 10}, or name its classes as classes, if the data's are among them"
        raise SpecError(f"{where}.finetune: missing, and {problem}; {remedy}")
