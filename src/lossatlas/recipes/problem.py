"""The recipe of a problem: from its configuration to data, module and loss."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.data import Dataset, Split, load_data
from lossatlas.engine import BUFFERS, BuffersPolicy
from lossatlas.engine.buffers_policy import find_normalisation_layers
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.feeds import AUTO, Dict, Feed, Pair
from lossatlas.hashing import fingerprint
from lossatlas.losses import LOSSES, Loss, load_loss
from lossatlas.models import MODELS, check_weights_fit, load_model
from lossatlas.problem import Problem
from lossatlas.provenance import DATA
from lossatlas.recipes.base import ProblemConfig
from lossatlas.recipes.options import check_options
from lossatlas.recipes.shared_config import EvaluationConfig, SamplesConfig
from lossatlas.schema import AVERAGED_FROM
from lossatlas.streams import make_generator
from lossatlas.types import Params
from lossatlas.weights import WeightSpace

__all__ = [
    "HeldOut",
    "ProblemRecipe",
    "build_loss",
    "build_problem",
    "check_data_now",
    "find_device",
    "fix_seed",
    "hash_data",
    "hash_network",
]


FEW = 8
"""The number of examples from which the structure of batches is inferred."""


@dataclass(frozen=True)
class HeldOut:
    """Training examples that are held out, and evaluated.

    Attributes:
        data: The name of the data.
        options: Its options.
        count: The number of the examples.
    """

    data: str
    options: Mapping[str, Any]
    count: int


@dataclass(frozen=True)
class ProblemRecipe:
    """The objects of a problem; the module is on the CPU, batches are on the device.

    Attributes:
        problem: Module, loss and feed.
        space: The parameters that vary.
        data: The complete data.
        train: The training examples, on the device.
        device: The device on which networks are evaluated.
        networks: Parameters and buffers of networks in memory, by name.
        held_out: The training examples that are held out, where these are evaluated; None where they are not.
        average_from: The share of a training's steps after which snapshots belong to averages of its weights.
    """

    problem: Problem
    space: WeightSpace
    data: Dataset
    train: Split
    device: torch.device
    networks: Mapping[str, Params] = field(default_factory=dict)
    held_out: HeldOut | None = None
    average_from: float = AVERAGED_FROM

    def take_examples(self, examples: str, splits: Iterable[str]) -> dict[str, Split]:
        """Take the examples of splits that are evaluated, on the device.

        Args:
            examples: the number of examples of each split, a fixed random subset that is the same in every run; or
                ``all``.
            splits: the names of the splits.

        Returns:
            The examples by split.
        """
        found = {name: self.data.splits[name] for name in splits}
        if examples != "all":
            found = {k: split.subset(int(examples), make_generator(0, f"survey/{k}")) for k, split in found.items()}
        return {name: split.to(self.device) for name, split in found.items()}

    def settle_buffers(self, policy: str) -> str:
        """Return the effective buffers policy: without running statistics all policies are equal.

        An unknown policy is returned as it is, and refused where it is made.
        """
        return policy if policy not in BUFFERS or find_normalisation_layers(self.problem.module) else "batch"

    def make_buffers(self, policy: str, config: EvaluationConfig) -> BuffersPolicy:
        """Make a buffers policy from its name, with the settings of a configuration."""
        return BUFFERS[policy].for_run(self.train, config.eval_batch_size, config.buffers_batches)


def build_problem(config: ProblemConfig, splits: tuple[str, ...] = ()) -> ProblemRecipe:
    """Build the recipe of a problem from its configuration.

    Args:
        config: the configuration of any verb.
        splits: the names of splits that the data must have.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    device = find_device(config.device)
    with fix_seed(config.seed):
        data = load_data(config.data, check_options("data", config.data, config.data_options))
    data = data.hold_out(config.holdout) if config.holdout else data
    for name in splits:
        if name not in data.splits:
            hint = ": give --holdout N to hold out N training examples" if name == "holdout" else ""
            raise BadInput(f"{name!r} is not a split of {config.data}; expected {', '.join(data.splits)}{hint}")
    own = load_loss(config.loss) if ":" in config.loss else None
    # A loss that calls the network itself accepts batches of any structure.
    calls = own is not None and own.sees_network
    feed, inputs, targets = (None, None, None) if calls else _feed(data.train, config.output)
    module = _module(config, data, inputs, targets)
    return ProblemRecipe(
        problem=Problem(module, own or _loss(config.loss, targets, config.loss_options), feed),
        space=WeightSpace(module, config.parameters),
        data=data,
        train=data.train.to(device),
        device=device,
        held_out=HeldOut(config.data, config.data_options, config.holdout) if "holdout" in splits else None,
        average_from=config.average_from if isinstance(config, SamplesConfig) else AVERAGED_FROM,
    )


