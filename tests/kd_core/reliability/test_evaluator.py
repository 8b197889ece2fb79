import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.reliability.evaluator import Evaluator, Model, Outputs


def test_an_evaluator_is_one_value_with_one_function():
    def evaluate(model, teacher, config):
        yield "share/first", float(model.outputs["clean"].labels[0] == 0)

    share = Evaluator("share", "nobody 2026", ("clean",), evaluate)
    model = Model({"clean": Outputs(np.zeros((2, 3), np.float32), np.array([0, 1]))}, temperature=1.0)
    assert dict(share.evaluate(model, None, EvaluateConfig())) == {"share/first": 1.0}
    assert (share.version, share.options, share.place) == (1, (), 100)
