"""The interface of charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from inspect import isabstract
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.func import vjp

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.errors import BadInput, unknown
from lossatlas.hashing import fingerprint
from lossatlas.registry import Registry, load_callable
from lossatlas.schema import AXES, REPEAT, Geometry
from lossatlas.types import Params

__all__ = ["CHARTS", "Chart", "CoefficientChart", "check_coords", "name_axes"]

CHARTS: Registry[type[Chart]] = Registry("chart", "lossatlas.charts.kinds")


class Chart(nn.Module, ABC):
    """A map from coordinates to weight space; strictly, a local parametrisation of a surface in it.

    A chart is a module: its parameters are what a fit trains, its state is what is written to disk. What a kind of
    chart can serve follows from what it implements: :class:`~lossatlas.charts.Startable` begins a fit,
    :class:`~lossatlas.charts.Between` lies between networks, :class:`~lossatlas.charts.Curve` joins them.
    """

    axes: tuple[str, ...]
    """The name of each coordinate."""
    joins_networks: ClassVar[bool] = False
    """Whether the chart lies between several networks, whose own statistics fit at none of its other points."""
    options: ClassVar[type[Any] | None] = None
    """The frozen dataclass of the kind's own options, ``--chart.OPTION`` on the command line; None where it has none.
    They are given to what makes a chart; what it needs of them later belongs to its state."""
    counts: ClassVar[Mapping[str, torch.dtype]] = MappingProxyType({})
    """The types of those tensors of its state that are whole numbers or marks."""
    interpolation: ClassVar[str] = "general"
    """How coordinates interpolate: see :class:`~lossatlas.schema.Geometry`."""
    fitted_under: str = ""
    """The buffers policy of the fit that trained the chart; empty where none did."""

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
        """Whether the chart lies around weights that somebody trained; buffers that are kept from there then fit."""

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
        """The chart whose ``state_dict`` this is."""

    @classmethod
    def kind(cls) -> str:
        """The name of this kind of chart: the registry's, or else that of its class."""
        return CHARTS.name_of(cls) or cls.__name__.lower()

    @classmethod
    def made_options(cls, given: Mapping[str, Any] | None) -> Any:
        """The kind's options, an instance of :attr:`options`; None where it has none.

        Raises:
            BadInput: one of those given is not among them, or out of its bounds.
        """
        known = [field.name for field in fields(cls.options)] if cls.options is not None else []
        for name in given or ():
            if name not in known:
                raise (
                    unknown(f"option of chart {cls.kind()!r}:", name, known)
                    if known
                    else BadInput(f"chart {cls.kind()!r} has no options; leave out {name!r}")
                )
        return cls.options(**given or {}) if cls.options is not None else None

    def corner_coords(self) -> Tensor:
        """The coordinates (k, d), float64, of the networks or the origin that the chart passes through; may be none."""
        return torch.empty(0, len(self.axes), dtype=torch.float64)

    def geometry(self) -> Geometry:
        """What pictures know of the chart; repeats of a slice are numbered, and so are not among its axes."""
        axes = tuple(axis for axis in self.axes if axis != REPEAT)
        corners = tuple(tuple(corner) for corner in self.corner_coords().tolist())
        return Geometry(self.kind(), axes, self.interpolation, corners)

    def fingerprint(self) -> str:
        """A hash of the chart's kind, axes and tensors: surveys of equal charts have equal ones."""
        return fingerprint(sorted(self.state_dict().items()), kind=f"{type(self).__name__} {self.axes}")


