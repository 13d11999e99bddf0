"""The engine: all evaluation of networks at points of a chart goes through it."""

from lossatlas.engine.buffers_policy import BUFFERS, BuffersPolicy
from lossatlas.engine.contracts import Evaluation, Folded, Functional, Metric, StreamingMetric
from lossatlas.engine.derivatives import Derivatives, Operator
from lossatlas.engine.engine import Engine, Pullback
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.engine.planning import plan_for
from lossatlas.engine.precisions import PRECISIONS, Precision
from lossatlas.engine.strategy import STRATEGIES, Strategy

__all__ = [
    "BUFFERS",
    "PRECISIONS",
    "STRATEGIES",
    "BuffersPolicy",
    "Derivatives",
    "Engine",
    "Evaluation",
    "Folded",
    "Functional",
    "Metric",
    "Network",
    "Operator",
    "Plan",
    "Precision",
    "Pullback",
    "Strategy",
    "StreamingMetric",
    "plan_for",
]