def find_device(name: str) -> torch.device:
    """Return the device that a configuration names; ``auto`` is a GPU if the machine has one.

    Raises:
        BadInput: the machine does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"device {name!r} is not available on this machine; use cpu or auto") from error
    return device


def _feed(split: Split, output: str | None = None) -> tuple[Feed, Tensor | None, Any]:
    """Infer how batches are passed to the module, from a few examples.

    Returns:
        The feed; the inputs of the examples if they are one tensor, else None; and their targets.
    """
    key = AUTO if output is None else int(output) if re.fullmatch(r"-?[0-9]{1,9}", output) else output
    batch = split.take(torch.arange(min(FEW, len(split))))
    if isinstance(batch, Mapping):
        named = Dict(output=key)
        try:
            return named, None, named.targets(batch)
        except BadInput as error:
            entries = ", ".join(map(str, batch))
            raise BadInput(
                f"examples are dicts of {entries}; expected the targets under 'labels' (or a single 'label'): rename "
                "that entry"
            ) from error
    pair = Pair(key)
    try:
        targets = pair.targets(batch)
    except BadInput as error:
        found = str(error).partition(";")[0].removeprefix("a batch is ")
        raise BadInput(
            f"a batch of the data is {found}; expected (inputs, targets), with several inputs as ((inputs, lengths), "
            "targets), or a dict with the targets under 'labels': have --data module:callable return one of these"
        ) from error
    return pair, batch[0] if isinstance(batch[0], Tensor) else None, targets


def _module(config: ProblemConfig, data: Dataset, inputs: Tensor | None, targets: Any) -> nn.Module:
    if ":" in config.model:
        with fix_seed(config.seed):
            return load_model(config.model)
    family = MODELS[config.model](**check_options("model", config.model, config.model_options))
    if inputs is None or not isinstance(targets, Tensor):
        raise BadInput(
            f"model {config.model!r} maps one tensor to one tensor; for other batches give --model module:callable"
        )
    classes = data.count_classes()
    outputs = classes if classes is not None else max(1, targets[0].numel())
    shape = tuple(inputs.shape[1:])
    check_weights_fit(config.model, family, shape, outputs)
    with fix_seed(config.seed):
        return family.build(shape, outputs)


def hash_data(data: Dataset) -> dict[str, str]:
    """Compute the hashes of all splits, as the provenance of a run stores them."""
    return {f"{DATA}{name}": split.fingerprint() for name, split in data.splits.items()}


def hash_network(module: nn.Module) -> str:
    """Compute the hash of a network's current parameters and buffers."""
    return fingerprint(module.state_dict().items())


def check_data_now(known: Mapping[str, str], now: Dataset, data: str, run: str, hint: str) -> None:
    """Refuse data that differ from those of a run, as far as its provenance tells.

    Args:
        known: the hashes in the provenance.
        now: the current data.
        data: the name of the data in the message.
        run: the name of the run in the message.
        hint: the advice in the message.

    Raises:
        BadInput: a common split differs.
    """
    for key, found in hash_data(now).items():
        if known.get(key, found) != found:
            name = key.removeprefix(DATA)
            raise BadInput(f"the {name} examples of {data} are not those that {run} was made on; {hint}")


def build_loss(name: str, split: Split, options: Mapping[str, Any] | None = None) -> Loss:
    """Build the loss that a configuration names, for examples like these.

    Args:
        name: the name of the loss, ``auto`` or ``module:callable``.
        split: examples, whose targets decide what ``auto`` means.
        options: the options of a named loss.

    Raises:
        BadInput: the name is unknown, or a loss for such targets is not known.
    """
    return load_loss(name) if ":" in name else _loss(name, _feed(split)[2], options)


@contextmanager
def fix_seed(seed: int) -> Iterator[None]:
    """Seed torch's global generator within the context, so that random initialisation in user code can be repeated."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _loss(name: str, targets: Any, options: Mapping[str, Any] | None = None) -> Loss:
    if ":" in name:
        return load_loss(name)
    if name == "auto":
        if not isinstance(targets, Tensor):
            raise BadInput(
                f"targets in a {type(targets).__name__} do not determine a loss; give --loss module:callable"
            )
        name = "squared_error" if targets.is_floating_point() else "cross_entropy"
    if name not in LOSSES:
        raise make_unknown_error("loss", name, ["auto", *LOSSES, "module:callable"])
    kind: Callable[..., Loss] = LOSSES[name]
    return kind(**check_options("loss", name, options or {}))
