"""The interface of charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from inspect import isabstract
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.func import vjp

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.hashing import fingerprint
from lossatlas.registry import Registry, load_callable
from lossatlas.schema import AXES, SAMPLE_DIMENSIONS, Geometry
from lossatlas.types import Params

__all__ = ["CHARTS", "Block", "Chart", "CoefficientChart", "check_controls", "check_coords", "name_axes"]

CHARTS: Registry[type[Chart]] = Registry("chart", "lossatlas.charts.kinds")


@dataclass(frozen=True)
class Block:
    """Points of a chart as the engine takes them: ``coefficients @ controls``."""

    points: slice
    """Which of the coordinates they belong to."""
    coefficients: Tensor
    """(p, m)."""
    controls: Tensor
    """(m, n)."""


class Chart(nn.Module, ABC):
    """A map from coordinates to weight space; strictly, a local parametrisation of a surface in it.

    A chart is a ``torch.nn.Module``: a fit trains its parameters, and its state is what is written to disk. What a
    kind of chart can be used for follows from its base classes: a :class:`~lossatlas.charts.Startable` chart can be
    fitted from its start, a :class:`~lossatlas.charts.Between` lies between networks, a
    :class:`~lossatlas.charts.Curve` joins them.
    """

    axes: tuple[str, ...]
    """The name of each coordinate."""
    joins_networks: ClassVar[bool] = False
    """Whether the chart lies between several networks, whose running statistics do not fit at its other points."""
    options: ClassVar[type[Any] | None] = None
    """The frozen dataclass of the options of the kind, ``--chart.OPTION`` on the command line; None where it has none.
    Options are passed to the methods that make a chart; what the chart needs of them later belongs to its state."""
    curved: ClassVar[bool] = False
    """Whether the chart may stretch, shear and fold weight space, so that surveys show how it does."""
    counts: ClassVar[Mapping[str, torch.dtype]] = MappingProxyType({})
    """The dtypes of those tensors of its state that are integers or booleans."""
    interpolation: ClassVar[str] = "general"
    """How coordinates interpolate: see :class:`~lossatlas.schema.Geometry`."""
    axis_labels: Mapping[str, str] = MappingProxyType({})
    """What plots call the axes, by axis, where that is not their names; whoever makes the chart may say so."""
    random_directions: Mapping[str, Any] = MappingProxyType({})
    """How its random directions were made: ``normalize``, ``ignore``, ``direction_seed`` and ``repeats``."""
    fitted_under: str = ""
    """The buffers policy of the fit that trained the chart; empty where it was not fitted."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        axes = f"{'axes' if len(self.axes) > 1 else 'axis'} {join_words(self.axes)}"
        trains = f"trains {join_words(trained) or 'nothing'}"
        return f"{axes}, {self._describe_controls()}{count_things(self.dimension, 'weight')}, {trains}"

    def _describe_controls(self) -> str:
        """How many controls there are, where the chart has some and tells without forming them."""
        return ""

    @property
    @abstractmethod
    def centred(self) -> bool:
        """Whether the chart lies around a trained network, so that the buffers of that network fit."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The dimension n of the weight space."""

    @abstractmethod
    def points(self, coords: Tensor) -> Tensor:
        """The weight vectors (P, n) at coordinates (P, d) of any dtype, differentiable in the chart's parameters."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Tensor]) -> Chart:
        """Make the chart with this ``state_dict``."""

    @classmethod
    def kind(cls) -> str:
        """The name of this kind of chart: the one in the registry, or else that of its class."""
        return CHARTS.name_of(cls) or cls.__name__.lower()

    @classmethod
    def made_options(cls, given: Mapping[str, Any] | None) -> Any:
        """Make an instance of :attr:`options`; None where the kind has none.

        Args:
            given: values by option; None for the defaults.

        Raises:
            BadInput: an option is unknown, or out of its bounds.
        """
        known = [field.name for field in fields(cls.options)] if cls.options is not None else []
        for name in given or ():
            if name not in known:
                raise (
                    make_unknown_error(f"option of chart {cls.kind()!r}", name, known)
                    if known
                    else BadInput(f"chart {cls.kind()!r} has no options; leave out {name!r}")
                )
        return cls.options(**given or {}) if cls.options is not None else None

    def is_within(self, coords: Tensor) -> Tensor:
        """Which coordinates (P, d) lie in the domain that the chart was made for, (P,), bool; by default all."""
        return torch.ones(len(coords), dtype=torch.bool, device=coords.device)

    @property
    def statistics(self) -> Params:
        """Running statistics at the controls, (m, *shape) by buffer name; empty where controls are not networks."""
        return {}

    @torch.no_grad()
    def lay_controls(self) -> Tensor:
        """Control vectors (m, n) like those of its blocks, of which engines are made: here those of one point."""
        return self._form(torch.zeros(1, len(self.axes), dtype=torch.float64))

    @torch.no_grad()
    def blocks(self, coords: Tensor, most: int, laid: Tensor | None = None) -> Iterator[Block]:
        """Cut points into blocks that the engine evaluates one after the other, without gradients.

        The points are formed, each a control of its own. The engine copies them into named parameters, so that as many
        as ``most`` weight vectors are held at a time, or those of one point.

        Args:
            coords: (P, d), of any dtype.
            most: how many weight vectors are held at a time.
            laid: what :meth:`lay_controls` returned, where that was kept; it spares forming controls again.

        Yields:
            Blocks in the order of the coordinates.

        Raises:
            BadInput: the chart's points have another shape.
        """
        count = max(1, most // 2)
        for start in range(0, len(coords), count):
            formed = self._form(coords[start : start + count])
            # One by one where one is infinite, since zero times infinity would make NaN of the others.
            for controls in torch.split(formed, len(formed) if formed.isfinite().all() else 1):
                points = slice(start, start + len(controls))
                yield Block(points, torch.eye(len(controls)).to(controls), controls)
                start = points.stop

    def _form(self, coords: Tensor) -> Tensor:
        """The points at some coordinates, whose shape is checked."""
        found = self.points(coords).detach()
        if found.shape != (expected := (len(coords), self.dimension)):
            what = f"the points of {type(self).__name__} at {count_things(len(coords), 'place')}"
            raise BadInput(f"{what} are {tuple(found.shape)}; expected {expected}")
        return found

    def corner_coords(self) -> Tensor:
        """The coordinates (k, d), float64, of the networks or of the origin that the chart passes through."""
        return torch.empty(0, len(self.axes), dtype=torch.float64)

    def geometry(self) -> Geometry:
        """The description of the chart for pictures; numbers of repeats and samples are not among its axes."""
        axes = tuple(axis for axis in self.axes if axis not in SAMPLE_DIMENSIONS)
        corners = tuple(tuple(corner) for corner in self.corner_coords().tolist())
        return Geometry(self.kind(), axes, self.interpolation, corners)

    def fingerprint(self) -> str:
        """A hash of the chart's kind, axes and tensors, by which surveys of equal charts are recognised."""
        return fingerprint(sorted(self.state_dict().items()), kind=f"{type(self).__name__} {self.axes}")


