"""Others' operators of curvature, at the cases of ``curvature_cases``."""

from __future__ import annotations

import warnings
from typing import Literal

from curvature_cases import Case
from torch import Tensor

with warnings.catch_warnings():  # torch.jit.script, at the import of these, is deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import torch._decomp.decompositions_for_jvp  # noqa: F401 (torch would at the first product)
    from curvlinops import GGNLinearOperator, HessianLinearOperator

__all__ = ["curvlinops_operator"]


def curvlinops_operator(
    case: Case, theta: Tensor, kind: Literal["hessian", "ggn"] = "hessian"
) -> HessianLinearOperator | GGNLinearOperator:
    """The operator (n, n) at weights theta (n,), in their precision: ``operator @ V`` with V (n,) or (n, K).

    All examples are one batch: curvlinops weighs batches by their examples, which is wrong where labels are ignored.
    Its Hessian is wrong, too, by percents, where a LayerNorm has weights, as that of the transformer: torch (2.13)
    differentiates ``jvp(jacrev(...))`` wrongly there.
    """
    module = case.module_at(theta)
    (inputs,), (targets,) = case.in_precision(theta.dtype)
    of_kind = {"hessian": HessianLinearOperator, "ggn": GGNLinearOperator}[kind]
    return of_kind(
        module, case.criterion, list(module.parameters()), [(inputs, targets)],
        num_data=len(inputs), check_deterministic=False,
    )  # fmt: skip
