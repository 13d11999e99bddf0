"""Checks that runs, and the current data, belong to the same problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lossatlas.data import Split
from lossatlas.errors import BadInput
from lossatlas.provenance import DATA
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import build_loss

__all__ = ["Known", "check_same_data", "check_same_losses", "check_same_model"]

APART = {"data.folder"}
"""Settings that state where something lies and not what it is."""


@dataclass(frozen=True)
class Known:
    """The record of the problem that a run's network was trained on."""

    name: str
    """The name of the run in messages."""
    settings: Mapping[str, Any]
    """The flat configuration of the run."""
    fingerprints: Mapping[str, str]
    """The hashes in its provenance."""

    @classmethod
    def of(cls, name: str, run: OpenedRun) -> Self:
        """Read the record of a run, with the name that messages give it."""
        return cls(name, run.find_settings(), run.provenance.fingerprints)

    @property
    def data(self) -> dict[str, str]:
        """Return the hashes of its splits, by ``data/<split>``."""
        return {key: value for key, value in self.fingerprints.items() if key.startswith(DATA)}

    def settings_of(self, thing: str) -> dict[str, Any]:
        """Return the settings of the data, the model or the loss, with their options."""
        return {k: v for k, v in self.settings.items() if k.partition(".")[0] == thing and k not in APART}


def check_same_data(one: Known, other: Known, hint: str) -> None:
    """Refuse runs on different data, by their hashes, or by their settings if a hash is missing.

    Args:
        one: the first run.
        other: the second run.
        hint: the advice in the message.

    Raises:
        BadInput: the data differ; the message names the first setting that differs, or the split if settings agree.
    """
    both = [split for split in one.data if split in other.data]
    if both and all(one.data[split] == other.data[split] for split in both):
        return
    found = _first_difference(one.settings_of("data"), other.settings_of("data"))
    if found is None and both:
        split = next(split for split in both if one.data[split] != other.data[split])
        found = f"the hash of the {split.removeprefix(DATA)} examples", one.data[split], other.data[split]
    if found is not None:
        what, mine, theirs = found
        raise BadInput(
            f"{one.name} and {other.name} were trained on different data: {what} is {mine!r} for the first and "
            f"{theirs!r} for the second; {hint}"
        )


def check_same_losses(runs: Sequence[Known], split: Split, hint: str) -> None:
    """Refuse runs that were trained under different losses.

    Args:
        runs: the records of the runs.
        split: a split of their common data, whose targets decide what ``auto`` means.
        hint: the advice in the message.

    Raises:
        BadInput: two losses differ.
    """
    records: dict[str, str] = {}
    for run in runs:
        settings = repr(sorted(run.settings_of("loss").items()))
        if settings not in records:
            records[settings] = _record(run, split)
        first = next(iter(records.values()))
        if records[settings] != first:
            raise BadInput(
                f"{runs[0].name} and {run.name} were trained under different losses: {first} and {records[settings]}; "
                f"{hint}"
            )


def _record(run: Known, split: Split) -> str:
    """Return the record of the loss of a run, on examples like these."""
    settings = run.settings_of("loss")
    options = {key.partition(".")[2]: value for key, value in settings.items() if "." in key}
    return build_loss(str(settings.get("loss", "auto")), split, options).record


def check_same_model(one: Known, other: Known, hint: str) -> None:
    """Refuse runs of different architectures.

    Raises:
        BadInput: the architectures differ; the message names the first setting that differs.
    """
    if (found := _first_difference(one.settings_of("model"), other.settings_of("model"))) is not None:
        what, mine, theirs = found
        raise BadInput(
            f"{one.name} and {other.name} have different architectures: {what} is {mine!r} for the first and "
            f"{theirs!r} for the second; {hint}"
        )


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            return key, one.get(key), other.get(key)
    return None