class CoefficientChart(Chart):
    """A chart of the form ``points(coords) = coefficients(coords) @ controls()``.

    The gradients at any number of points can be summed into gradients of the m controls. The engine therefore uses
    coefficients and controls of these charts instead of :meth:`points`.
    """

    service: ClassVar[str] = ""
    """How the command line asks for kinds of charts with this base class; empty where it does not."""
    refusal: ClassVar[str] = "is not made of coefficients and controls"
    """The predicate in the message about a kind that does not implement the base class."""

    @classmethod
    def services(cls) -> tuple[str, ...]:
        """List the services of the kind, from the base classes that it implements."""
        return tuple(str(vars(base)["service"]) for base in cls.__mro__ if vars(base).get("service"))

    @classmethod
    def names(cls) -> list[str]:
        """List the names of the kinds that implement this base class."""
        return [name for name in CHARTS if issubclass(CHARTS[name], cls)]

    @classmethod
    def named(cls, spec: str, option: str = "chart") -> type[Self]:
        """Find the kind of a name or of ``module:Class`` that implements this base class.

        A class is added to the registry under that name, so that its charts can be written and read back.

        Args:
            spec: the name.
            option: the option that gives the name, for messages.

        Raises:
            BadInput: the name is unknown, is not a kind of chart, or does not implement the base class; the choices
                are listed.
        """
        if spec not in CHARTS and ":" in spec:
            CHARTS.add(spec, _loaded(spec, option))
        if spec not in CHARTS:
            raise make_unknown_error(option, spec, [*cls.names(), "module:Class"])
        kind = CHARTS[spec]
        if not issubclass(kind, cls):
            raise BadInput(f"{option} {spec!r} {cls.refusal}; choose {' or '.join(cls.names())}")
        return kind

    @property
    def control_count(self) -> int | None:
        """The number m of controls; None where only forming them would tell."""
        return None

    def _describe_controls(self) -> str:
        return f"{count_things(self.control_count, 'control')} of " if self.control_count is not None else ""

    @property
    @abstractmethod
    def statistics(self) -> Params:
        """Running statistics at the controls, (m, *shape) by buffer name; empty where controls are not networks."""

    @abstractmethod
    def coefficients(self, coords: Tensor) -> Tensor:
        """The coefficients (P, m) at coordinates (P, d)."""

    def derivatives(self, coords: Tensor) -> Tensor:
        """The derivatives (P, m, d) of the coefficients with respect to the coordinates (P, d).

        ``derivatives[:, :, k] @ controls()`` are the derivatives of the points along axis k. At a kink they are the
        right-hand derivatives, and along an axis that only numbers repeats they are NaN. They are computed by
        automatic differentiation, with one backward pass per coefficient, unless a kind overrides this.
        """
        coords = check_coords(coords, self.axes)
        # The coefficients of a point depend on its own coordinates alone, so that one pass serves all points.
        sums, back = vjp(lambda at: self.coefficients(at).sum(dim=0), coords)[:2]
        return torch.stack([back(one)[0] for one in torch.eye(len(sums)).to(sums)], dim=1)

    @abstractmethod
    def controls(self) -> Tensor:
        """The control vectors (m, n), differentiable in the chart's parameters."""

    def points(self, coords: Tensor) -> Tensor:
        controls = self.controls()
        return self.mixture(coords, controls) @ controls

    @torch.no_grad()
    def lay_controls(self) -> Tensor:
        """The controls (m, n), without gradients."""
        return self.controls()

    @torch.no_grad()
    def blocks(self, coords: Tensor, most: int, laid: Tensor | None = None) -> Iterator[Block]:
        """All points as one block, since none of them is formed; see :meth:`Chart.blocks`."""
        controls = laid if laid is not None else self.controls()
        yield Block(slice(0, len(coords)), self.mixture(coords, controls), controls)

    def mixture(self, coords: Tensor, controls: Tensor) -> Tensor:
        """The coefficients (P, m) in the dtype and on the device of the controls (m, n).

        They are computed in the precision of coordinates and controls, but at least in 32 bits: rounding a coordinate
        to 16 bits would move the point.

        Args:
            coords: (P, d), of any dtype and on any device.
            controls: the result of :meth:`controls`.

        Raises:
            BadInput: the coefficients have another shape.
        """
        dtype = torch.promote_types(torch.promote_types(coords.dtype, controls.dtype), torch.float32)
        found = self.coefficients(coords.to(controls.device, dtype)).to(controls)
        if found.shape != (expected := (len(coords), len(controls))):
            what = f"the coefficients of {type(self).__name__} at {len(coords)} points"
            raise BadInput(f"{what} are {tuple(found.shape)}; expected {expected}")
        return found


