"""How a job begins: a new run directory, or one that is continued with the settings and inputs it was started with."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml

from lossatlas.errors import BadInput
from lossatlas.locks import Lock, lock
from lossatlas.recipes import Config, completed, differences, with_defaults
from lossatlas.rundir import PROVENANCE, SUMMARY, RunDirectory, versions
from lossatlas.specs import NetworkSpec

__all__ = ["Start"]

INPUTS = {"checkpoint", "trajectory", "between", "run", "runs", "init_from", "start"}
"""Fields in which configurations name runs and files that something is made of."""
WRITERS = ".writers"
"""The lock that everybody holds who works on a run."""

C = TypeVar("C", bound=Config)


class Start(Generic[C]):
    """A run directory that is free, or holds a run with the same configuration that is to be continued.

    Args:
        config: completed here, so that the record of the run says every option.
        out: the directory; nothing is written to it before :meth:`put`.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.
        together: others may work on the run at the same time; :meth:`close` says that this one does no more.

    Raises:
        BadInput: something else is there, or a run with other settings.
    """

    def __init__(self, config: C, out: Path, *, resume: bool, overwrite: bool, together: bool = False) -> None:
        self.run = RunDirectory(out)
        self.continuing = resume and self.run.exists
        self.config = completed(config)
        """The configuration that says every option of what it names."""
        self._provenance: dict[str, Any] = {}
        self.placed = False
        """Whether this process has put the run in place, or has joined it."""
        self.grows = False
        """Whether the run that is there is to get more than it was started for."""
        self._overwrite = overwrite
        self._together = together
        self._writers: Lock | None = None
        if not self.continuing:
            self.run.check_free(overwrite=overwrite)
            self._check_inputs()
            if overwrite and self.run.exists and not _free(self.run):
                raise BadInput(f"another process works on {self.run.path}; wait until it has finished, or stop it")
            return
        if not self.run.is_run:
            raise BadInput(f"{self.run.path} is no lossatlas run that could be resumed; choose another --out")
        self._check_settings()

    def _check_inputs(self) -> None:
        """Refuse to replace what the run is to be made of."""
        place = self.run.path.resolve()
        for name in INPUTS & {field.name for field in fields(self.config)}:
            value = getattr(self.config, name)
            for spec in value if isinstance(value, tuple) else (value,):
                named = NetworkSpec.parse(str(spec or "")).path.resolve()
                if spec and self.run.exists and (named == place or place in named.parents):
                    raise BadInput(f"--out {self.run.path} holds {spec}, which {name} names; choose another --out")

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return self.continuing and self.run.finished and not self.grows

    def _check_settings(self) -> None:
        """Compare with the run that is there, which may grow where its configuration says how."""
        # An option that is younger than the run has there what the run did without it: as a rule its default.
        stored = with_defaults(type(self.config), {**self.config.older, **self.run.config()})
        self.config = self.config.settled(stored)
        if not (found := differences(stored, self.config.flat())):
            return
        grown = self.config.grown_from(stored)
        if grown is None:
            raise BadInput(
                f"{self.run.path} was started with other settings: {'; '.join(found)}; leave them out or use a new "
                "--out"
            )
        self.config, self.grows = grown, bool(differences(stored, grown.flat()))

    def decide(self, config: C) -> C:
        """Settle what the configuration of a new run left open, before it is recorded by :meth:`put`."""
        self.config = config
        return config

    def stored(self, name: str, otherwise: Any) -> Any:
        """What the run that is continued has in its provenance; ``otherwise`` where a new one begins."""
        return self.run.read_json(PROVENANCE).get(name, otherwise) if self.continuing else otherwise

    def put(self, device: torch.device, fingerprints: dict[str, str], **more: Any) -> None:
        """Put a new run in place; or refuse to continue with data, weights or pictures changed under the same name.

        Args:
            device: of the run.
            fingerprints: hashes of what the configuration names and does not hold.
            more: further entries of the provenance, JSON types.

        Raises:
            BadInput: they have changed, or the directory cannot be made.
        """
        self.placed = True
        self._provenance = {"versions": versions(), "device": str(device), "fingerprints": fingerprints, **more}
        if not self.continuing:
            text = yaml.safe_dump(self.config.flat(), sort_keys=False)
            if self.run.create(text, self._provenance, replace=self._overwrite):
                self.continuing = True
                self._join()
                return
            self.continuing = True  # another process began in the meantime, and this one joins it
        self._join()
        self._check_settings()
        stored = self.run.read_json(PROVENANCE)
        was = {"device": stored.get("device"), **stored.get("fingerprints", {})}
        now = {"device": str(device), **fingerprints}
        if found := differences(was, now):
            raise BadInput(f"{self.run.path} was started on other inputs: {'; '.join(found)}; use a new --out")
        self._provenance = {key: value for key, value in stored.items() if key not in ("format", "timings")}

    def _join(self) -> None:
        """Be known as one that works on the run; alone where it is to grow, for others go by what it was."""
        if not self._together:
            return
        if self._writers is None:
            self._writers = Lock(self.run.path / WRITERS)
        if self.grows and not self._writers.alone(wait=False):
            raise BadInput(f"another process works on {self.run.path}; add to it when it has finished")
        if not self.grows:
            self._writers.share()

    def reopen(self) -> None:
        """Let the run be one that is to get more, now that everything that could be refused has been."""
        if self.grows and self._writers is not None:
            self.run.reopen(yaml.safe_dump(self.config.flat(), sort_keys=False))
            self._writers.share()

    def close(self) -> None:
        """Let others replace the run, or add to it."""
        if self._writers is not None:
            self._writers.release()
            self._writers = None

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


def _free(run: RunDirectory) -> bool:
    """Whether nobody works on a run that is there."""
    if not (run.path / WRITERS).exists():
        return True
    with lock(run.path / WRITERS, wait=False) as alone:
        return alone
