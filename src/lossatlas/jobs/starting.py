"""How a job begins: a new run directory, or one that is continued with the settings and inputs it was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lossatlas.errors import BadInput
from lossatlas.recipes import ProblemConfig, differences
from lossatlas.rundir import PROVENANCE, RunDirectory

__all__ = ["Start"]


class Start:
    """A run directory that is free, or holds a run with the same configuration that is to be continued.

    Args:
        config: complete.
        out: the directory; nothing is written to it before :meth:`put`.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.

    Raises:
        BadInput: something else is there, or a run with other settings.
    """

    def __init__(self, config: ProblemConfig, out: Path, *, resume: bool, overwrite: bool) -> None:
        self.run = RunDirectory(out)
        self.continuing = resume and self.run.exists
        self._config = config
        if not self.continuing:
            self.run.check_free(overwrite=overwrite)
            return
        if not self.run.is_run:
            raise BadInput(f"{self.run.path} is no lossatlas run that could be resumed; choose another --out")
        if found := differences(self.run.config(), config.flat()):
            raise BadInput(
                f"{self.run.path} was started with other settings: {'; '.join(found)}; leave them out or use a new "
                "--out"
            )

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return self.continuing and self.run.finished

    def put(self, provenance: dict[str, Any]) -> None:
        """Put a new run in place; or refuse to continue with data, weights or pictures changed under the same name.

        Raises:
            BadInput: they have changed, or the directory cannot be made.
        """
        if not self.continuing:
            self.run.create(yaml.safe_dump(self._config.flat(), sort_keys=False), provenance)
            return
        stored = self.run.read_json(PROVENANCE)
        was = {"device": stored.get("device"), **stored.get("fingerprints", {})}
        now = {"device": provenance["device"], **provenance["fingerprints"]}
        if found := differences(was, now):
            raise BadInput(f"{self.run.path} was started on other inputs: {'; '.join(found)}; use a new --out")