def _loaded(spec: str, option: str) -> type[Chart]:
    """Load the class that ``module:Class`` names.

    Raises:
        BadInput: it cannot be imported, is not a kind of chart, or is abstract.
    """
    found: Any = load_callable(option, spec)
    if not isinstance(found, type) or not issubclass(found, CoefficientChart):
        raise BadInput(f"{option} {spec!r} is not a kind of chart; expected a subclass of lossatlas.CoefficientChart")
    if isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise BadInput(f"{option} {spec!r} lacks {lacking}; write what its base classes leave open")
    return found


def name_axes(count: int) -> tuple[str, ...]:
    """Make the names of a number of axes.

    >>> name_axes(4)
    ('u', 'v', 'w', 'x3')
    """
    return tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(count))


def check_controls(chart: Chart, who: str) -> None:
    """Refuse a chart that is not made of coefficients and controls, where gradients or distances need these.

    Args:
        chart: the chart.
        who: needs them, for the message: "a fit".

    Raises:
        BadInput: it is another one.
    """
    if not isinstance(chart, CoefficientChart):
        raise BadInput(
            f"{who} needs a chart of coefficients and controls, which {type(chart).__name__} is not; choose one such "
            f"as Plane or Slice, or survey the {type(chart).__name__}"
        )


def check_coords(coords: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Check coordinates (P, d) and return them as floating-point numbers.

    Raises:
        BadInput: they have another shape.
    """
    if coords.ndim != 2 or coords.shape[1] != len(axes):
        raise BadInput(
            f"coordinates have shape {tuple(coords.shape)}; expected (P, {len(axes)}), along {', '.join(axes)}"
        )
    return coords if coords.is_floating_point() else coords.to(torch.get_default_dtype())
