"""Between networks."""

from __future__ import annotations

from itertools import chain

from lossatlas.charts import CHARTS, Between
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.base import stated
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Network, SiteKind, SurveySite
from lossatlas.recipes.slicing import check_finite, named
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.schema import AXES
from lossatlas.weights.files import load_state, module_state

__all__ = ["BetweenNetworks"]

KINDS = {2: "simplex", 3: "through", 4: "quadrilateral"}
"""The chart between so many networks."""
LINE_MARGIN = 0.5
"""Of a line between two networks: from -0.5 to 1.5, as Li et al. 2018 show it."""


class BetweenNetworks(SiteKind):
    """The figure that trained networks span (Goodfellow et al. 2015; Im, Tao & Branson 2016; Garipov et al. 2018)."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if config.directions or stated(config.repeats) > 1:
            raise BadInput("between networks there are no directions to choose or to draw; leave them out")
        module = base.problem.module
        states, notes = [], []
        named_states = named(config.between)
        for (name, state), spec in zip(reversed(named_states.items()), reversed(config.between), strict=True):
            # The first comes last: the module is left there.
            notes.append(load_state(module, state, f"checkpoint {spec}"))
            check_finite(module, f"checkpoint {spec}")
            states.append((name, {key: value.clone() for key, value in module_state(module).items()}))
        states.reverse()
        kind = self._kind(config)
        chart = kind.between_states([state for _, state in states], base.space)
        chart.check_spans()
        if len(chart.axes) > len(AXES):
            raise BadInput(
                f"{len(states)} networks span {len(chart.axes)} axes, which no picture has; choose up to four"
            )
        coords = chart.corner_coords()
        margin = config.margin if config.margin is not None else LINE_MARGIN if len(states) == 2 else kind.margin
        lows, highs = coords.min(dim=0).values, coords.max(dim=0).values
        reach = (highs - lows) * margin
        return SurveySite(
            chart=chart,
            labels=_labels(chart, [name for name, _ in states]),
            boxes={
                axis: (float(low - more), float(high + more))
                for axis, low, high, more in zip(chart.axes, lows, highs, reach, strict=True)
            },
            networks=tuple(
                Network(name, tuple(where), weights)
                for (name, _), where, weights in zip(states, coords.tolist(), chart.corners.cpu(), strict=True)
            ),
            notes=tuple(chain.from_iterable(reversed(notes))),
            fingerprints={"networks": fingerprint(chart.state_dict().items())},
        )

    @staticmethod
    def _kind(config: SurveyConfig) -> type[Between]:
        name = KINDS.get(len(config.between), "simplex") if config.chart == "auto" else config.chart
        kind = CHARTS[name]
        assert issubclass(kind, Between)
        count = len(config.between)
        if count < kind.least or (kind.most is not None and count > kind.most):
            raise BadInput(
                f"chart {name!r} lies between {kind.most or kind.least} networks, {count} are given; choose another"
            )
        return kind


def _labels(chart: Between, names: list[str]) -> dict[str, str]:
    if type(chart).__name__ == "Through":
        line = f"{names[0]} to {names[1]}"
        return {"u": f"distance from {line}", "v": f"distance from that line towards {names[2]}"}
    if len(names) == 2:
        return {"u": f"from {names[0]} (0) to {names[1]} (1)"}
    return {axis: f"{axis}" for axis in chart.axes}
