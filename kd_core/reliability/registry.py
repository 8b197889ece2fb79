"""All evaluators: every Evaluator that a module of this room holds, so that a new one is one new file and no more."""

from kd_core.discovery import named_in
from kd_core.reliability.evaluator import Evaluator

EVALUATORS = named_in("kd_core.reliability", Evaluator)
