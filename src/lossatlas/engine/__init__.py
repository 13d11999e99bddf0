"""The engine: all evaluation of networks at points of a chart goes through it."""

from lossatlas.engine.buffers_policy import BUFFERS, BuffersPolicy
from lossatlas.engine.checking import check_network
from lossatlas.engine.contracts import Evaluation, Folded, Functional, Metric, StreamingMetric
from lossatlas.engine.derivatives import Derivatives, Operator
from lossatlas.engine.engine import Engine, Pullback
from lossatlas.engine.grouping import warn_of_groups
from lossatlas.engine.measuring import check_derived, run_computation
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.engine.planning import plan_for
from lossatlas.engine.precisions import PRECISIONS, Precision
from lossatlas.engine.second_order import check_operator
from lossatlas.engine.setup import EVAL_BATCH_SIZE, engine_for, find_device
from lossatlas.engine.strategy import STRATEGIES, Strategy
from lossatlas.engine.usual import choose_policy

__all__ = [
    "BUFFERS",
    "EVAL_BATCH_SIZE",
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
    "check_derived",
    "check_network",
    "check_operator",
    "choose_policy",
    "engine_for",
    "find_device",
    "plan_for",
    "run_computation",
    "warn_of_groups",
]
