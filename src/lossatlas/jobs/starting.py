"""How a job begins: a new run directory, or one that is continued with the settings and inputs it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml

from lossatlas.engine import Engine, Plan
from lossatlas.errors import BadInput
from lossatlas.files.reading import expand_home, resolve_path
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
    """A run directory that is free, or holds a run with the same configuration that is to be continued.

    A run that is continued is claimed at once, unless several may work on it: whoever comes second hears of it before
    anything is computed.

    Args:
        config: completed here, so that the record of the run says every option.
        out: the directory; nothing is written to it before :meth:`put`.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.
        together: others may work on the run at the same time; :meth:`close` says that this one does no more.

    Raises:
        BadInput: something else is there, or a run with other settings, or one that another process writes.
    """

    def __init__(self, config: C, out: Path, *, resume: bool, overwrite: bool, together: bool = False) -> None:
        self.run = RunDirectory(out)
        self.run.recover()
        self.continuing = resume and self.run.exists
        self.config = complete(config)
        """The configuration that says every option of what it names."""
        self._provenance: dict[str, Any] = {}
        self.placed = False
        """Whether this process has put the run in place, or has joined it."""
        self.grows = False
        """Whether the run that is there is to get more than it was started for."""
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
        """Refuse to replace what the run is to be made of."""
        place = resolve_path(self.run.path)
        for path in locate_inputs(self.config.flat(), place) if self.run.exists else ():
            named = resolve_path(expand_home(path))
            if named == place or place in named.parents:
                raise BadInput(f"--out {self.run.path} holds {path}, which the run is made of; choose another --out")

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return self.continuing and self.run.finished and not self.grows

    def _check_settings(self) -> None:
        """Compare with the run that is there, which may grow where its configuration says how."""
        stored = OpenedRun(self.run.path, "it cannot be resumed; choose another --out").respell_settings(self.config)
        self.config = self.config.settled(stored)
        if not (found := list_differences(stored, self.config.flat())):
            return
        grown = self.config.grown_from(stored)
        if grown is None:
            raise BadInput(
                f"{self.run.path} was started with other settings: {'; '.join(found)}; leave them out or use a new "
                "--out"
            )
        self.config, self.grows = grown, bool(list_differences(stored, grown.flat()))

    def decide(self, config: C) -> C:
        """Settle what the configuration of a new run left open, before it is recorded by :meth:`put`."""
        self.config = config
        return config

    def stored(self, name: str, otherwise: Any) -> Any:
        """What the run that is continued has in its provenance; ``otherwise`` where it has none, or a run begins."""
        found = getattr(self.run.provenance(), name) if self.continuing else None
        return otherwise if found is None else found

    def find_plan(self, stated: str) -> str | Plan:
        """The plan of the run that is continued; what the configuration states where a run begins."""
        return Plan.from_dict(self.stored("plan", {})) if self.continuing else stated

    def put(self, device: torch.device, fingerprints: dict[str, str], *, disk: int, **more: Any) -> None:
        """Put a new run in place; or refuse to continue with data, weights or pictures changed under the same name.

        Args:
            device: of the run.
            fingerprints: hashes of what the configuration names and does not hold.
            disk: bytes that a new run takes at least.
            more: further entries of the provenance, JSON types.

        Raises:
            BadInput: they have changed, the directory cannot be made, the disk is too small, or another process has
                begun the run meanwhile.
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
            self.continuing = True  # another process began in the meantime, and this one joins it
        if self._together:
            self.run.check("choose another --out")
            # Alone where the run is to grow, for others go by what it was.
            self.run.claim(shared=not self.grows, wait=not self.grows)
        self._check_settings()
        before, stored = self.run.provenance(), self.run.read_json(PROVENANCE)
        was, now = {"device": before.device, **before.fingerprints}, {"device": str(device), **fingerprints}
        if found := list_differences(was, now):
            raise BadInput(f"{self.run.path} was started on other inputs: {'; '.join(found)}; use a new --out")
        self._provenance = {key: value for key, value in stored.items() if key not in ("format", "timings")}
        self.placed = True

    def put_planned(self, recipe: ChartRecipe[Any], engine: Engine, extent: Extent) -> None:
        """:meth:`put` of a run whose networks an engine evaluates, and the threads of its plan.

        Args:
            recipe: of the run.
            engine: whose plan is recorded.
            extent: of its surveys.

        Raises:
            BadInput: as there.
        """
        plan, data = engine.plan, recipe.data
        fingerprints = recipe.fingerprints()
        self.put(
            engine.network.device, fingerprints, disk=extent.disk, plan=plan.to_dict(), normalisation=data.normalisation
        )
        torch.set_num_threads(plan.threads)

    def reopen(self) -> None:
        """Let the run be one that is to get more, now that everything that could be refused has been."""
        if self.grows:
            self.run.reopen(yaml.safe_dump(self.config.flat(), sort_keys=False))
            self.run.claim(shared=True, wait=True)

    def close(self) -> None:
        """Let others write the run, add to it or replace it."""
        self.run.close()

    def finish(self, summary: dict[str, Any], timings: dict[str, float]) -> None:
        """Write what the run came to; with its summary it is finished.

        Args:
            summary: JSON types.
            timings: seconds by phase.

        Raises:
            CannotFinish: the disk refuses.
        """
        self.run.write_json(PROVENANCE, {**self._provenance, "timings": timings})
        self.run.write_json(SUMMARY, summary)
