"""How a job begins: a new run directory, or one that is continued with the settings and inputs it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import yaml

from lossatlas.errors import BadInput
from lossatlas.recipes import Config, completed, differences
from lossatlas.rundir import PROVENANCE, SUMMARY, RunDirectory, versions

__all__ = ["Start"]

C = TypeVar("C", bound=Config)


class Start(Generic[C]):
    """A run directory that is free, or holds a run with the same configuration that is to be continued.

    Args:
        config: completed here, so that the record of the run says every option.
        out: the directory; nothing is written to it before :meth:`put`.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.

    Raises:
        BadInput: something else is there, or a run with other settings.
    """

    def __init__(self, config: C, out: Path, *, resume: bool, overwrite: bool) -> None:
        self.run = RunDirectory(out)
        self.continuing = resume and self.run.exists
        self.config = completed(config)
        """The configuration that says every option of what it names."""
        self._provenance: dict[str, Any] = {}
        self._grows = False
        self._overwrite = overwrite
        if not self.continuing:
            self.run.check_free(overwrite=overwrite)
            return
        if not self.run.is_run:
            raise BadInput(f"{self.run.path} is no lossatlas run that could be resumed; choose another --out")
        self._check_settings()

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return self.continuing and self.run.finished and not self._grows

    def _check_settings(self) -> None:
        """Compare with the run that is there, which may grow where its configuration says how."""
        stored = self.run.config()
        if not (found := differences(stored, self.config.flat())):
            return
        grown = self.config.grown_from(stored)
        if grown is None:
            raise BadInput(
                f"{self.run.path} was started with other settings: {'; '.join(found)}; leave them out or use a new "
                "--out"
            )
        self.config, self._grows = grown, bool(differences(stored, grown.flat()))

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
        self._provenance = {"versions": versions(), "device": str(device), "fingerprints": fingerprints, **more}
        if not self.continuing:
            text = yaml.safe_dump(self.config.flat(), sort_keys=False)
            if self.run.create(text, self._provenance, replace=self._overwrite):
                self.continuing = True
                return
            self.continuing = True  # another process began in the meantime, and this one joins it
            self._check_settings()
        stored = self.run.read_json(PROVENANCE)
        was = {"device": stored.get("device"), **stored.get("fingerprints", {})}
        now = {"device": str(device), **fingerprints}
        if found := differences(was, now):
            raise BadInput(f"{self.run.path} was started on other inputs: {'; '.join(found)}; use a new --out")
        if self._grows:
            self.run.reopen(yaml.safe_dump(self.config.flat(), sort_keys=False))

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
