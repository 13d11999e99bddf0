"""The start of a job: a new run directory, or one that is resumed with the settings and inputs it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml

from lossatlas.engine import Engine, Plan
from lossatlas.errors import BadInput
from lossatlas.files.reading import expand_home, resolve_path
from lossatlas.locks import AUTO
from lossatlas.provenance import list_versions
from lossatlas.recipes import Config, complete, list_differences
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.recipes.inputs import locate_inputs
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.room import Extent, check_disk
from lossatlas.rundir import PROVENANCE, SUMMARY, RunDirectory

__all__ = ["Start"]

C = TypeVar("C", bound=Config)


class Start(Generic[C]):
    """A run directory that is free, or that holds a run with the same configuration to be resumed.

    A run that is resumed is locked at once, unless several processes may work on it, so that a second process is
    refused before any computation.

    Args:
        config: the configuration, which is completed here so that the record of the run states every option.
        out: the run directory; nothing is written to it before :meth:`put`.
        resume: resume a run that is there, or start one if there is none.
        overwrite: replace a lossatlas run that is there.
        together: whether other processes may work on the run at the same time, until :meth:`close`.
        claims: how processes keep out of each other's way, see :class:`~lossatlas.rundir.RunDirectory`.

    Raises:
        BadInput: the directory holds something else, a run with other settings, or a run that another process writes.
    """

    def __init__(
        self,
        config: C,
        out: Path,
        *,
        resume: bool,
        overwrite: bool,
        together: bool = False,
        claims: str = AUTO,
    ) -> None:
        self.run = RunDirectory(out, claims)
        self.run.recover()
        self.continuing = resume and self.run.exists
        self.config = complete(config)
        """The configuration, with every option stated."""
        self._provenance: dict[str, Any] = {}
        self.placed = False
        """Whether this process has created the run directory, or joined the run."""
        self.grows = False
        """Whether the run that is there will get metrics, splits or points that it was not started with."""
        self._overwrite = overwrite
        self._together = together
        if not self.continuing:
            self.run.check_free(overwrite=overwrite)
            self._check_inputs()
            return
        self._check_settings()
        if not together and not self.run.finished:
            self.run.claim()

    def _check_inputs(self) -> None:
        """Refuse to replace a directory that contains an input of the run."""
        place = resolve_path(self.run.path)
        for path in locate_inputs(self.config.flat(), place) if self.run.exists else ():
            named = resolve_path(expand_home(path))
            if named == place or place in named.parents:
                raise BadInput(
                    f"--out {self.run.path} holds {path}, which is an input of the run; choose another --out"
                )

    @property
    def finished(self) -> bool:
        """Return whether the run is finished already."""
        return self.continuing and self.run.finished and not self.grows

    def _check_settings(self) -> None:
        """Compare the settings with those of the run that is there, which may grow if its configuration allows it."""
        stored = OpenedRun(self.run.path, "it cannot be resumed; choose another --out").respell_settings(self.config)
        self.config = self.config.settled(stored)
        if not (found := list_differences(stored, self.config.flat())):
            return
        grown = self.config.grown_from(stored)
        if grown is None:
            raise BadInput(
                f"{self.run.path} was started with other settings: {'; '.join(found)}; leave them out or choose a new "
                "--out"
            )
        self.config, self.grows = grown, bool(list_differences(stored, grown.flat()))

    def decide(self, config: C) -> C:
        """Set the configuration with what a new run decides itself, before it is recorded by :meth:`put`."""
        self.config = config
        return config

    def stored(self, name: str, otherwise: Any) -> Any:
        """Return an entry of the provenance of the resumed run; ``otherwise`` if it is missing or the run is new."""
        found = getattr(self.run.provenance(), name) if self.continuing else None
        return otherwise if found is None else found

    def find_plan(self, stated: str) -> str | Plan:
        """Return the plan of the resumed run, or the stated one for a new run."""
        return Plan.from_dict(self.stored("plan", {})) if self.continuing else stated

    def put(self, device: torch.device, fingerprints: dict[str, str], *, disk: int, **more: Any) -> None:
        """Create a new run directory; or refuse to resume with data, weights or pictures that have changed.

        Args:
            device: the device of the run.
            fingerprints: hashes of the inputs that the configuration names.
            disk: the bytes that a new run takes on disk at least.
            more: further entries of the provenance, as JSON values.

        Raises:
            BadInput: the inputs have changed, the directory cannot be created, the disk is too small, or another
                process has started the run in the meantime.
        """
        flat = self.config.flat()
        self._provenance = {
            "verb": self.config.verb,
            "versions": list_versions(),
            "device": str(device),
            "fingerprints": fingerprints,
            "inputs": locate_inputs(flat, self.run.path),
            **more,
        }
        if not self.continuing:
            check_disk(self.run.path, disk)
            text = yaml.safe_dump(flat, sort_keys=False)
            if not self._together:
                self.run.begin(text, self._provenance, replace=self._overwrite)
            if not self._together or self.run.create(text, self._provenance, replace=self._overwrite, shared=True):
                self.continuing = self.placed = True
                return
            self.continuing = True  # another process started it in the meantime, and this one joins it
        if self._together:
            self.run.check("choose another --out")
            # A run that grows is locked exclusively, since other processes work with its old settings.
            self.run.claim(shared=not self.grows, wait=not self.grows)
        self._check_settings()
        before, stored = self.run.provenance(), self.run.read_json(PROVENANCE)
        was, now = {"device": before.device, **before.fingerprints}, {"device": str(device), **fingerprints}
        if found := list_differences(was, now):
            raise BadInput(f"{self.run.path} was started with other inputs: {'; '.join(found)}; choose a new --out")
        self._provenance = {key: value for key, value in stored.items() if key not in ("format", "timings")}
        self.placed = True

    def put_planned(self, recipe: ChartRecipe[Any], engine: Engine, extent: Extent) -> None:
        """Create the directory of a run that an engine evaluates, like :meth:`put`, and use the threads of its plan.

        Args:
            recipe: the recipe of the run.
            engine: the engine, whose plan is recorded.
            extent: the extent of the surveys.

        Raises:
            BadInput: see :meth:`put`.
        """
        plan, data = engine.plan, recipe.data
        fingerprints = recipe.fingerprints()
        self.put(
            engine.network.device, fingerprints, disk=extent.disk, plan=plan.to_dict(), normalisation=data.normalisation
        )
        torch.set_num_threads(plan.threads)

    def reopen(self) -> None:
        """Record the new configuration of a run that grows, after all checks have passed."""
        if self.grows:
            self.run.reopen(yaml.safe_dump(self.config.flat(), sort_keys=False))
            self.run.claim(shared=True, wait=True)

    def close(self) -> None:
        """Release the run, so that other processes may write or replace it."""
        self.run.close()

    def finish(self, summary: dict[str, Any], timings: dict[str, float]) -> None:
        """Write the summary, which marks the run as finished.

        Args:
            summary: the numbers of the run, as JSON values.
            timings: the seconds by phase.

        Raises:
            CannotFinish: the disk is full or cannot be written.
        """
        self.run.write_json(PROVENANCE, {**self._provenance, "timings": timings})
        self.run.write_json(SUMMARY, summary)