class CoefficientChart(Chart):
    """A chart of the form ``points(coords) = coefficients(coords) @ controls()``.

    The gradients at any number of points fold into those of the m controls, which is why the engine takes these
    charts apart instead of asking for points.
    """

    service: ClassVar[str] = ""
    """What verb asks for kinds of charts that implement a base, and how; empty: none does."""
    refusal: ClassVar[str] = "is not made of coefficients and controls"
    """What is said of a kind that does not implement the base."""

    @classmethod
    def services(cls) -> tuple[str, ...]:
        """What the kind can be asked for, by the bases that it implements."""
        return tuple(str(vars(base)["service"]) for base in cls.__mro__ if vars(base).get("service"))

    @classmethod
    def names(cls) -> list[str]:
        """The names of the kinds that implement this base."""
        return [name for name in CHARTS if issubclass(CHARTS[name], cls)]

    @classmethod
    def named(cls, spec: str, option: str = "chart") -> type[Self]:
        """The kind that a name or ``module:Class`` stands for, which implements this base.

        A class is added to the registry under the latter, so that charts of it are written and read back.

        Args:
            spec: the name.
            option: that gives it, for messages.

        Raises:
            BadInput: nothing has the name, it is not a kind of chart, or it does not implement the base; the choices
                are listed.
        """
        if spec not in CHARTS and ":" in spec:
            CHARTS.add(spec, _loaded(spec, option))
        if spec not in CHARTS:
            raise unknown(option, spec, [*cls.names(), "module:Class"])
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

        ``derivatives[:, :, k] @ controls()`` are those of the points along axis k; at a kink, those of the piece to its
        right; NaN along an axis that only numbers things. By automatic differentiation, one pass back for each
        coefficient, unless a kind knows better.
        """
        coords = check_coords(coords, self.axes)
        # A point's coefficients depend on its own coordinates alone, so that all points go in one pass.
        sums, back = vjp(lambda at: self.coefficients(at).sum(dim=0), coords)[:2]
        return torch.stack([back(one)[0] for one in torch.eye(len(sums)).to(sums)], dim=1)

    @abstractmethod
    def controls(self) -> Tensor:
        """The control vectors (m, n), differentiable in the chart's parameters."""

    def points(self, coords: Tensor) -> Tensor:
        controls = self.controls()
        return self.mixture(coords, controls) @ controls

    def mixture(self, coords: Tensor, controls: Tensor) -> Tensor:
        """The coefficients (P, m) that controls (m, n) are multiplied with, in their dtype and on their device.

        They are computed as precisely as coordinates and controls are, in 32 bits at least: among numbers of 16 bits
        the nearest to 0.1 lies elsewhere.

        Args:
            coords: (P, d), of any dtype and on any device.
            controls: what :meth:`controls` returned.

        Raises:
            BadInput: the coefficients are of another shape.
        """
        dtype = torch.promote_types(torch.promote_types(coords.dtype, controls.dtype), torch.float32)
        found = self.coefficients(coords.to(controls.device, dtype)).to(controls)
        if found.shape != (expected := (len(coords), len(controls))):
            what = f"the coefficients of {type(self).__name__} at {len(coords)} points"
            raise BadInput(f"{what} are {tuple(found.shape)}; expected {expected}")
        return found


def _loaded(spec: str, option: str) -> type[Chart]:
    """The class that ``module:Class`` names.

    Raises:
        BadInput: it cannot be imported, is not a kind of chart, or leaves something of its bases' to be written.
    """
    found: Any = load_callable(option, spec)
    if not isinstance(found, type) or not issubclass(found, CoefficientChart):
        raise BadInput(f"{option} {spec!r} is not a kind of chart; expected a subclass of lossatlas.CoefficientChart")
    if isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise BadInput(f"{option} {spec!r} lacks {lacking}; write what its base classes leave open")
    return found


def name_axes(count: int) -> tuple[str, ...]:
    """The names of so many axes.

    >>> name_axes(4)
    ('u', 'v', 'w', 'x3')
    """
    return tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(count))


def check_coords(coords: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Coordinates (P, d) as real numbers.

    Raises:
        BadInput: they have another shape.
    """
    if coords.ndim != 2 or coords.shape[1] != len(axes):
        raise BadInput(
            f"coordinates of shape {tuple(coords.shape)}; this chart's are (P, {len(axes)}), along {', '.join(axes)}"
        )
    return coords if coords.is_floating_point() else coords.to(torch.get_default_dtype())
