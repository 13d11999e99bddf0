"""How curvature was measured, as a paper must state it: operator, parameters, sample, tolerance, largest residual."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.schema import COMPANION, CURVATURE, OPERATORS, RESIDUAL, InCurvature, parse_texts, read_operators

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
    loss = "mean loss over the first sample" if subject.sizes.get("sample", 1) > 1 else "mean loss over the sample"
    yield f"Curvature: {' and '.join(operators)} of the {loss}{inside}."
    found = []
    if isinstance(tolerance := asked.get("tolerance"), Real):
        found.append(f"sought to residuals of at most {float(tolerance):g} of the largest magnitude among them")
    if isinstance(products := asked.get("products"), Integral):
        found.append(f"with at most {int(products):,} products")
    if asked.get("second_start"):
        found.append("with a second random start")
    largest = _find_largest_residual(subject)
    if largest:
        yield f"Eigenvalues by the Lanczos method{''.join(f', {each}' for each in found)}; largest residual {largest}."
    if any(str(name).endswith("_trace") for name in subject.data_vars):
        yield "Traces by Hutch++, with standard errors over the probes."
    if asked.get("seed") is not None:
        yield f"Seed of starts and probes {asked['seed']}."


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


def _find_largest_residual(subject: xr.Dataset) -> str:
    """Find the largest residual of an eigenvalue, with its units; empty where there is none.

    The bound on a ratio of eigenvalues is not one.
    """
    found: list[tuple[float, str]] = []
    for name, variable in subject.data_vars.items():
        beside = variable.attrs.get(COMPANION) == RESIDUAL.suffix or (
            CURVATURE in subject.attrs and str(name).endswith(RESIDUAL.of(""))
        )
        if beside and not str(variable.attrs.get("metric", "")).endswith("_ratio"):
            finite = variable.values[np.isfinite(variable.values)]
            found += [(float(finite.max()), str(variable.attrs.get("units", "")))] if finite.size else []
    value, units = max(found, default=(None, ""))
    return "" if value is None else f"{value:.2g} {units}".strip()
