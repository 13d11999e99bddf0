"""How curvature was measured, as a paper must state it: operator, parameters, sample, tolerance, largest residual."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.describing import count_things, join_words
from lossatlas.schema import COMPANION, CURVATURE, OPERATORS, RESIDUAL, SAMPLE, InCurvature, parse_texts, read_operators

__all__ = ["describe_curvature"]

CURVATURE_OPTIONS = {
    "parameters": "curvature_parameters",
    "tolerance": "curvature_tolerance",
    "products": "curvature_products",
    "second_start": "second_start",
    "seed": "curvature_seed",
}
"""The settings of curvature, and the options that give them."""


def describe_curvature(subject: xr.Dataset, settings: Mapping[str, Any]) -> Iterator[str]:
    """Describe what curvature was taken of and how exactly; nothing where the subject holds none."""
    operators = [operator.words for name, operator in OPERATORS.items() if _holds_operator(subject, name)]
    if not operators:
        return
    asked = _read_curvature(subject)
    for name, option in CURVATURE_OPTIONS.items():
        if option in settings:
            asked.setdefault(name, settings[option])
    parameters = parse_texts(asked.get("parameters"))
    inside = "" if parameters in ([], ["*"]) else f" in the parameters {', '.join(parameters)}"
    yield f"Curvature: {join_words(operators)} of the mean loss over the sample{inside}{_describe_subsets(subject)}."
    found = []
    if isinstance(tolerance := asked.get("tolerance"), Real):
        found.append(f"sought to residuals of at most {float(tolerance):g} of the largest magnitude among them")
    if isinstance(products := asked.get("products"), Integral):
        found.append(f"with at most {int(products):,} products")
    if asked.get("second_start"):
        found.append("with a second random start")
    residuals = _describe_largest_residual(subject)
    if residuals:
        yield f"Eigenvalues by the Lanczos method{''.join(f', {each}' for each in found)}; {residuals}."
    if any(str(name).endswith("_trace") for name in subject.data_vars):
        yield "Traces by Hutch++, with standard errors over the probes."
    if asked.get("seed") is not None:
        yield f"Seed of starts and probes {asked['seed']}."


def _describe_subsets(subject: xr.Dataset) -> str:
    """Describe the further subsets of examples of a curvature run; empty where it has none."""
    further = subject.sizes.get(SAMPLE, 1) - 1
    if CURVATURE not in subject.attrs or further < 1:
        return ""
    kind = " ".join(["further", *filter(None, [str(subject.attrs.get("subsets", ""))])])
    each = count_things(further, f"{kind} subset")
    return f"; quantities of whole networks also over {'each of ' * (further > 1)}{each} of as many examples"


def _holds_operator(subject: xr.Dataset, operator: str) -> bool:
    """Whether some variable is about an operator, by its metric or, in a curvature run, by its name."""
    names = (str(variable.attrs.get("metric", "")) for variable in subject.data_vars.values())
    own = [str(name) for name in subject.data_vars if CURVATURE in subject.attrs]
    layers = any(name.startswith(f"{InCurvature.LAYER}_") for name in own)
    return (layers and operator == read_operators(subject.attrs)[0]) or any(
        name.removeprefix("path_").startswith(f"{operator}_") for name in (*names, *own)
    )


def _read_curvature(subject: xr.Dataset) -> dict[str, Any]:
    """Read the settings of curvature from the attributes of the data, which hold them as text; empty without any."""
    for variable in subject.data_vars.values():
        text = str(variable.attrs.get("computation", ""))
        if "CurvatureSettings(" not in text:
            continue
        with suppress(SyntaxError, ValueError):
            for call in ast.walk(ast.parse(text, mode="eval")):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "CurvatureSettings":
                    return {str(given.arg): ast.literal_eval(given.value) for given in call.keywords}
    return {name: subject.attrs[option] for name, option in CURVATURE_OPTIONS.items() if option in subject.attrs}


def _describe_largest_residual(subject: xr.Dataset) -> str:
    """State the largest residual of an eigenvalue, with its units, and how many are infinite; empty without any.

    NaN is left out: a residual is not known where its eigenvalue is not. The bound on a ratio of eigenvalues is not a
    residual of one.
    """
    found: list[tuple[float, str]] = []
    infinite = 0
    for name, variable in subject.data_vars.items():
        beside = variable.attrs.get(COMPANION) == RESIDUAL.suffix or (
            CURVATURE in subject.attrs and str(name).endswith(RESIDUAL.of(""))
        )
        if beside and not str(variable.attrs.get("metric", "")).endswith("_ratio"):
            infinite += int(np.isinf(variable.values).sum())
            finite = variable.values[np.isfinite(variable.values)]
            found += [(float(finite.max()), str(variable.attrs.get("units", "")))] if finite.size else []
    value, units = max(found, default=(None, ""))
    beyond = [f"infinite residuals of {count_things(infinite, 'eigenvalue')}"] if infinite else []
    known = [] if value is None else [f"largest {'finite ' * bool(infinite)}residual {value:.2g} {units}".strip()]
    return ", ".join([*known, *beyond])
