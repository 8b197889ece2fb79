"""Early stopping as a scheduler of Ray Tune, which keeps no state: its rungs are rebuilt from the journals."""

import time
from contextlib import suppress
from typing import Any

from ray.tune.schedulers import FIFOScheduler

from kd_core.config.trial import TrialConfig
from kd_core.store.files import read_ahead
from kd_core.store.manifest import Stop
from kd_core.store.records import Store
from sweeps.plan.plan import Plan
from sweeps.plan.scouts import role_of, stopping_of
from sweeps.search.pareto_asha import Rungs


class ParetoAshaScheduler(FIFOScheduler):
    """Stops trials by `sweeps.search.pareto_asha`, and writes for each why it was stopped.

    Only scouts come to the rungs (`sweeps.plan.scouts`). A trial is judged by its journal: one that resumes beyond a
    rung is still compared by its figures at that rung.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        super().__init__()
        assert plan.spec.early_stopping is not None
        self.store, self.spec, self.stopping = store, plan.spec, stopping_of(plan.spec)
        self.rungs = Rungs(plan.spec.early_stopping.pareto_asha, plan.spec.objectives)
        scouts = [each for each in plan.trials if each.role == "scout"]
        known = [each for each in scouts if each.status != "stale"]
        journals = read_ahead(lambda each: each.state.epochs, known)
        for each, rows in zip(known, journals, strict=True):
            self.rungs.add(each.product.key, rows, each.trial.config.train.num_epochs)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop a scout that an epoch has brought to a rung where it does not go on."""
        given = trial.config["step"]
        if given["kind"] != "trial":
            return self.CONTINUE
        config = TrialConfig.model_validate(given["config"])
        num_epochs = config.train.num_epochs
        is_scout = role_of(self.spec, config.seed) == "scout"
        if is_scout and self.rungs.awaits_decision(given["key"], result.get("epoch", 0), num_epochs):
            product = self.store.trial(given["key"])
            with suppress(OSError):  # a store that cannot be read or written stops nothing
                if stop := self.rungs.decide(product.key, product.journal().epochs, num_epochs):
                    product.write_stop(Stop(**self.stopping, **vars(stop), time=time.time()))
                    return self.STOP
        return self.CONTINUE
