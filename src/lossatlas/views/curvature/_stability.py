"""The largest eigenvalue at which gradient descent is still stable, where the optimiser of a trajectory has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossatlas.schema import TrainedWith, parse_texts
from lossatlas.views import scales
from lossatlas.views.scales import Floats

__all__ = ["Stability", "find_stability"]


@dataclass(frozen=True)
class Stability:
    """The limit of stability ``factor / lr - decay`` of an optimiser on a quadratic function.

    Attributes:
        factor: The limit times the learning rate; None where the optimiser has no limit in terms of eigenvalues of the
            Hessian alone, or where it is not known.
        decay: The weight decay, which adds to every eigenvalue of what is descended.
        formula: The limit as pictures write it.
        words: What it is the limit of, or why there is none, in a sentence.
    """

    factor: float | None
    decay: float
    formula: str
    words: str

    def limit(self, rates: Floats) -> Floats:
        """The limit at learning rates, of the same shape; NaN where a rate is not positive or there is no limit."""
        if self.factor is None:
            return np.full(rates.shape, np.nan)
        return np.asarray(self.factor / np.where(rates > 0, rates, np.nan) - self.decay)


def find_stability(attributes: Mapping[Any, Any]) -> Stability:
    """Find the limit of stability of the training of a trajectory.

    On a quadratic function with the largest eigenvalue a, gradient descent with momentum b and learning rate lr
    diverges where lr a > 2 (1 + b), with Nesterov's momentum where lr a > 2 (1 + b) / (1 + 2 b) (Cohen et al. 2021,
    arXiv 2103.00065, appendix B). A dampening d divides the first by 1 - d.

    Args:
        attributes: of the data of the trajectory, with those of :class:`lossatlas.schema.TrainedWith`.
    """
    name = str(attributes.get(TrainedWith.OPTIMIZER, ""))
    parameters = parse_texts(attributes.get("curvature_parameters"))
    if not name:
        return _without("it is not recorded what the trajectory was trained with")
    if TrainedWith.SWITCHES in attributes:
        return _without(f"the training changed its optimiser ({name})")
    if TrainedWith.MOMENTUM not in attributes:
        return _without(
            f"the stability of {name} does not depend on the eigenvalues of the Hessian alone but on its "
            "preconditioner, too (Cohen et al. 2022)"
        )
    if parameters not in ([], ["*"]):
        return _without(f"it is about all parameters, and the eigenvalues are those in {', '.join(parameters)}")
    momentum, dampening, decay = (
        float(attributes.get(each, 0.0))
        for each in (TrainedWith.MOMENTUM, TrainedWith.DAMPENING, TrainedWith.WEIGHT_DECAY)
    )
    nesterov = bool(attributes.get(TrainedWith.NESTEROV, 0)) and momentum > 0
    factor = 2 * (1 + momentum) / ((1 + 2 * momentum) if nesterov else (1 - dampening * (momentum > 0)))
    formula = f"{scales.number(factor)}/lr" + f" - {scales.number(decay)}" * (decay > 0)
    kind = "without momentum" if not momentum else f"with {'Nesterov' * nesterov} momentum {momentum:g}"
    size = attributes.get(TrainedWith.BATCH_SIZE)
    batches = f"; batches of at most {int(size):,} examples were used here" if size is not None else ""
    return Stability(
        factor,
        decay,
        formula,
        f"The dotted line is {formula}, above which full-batch gradient descent {' '.join(kind.split())} is not stable "
        f"(Cohen et al. 2021){batches}.",
    )


def _without(reason: str) -> Stability:
    return Stability(None, 0.0, "", f"No limit of stability is drawn: {reason}.")
