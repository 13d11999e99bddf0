"""``lossatlas curvature``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, lend_problem_of, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.recipes import SpectraConfig
from lossatlas.schema import name_curvatures

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["CURVATURE"]

NORMS = ("gradient_norm", "chosen_gradient_norm")


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/curvature")
    """Directory of the run."""
    pictures: bool = True
    """Draw pictures and write the report."""


class _Curvature(ConfiguredVerb[SpectraConfig, _Options]):
    unnamed = "networks"

    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that is measured, or of the first of several."""
        given = find_option(tokens, "networks") or find_option(tokens, "trajectory")
        return {} if given is None else lend_problem_of(given, tokens)

    def job(self) -> Job[SpectraConfig]:
        from lossatlas.jobs.curvature import run_curvature

        return run_curvature

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        networks = summary.get("networks")
        for name, found in networks.items() if isinstance(networks, Mapping) else ():
            say(f"{name}: {format_numbers(found, ('loss', *NORMS))}{_tell_spectrum(found)}")
            if isinstance(found, Mapping) and isinstance(verdict := found.get("verdict"), str):
                say(verdict)
        if isinstance(last := summary.get("last"), Mapping):
            say(f"at the end: {format_numbers(last, ('step', 'loss', 'lr', NORMS[0]))}{_tell_spectrum(last)}")
        if isinstance(count := summary.get("unconverged"), int) and count:
            which = "eigenvalues whose residuals are above the tolerance, or that were not found"
            say(f"{which}: {count}; allow more with --curvature_products")
        print_place(run, run.pictures)


def _tell_spectrum(found: object) -> str:
    """``, hessian_max 4.1 ± 0.002, hessian_trace 12 (11 to 13)``: residuals, and 95 % intervals of traces."""
    entries = found if isinstance(found, Mapping) else {}
    told = ""
    for name in name_curvatures():
        number, interval = format_numbers(entries, (name,)), entries.get(f"{name}_interval")
        residual = format_numbers(entries, (f"{name}_residual",), digits=2).rpartition(" ")[2]
        told += (f", {number}" if number else "") + (f" ± {residual}" if number and residual else "")
        if number and isinstance(interval, list) and len(interval) == 2:
            told += f" ({interval[0]:.4g} to {interval[1]:.4g})"
    return told


CURVATURE = _Curvature(
    "curvature",
    SpectraConfig,
    _Options,
    None,
    "Measure how curved the loss is at trained networks: the largest and the smallest eigenvalues of its Hessian with "
    "their residuals, its trace and spectral density, and whether it is a minimum or a saddle. Name runs or weights "
    "first, lossatlas curvature RUN RUN ...; or follow a training with --trajectory RUN.",
    (
        Example("At the end of a training", "lossatlas curvature runs/a"),
        Example("How much depends on the sample: on ten further subsets", "lossatlas curvature runs/a --subsets 10"),
        Example("Layer by layer, without spectral densities", "lossatlas curvature runs/a --per_layer --probes 0"),
        Example("The largest eigenvalue along a training", "lossatlas curvature --trajectory runs/a"),
    ),
)
