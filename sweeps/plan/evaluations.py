"""Which models of a sweep are evaluated, what each evaluator asks of them, and which answers are missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.snapshot import Member, Snapshot
from kd_core.config.errors import SpecError
from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.identity import digest
from kd_core.config.networks import StudentConfig
from kd_core.evaluate.evaluated import EvaluatedModel, FusedModel, Job, Question
from kd_core.reliability.evaluator import Evaluator
from kd_core.reliability.registry import EVALUATORS
from kd_core.reliability.sets import set_identity, sets_of
from kd_core.store.evaluation import Evaluation
from kd_core.store.index import EvaluationIndex
from kd_core.store.records import Store

_OUTPUTS_VERSION = 1  # raised whenever equal weights and inputs give other outputs


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that is asked of some models: the questions, and the outputs of the models that they are about."""

    config: EvaluateConfig
    questions: tuple[Question, ...]

    @property
    def missing(self) -> list[Question]:
        """The questions without an answer."""
        return [each for each in self.questions if not each.job.done]

    def index(self, known: EvaluationIndex | None) -> EvaluationIndex:
        """Where the answers are, with those to earlier questions with the same options."""
        before = known.answers if known is not None and known.config == self.config else {}
        answers = {key: dict(each) for key, each in before.items()}
        for each in self.questions:
            answers.setdefault(each.model.product.key, {})[each.evaluator.name] = each.job.record.key
        return EvaluationIndex(config=self.config, answers=answers)


def plan_evaluations(
    snapshot: Snapshot,
    trials: Iterable[str],
    config: EvaluateConfig,
    given: Mapping[str, Any],
    only: Sequence[str] = (),
) -> EvaluationPlan:
    """What is asked of finished trials, by their keys, and of their teachers; only names evaluators, () means all.

    given tells the content of what the user gives for a set of inputs (`kd_core.reliability.sets.set_identity`).
    """
    data, sets, wanted = snapshot.index.data, sets_of(config), set(trials)
    assert data is not None
    identities = {name: set_identity(name, config, data.fingerprint, given) for name in sets}

    def model(member: Member, label: str) -> EvaluatedModel:
        """A finished member as it is evaluated."""
        assert member.manifest is not None
        network, result = StudentConfig.model_validate(member.config["student"]).untrained, member.manifest.result
        made = {"outputs": _OUTPUTS_VERSION, "weights": member.manifest.weights_sha256}
        outputs = {name: _job(snapshot.store.outputs, made | identity) for name, identity in identities.items()}
        sizes = data.num_classes, result.num_parameters
        return EvaluatedModel(label, member.product, network, *sizes, result.temperature, outputs)

    chosen = [each for each in snapshot.trials if each.manifest and each.key in wanted]
    names = {name for each in chosen for name in snapshot.index.members_of(each.entry.teacher)}
    teachers = {
        each.entry.name: model(each, f"teacher {each.entry.name}")
        for each in snapshot.teachers
        if each.manifest and each.entry.name in names
    }
    taught_by: dict[str | None, EvaluatedModel | FusedModel] = {**teachers}
    for entry in snapshot.index.fused:
        if set(entry.members) <= set(teachers):
            taught_by[entry.name] = FusedModel(tuple(teachers[name] for name in entry.members), entry.rule)
    pairs: list[tuple[EvaluatedModel, EvaluatedModel | FusedModel | None]]
    pairs = [(teacher, None) for teacher in teachers.values()]
    pairs += [(model(each, each.entry.label), taught_by.get(each.entry.teacher)) for each in chosen]
    evaluators = [each for each in EVALUATORS.values() if set(each.inputs) <= set(sets)]
    asked = [each for each in evaluators if not only or each.name in only]
    return EvaluationPlan(
        config, tuple(_question(snapshot.store, config, each, *pair) for pair in pairs for each in asked)
    )


def check_evaluators(names: Sequence[str], config: EvaluateConfig) -> None:
    """Raise SpecError for evaluators that there are not, or whose inputs are not given."""
    for name in names:
        if name not in EVALUATORS:
            raise SpecError(f"--only: {name}: no such evaluator; there are {', '.join(EVALUATORS)}")
        if not set(EVALUATORS[name].inputs) <= set(sets_of(config)):
            raise SpecError(f"--only: {name}: has no images; give evaluate.ood a source and its path, by --set")


def evaluated_trials(snapshot: Snapshot, content: Mapping[str, Any], which: str) -> list[str]:
    """The keys of the trials that are meant: all, front, or a label or key.

    front means the arms that may be on the front, the baseline, and those without a teacher. Raises SpecError.
    """
    finished = {each.key: each.entry for each in snapshot.trials if each.manifest}
    if which == "all":
        return list(finished)
    if which == "front":
        arms = {row["arm"] for row in content["arms"] if row["plausible"] or row["on_front"]} | {content["baseline"]}
        return [key for key, entry in finished.items() if entry.arm in arms or entry.teacher is None]
    found = [key for key, entry in finished.items() if which in (key, entry.label, entry.arm)]
    if not found:
        raise SpecError(f"--trial: {which}: {snapshot.sweep.name} has no such finished trial; give a label or a key")
    return found


def _question(
    store: Store,
    config: EvaluateConfig,
    evaluator: Evaluator,
    model: EvaluatedModel,
    teacher: EvaluatedModel | FusedModel | None,
) -> Question:
    identity = {
        "evaluation": evaluator.name,
        "version": evaluator.version,
        "options": {name: getattr(config, name) for name in evaluator.options},
        "model": _asked(evaluator, model),
        "teacher": teacher and _asked(evaluator, teacher),
    }
    return Question(evaluator, model, teacher, _job(store.evaluation, identity))


def _asked(evaluator: Evaluator, model: EvaluatedModel | FusedModel) -> dict[str, Any]:
    """What the figures of an evaluator depend on, of one model."""
    if isinstance(model, FusedModel):
        return {"rule": model.rule, "members": [_asked(evaluator, each) for each in model.networks]}
    outputs = {name: model.outputs[name].record.key for name in evaluator.inputs}
    return {"temperature": model.temperature, "outputs": outputs}


def _job(record: Callable[[str], Evaluation], identity: dict[str, Any]) -> Job:
    return Job(record(digest(identity)), identity)
