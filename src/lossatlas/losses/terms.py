"""Losses that are sums of several terms, each with a factor."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.types import Outputs

__all__ = ["Termwise", "check_factors", "split_terms", "sum_terms"]


class Termwise(NamedTuple):
    """Outputs, and beside them the terms of a loss that has several."""

    outputs: Outputs
    terms: dict[str, Tensor]
    """The terms (..., B) by name, without their factors."""


def split_terms(outputs: Outputs) -> tuple[Outputs, dict[str, Tensor]]:
    """Split outputs into the outputs themselves and the terms of the loss beside them, if there are any."""
    return (outputs.outputs, outputs.terms) if isinstance(outputs, Termwise) else (outputs, {})


def check_factors(factors: Mapping[str, float] | None) -> dict[str, float]:
    """Check the factors of the terms of a loss; empty for a loss that has a single term.

    Raises:
        BadInput: a name is not valid for a variable, or a factor is not finite.
    """
    for name, factor in (factors or {}).items():
        if not name.isidentifier() or not isfinite(factor):
            raise BadInput(
                f"term {name!r} of a loss has the factor {factor}; expected names of letters, digits and _, and finite "
                "numbers"
            )
    return {name: float(factor) for name, factor in (factors or {}).items()}


def sum_terms(values: Any, factors: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the sum (B,) of terms with their factors, and order the terms (B,) like the factors.

    Raises:
        BadInput: the values are not a mapping of these terms.
    """
    if not isinstance(values, Mapping) or set(values) != set(factors):
        found = f"terms {', '.join(map(str, values))}" if isinstance(values, Mapping) else type(values).__name__
        raise BadInput(f"the loss returned {found}; expected a mapping of its terms: {', '.join(factors)}")
    terms = {name: values[name] for name in factors}
    if len({getattr(term, "shape", None) for term in terms.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(getattr(term, 'shape', ()))}" for name, term in terms.items())
        raise BadInput(f"the terms of the loss have the shapes {shapes}; expected one value per example in each")
    first, *others = (factor * terms[name] for name, factor in factors.items())
    return sum(others, first), terms
