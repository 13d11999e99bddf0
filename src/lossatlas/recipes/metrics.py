"""The metrics of a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from lossatlas.curvatures import CurvatureSettings
from lossatlas.engine import Metric
from lossatlas.losses import Loss
from lossatlas.metrics import choose_metrics
from lossatlas.recipes.shared_config import CurvatureConfig, MetricsConfig

__all__ = ["make_curvature_settings", "make_metrics"]


def make_curvature_settings(config: CurvatureConfig) -> CurvatureSettings:
    """Make the settings of curvature from a configuration.

    Raises:
        BadInput: a number is out of range.
    """
    return CurvatureSettings(
        parameters=config.curvature_parameters,
        tolerance=config.curvature_tolerance,
        products=config.curvature_products,
        second_start=config.second_start,
        seed=config.curvature_seed,
    )


def make_metrics(loss: Loss, config: MetricsConfig, further: Sequence[Metric] = ()) -> dict[str, Metric]:
    """Make the metrics of a configuration, by the names of their variables.

    Args:
        loss: the loss under which they are measured.
        config: the configuration.
        further: metrics that are measured whatever the configuration names.

    Raises:
        BadInput: as :func:`~lossatlas.metrics.choose_metrics`.
    """
    return choose_metrics(loss, [*config.metrics, *further], make_curvature_settings(config))
