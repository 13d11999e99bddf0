"""Where the help of a verb shows each of its options: in which panel, and whether before ``--help_all`` is asked for.

An option of a verb that computes has its line in :data:`PANELS`; other verbs state panels of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["OTHERS", "PANELS", "Example", "Panel", "arrange", "write_examples"]

OTHERS = "Options"
"""The title over options that stand in none of a verb's panels."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Options that help shows together, in their order.

    Args:
        title: of the panel.
        common: names of options that are always shown.
        rare: names of options that ``--help_all`` shows after them.
    """

    title: str
    common: tuple[str, ...]
    rare: tuple[str, ...] = ()


class Example:
    """Commands for the end of a verb's help.

    Args:
        purpose: what they are for.
        commands: as one types them, one after the other.
    """

    def __init__(self, purpose: str, *commands: str) -> None:
        self.purpose = purpose
        self.commands = commands


PANELS = (
    Panel(
        title="What",
        common=(
            "runs",  # of a comparison
            "networks",
            "members",
            "pattern",
            "size",
            "checkpoint",
            "trajectory",
            "between",
            "run",
            "posterior",
            "curve",
            "objective",
            "directions",
            "range",
            "grid",
            "normalize",
            "repeats",
            "direction_seed",
            "epochs",
            "snapshots",
            "average",
        ),
        rare=(
            "chart",
            "invert",
            "axes",
            "init",
            "train_origin",
            "origin_at",
            "scale",
            "scale_unit",
            "ignore",
            "orthogonal",
            "at",
            "margin",
            "tolerance",
            "budget",
            "bends",
            "start",
            "train_ends",
            "points",
            "temperature",
            "line",
            "slice_range",
            "slice_points",
            "level",
            "radius",
            "init_from",
            "init_gain",
            "switch",
            "samples",
            "sample_seed",
            "average_from",
            "average_rank",
            "average_decay",
            "sample_seed",
        ),
    ),
    Panel(title="Network and data", common=("data", "model", "loss", "seed"), rare=("holdout", "output", "parameters")),
    Panel(
        title="Optimisation",
        common=("steps", "seconds", "batch_size", "lr", "optimizer"),
        rare=(
            "schedule",
            "weight_decay",
            "augment",
            "max_norm",
            "target_gap",
            "cells",
            "clip",
            "threshold",
            "decorrelation",
            "isometry",
            "boundary_share",
            "boundary_only",
            "coarse",
            "shares",
            "there",
            "scale_lr",
            "betas",
            "keep_best",
            "average_last",
        ),
    ),
    Panel(
        title="Measured",
        common=(
            "against",
            "operator",
            "top",
            "bottom",
            "probes",
            "subsets",
            "per_layer",
            "metrics",
            "splits",
            "examples",
        ),
        rare=(
            "density_steps",
            "gradient_tolerance",
            "eval_batch_size",
            "buffers",
            "survey_buffers",
            "buffers_batches",
            "padding",
            "curvature_parameters",
            "curvature_tolerance",
            "curvature_products",
            "second_start",
            "curvature_seed",
            "plane",
            "plane_examples",
            "ensembles",
            "greedy",
            "pairs",
            "sizes",
            "halvings",
            "halving_seed",
            "bins",
            "bootstrap",
            "predictions",
        ),
    ),
    Panel(
        title="How it runs",
        common=("preset", "config", "device", "workers", "resume", "dry_run"),
        rare=(
            "executor",
            "ray_address",
            "claims",
            "print_config",
            "plan",
            "memory",
            "precision",
            "tile_points",
            "checkpoint_seconds",
        ),
    ),
    Panel(title="Output", common=("out", "overwrite", "pictures")),
)
"""The panels of verbs that compute, with the options of all of them."""


def arrange(names: Sequence[str], panels: Sequence[Panel], everything: bool) -> Iterator[tuple[str, list[str]]]:
    """Per panel that has any of the options its title and those that are shown, in their order.

    Args:
        names: of a verb's options. Those of a named thing, such as ``model.depth``, follow the option that names it,
            and are always shown: who sees them has named the thing.
        panels: of the verb.
        everything: show rare options, too.

    Yields:
        What stands in no panel comes last, under :data:`OTHERS`.
    """
    heads = {name: name.partition(".")[0] for name in names}
    placed = {name for panel in panels for name in (*panel.common, *panel.rare)}
    rest = tuple(dict.fromkeys(head for head in heads.values() if head not in placed))
    for panel in (*panels, Panel(title=OTHERS, common=rest)):
        order = [*panel.common, *panel.rare]
        own = sorted((name for name in names if heads[name] in order), key=lambda name: order.index(heads[name]))
        shown = [name for name in own if everything or "." in name or name in panel.common]
        if shown:
            yield panel.title, shown


def write_examples(examples: Sequence[Example], hint: str) -> str:
    """What stands under the options in the help of a verb, in Markdown: examples, and a hint where to look further."""
    lines = [line for example in examples for line in (f"# {example.purpose}", *example.commands)]
    told = "\n".join(["```text", "Examples:", *lines, "```"]) if examples else ""
    return f"{told}\n\n{hint}".strip()
