"""The report of ensembles: a self-contained HTML page with scores, costs, pictures and the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import xarray as xr

from lossatlas.describing import count_things
from lossatlas.schema import InEnsemble
from lossatlas.views.ensemble_data import (
    Ensembles,
    count_members,
    list_differing,
    list_scores,
    name_ensembles,
    read_halves,
)
from lossatlas.views.ensemble_tables import (
    NOTHING,
    label_score,
    read_ends,
    tabulate_all,
    tabulate_counts,
    tabulate_differences,
    tabulate_halves,
    tabulate_members,
    tabulate_scores,
    tabulate_temperatures,
    write_score,
)
from lossatlas.views.picture import DrawnPicture
from lossatlas.views.report import Grid, place_pictures, write_page

__all__ = ["write_ensembles"]


def write_ensembles(
    path: Path | str,
    subject: Ensembles | xr.Dataset,
    config_yaml: str,
    pictures: Mapping[str, DrawnPicture],
    rendered: Mapping[str, bytes] | None = None,
    *,
    title: str = "",
    grids: Sequence[Grid] = (),
    against: Ensembles | None = None,
) -> None:
    """Write the page of an ensemble, or of several, whole or not at all.

    Args:
        path: the file; its directory is made if need be.
        subject: the labelled data of an ensemble (see :class:`lossatlas.schema.InEnsemble`), or of several by name.
        config_yaml: the configuration that reproduces them.
        pictures: the pictures in the order of the page.
        rendered: PNG files of the pictures by name, where they exist already.
        title: the title of the page; by default it states how many members there are.
        grids: further tables, which are shown after the scores.
        against: ensembles on the same examples, by name, from which paired differences are stated; by default the first
            one, of several.

    Raises:
        CannotFinish: the file cannot be written.
    """
    ensembles = name_ensembles(subject)
    tables = [tabulate_all(ensembles)] if len(ensembles) > 1 else []
    tables += tabulate_differences(ensembles, against)
    details = []
    for name, one in ensembles.items():
        of = f"{name}: " if len(ensembles) > 1 else ""
        tables.append(tabulate_scores(one, f"{of}scores on all examples"))
        tables += tabulate_halves(one, f"{of}scores on halves")
        tables += tabulate_temperatures(one, f"{of}temperatures")
        details += [tabulate_counts(one, f"{of}number of members"), tabulate_members(one, f"{of}members")]
    write_page(
        path,
        title=title or _name_page(ensembles),
        lead=" ".join([*(_summarise(name, one) for name, one in ensembles.items()), *_note_differing(ensembles)]),
        tiles=_tile(ensembles),
        images=place_pictures(pictures, rendered),
        summary_grids=[*tables, *grids],
        grids=details,
        config_yaml=config_yaml,
    )


def _name_page(ensembles: Ensembles) -> str:
    if len(ensembles) > 1:
        return f"{len(ensembles)} ensembles compared"
    (one,) = ensembles.values()
    return f"Ensemble of {count_things(one.sizes[InEnsemble.MEMBER], 'member')}"


def _summarise(name: str, ensemble: xr.Dataset) -> str:
    """State in a sentence what was averaged, and how its first score compares with that of the first member."""
    what = "probabilities" if ensemble.attrs[InEnsemble.KIND] == InEnsemble.CLASSES else "outputs"
    score = list_scores({name: ensemble})[0]
    alone, together, difference = read_ends(ensemble, score)
    examples = count_things(int(ensemble.attrs[InEnsemble.EXAMPLES]), "example")
    members = count_things(int(count_members(ensemble)[-1]), "member")
    compared = f", {difference} against the first member's {alone}" * (NOTHING not in (alone, difference))
    split = f" of the {ensemble.attrs[InEnsemble.SPLIT]} split" if InEnsemble.SPLIT in ensemble.attrs else ""
    return (
        f"{name}: the {what} of {members}, averaged, on {examples}{split}: "
        f"{label_score(ensemble, score)} {together}{compared}."
    )


def _note_differing(ensembles: Ensembles) -> Iterator[str]:
    for note in list_differing(ensembles):
        yield f"{note[0].upper()}{note[1:]}."


def _tile(ensembles: Ensembles) -> list[tuple[str, str]]:
    """List the main numbers of a single ensemble."""
    if len(ensembles) > 1:
        return [("ensembles", str(len(ensembles)))]
    (one,) = ensembles.values()
    tiles = [("members", str(one.sizes[InEnsemble.MEMBER]))]
    tiles += [(label_score(one, score), read_ends(one, score)[1]) for score in list_scores(ensembles)]
    if (found := read_halves(one, "nll", InEnsemble.GIVEN, InEnsemble.TEMPERED)) is not None:
        tiles.append((f"{label_score(one, 'nll')}, tempered on halves", write_score(found, -1)))
    return tiles
