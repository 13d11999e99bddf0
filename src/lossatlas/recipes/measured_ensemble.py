"""How an ensemble was scored, as a paper must state it: what is averaged, halves, temperatures, bins, errors."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from lossatlas.describing import count_things, join_words
from lossatlas.schema import InEnsemble, parse_texts

__all__ = ["describe_ensemble"]


def describe_ensemble(subject: xr.Dataset) -> Iterator[str]:
    """Describe how an ensemble was scored; nothing where the subject is not one."""
    attrs = subject.attrs
    if InEnsemble.KIND not in attrs:
        return
    classes = attrs[InEnsemble.KIND] == InEnsemble.CLASSES
    what = "probabilities" if classes else "outputs"
    spread = "" if classes else ", their spread the population standard deviation over members"
    yield f"Averaged: the {what} of {count_things(subject.sizes[InEnsemble.MEMBER], 'member')}{spread}."
    binned = join_words(
        [
            str(subject[name].attrs.get("long_name", name)).partition(" (")[0]
            for name in parse_texts(attrs.get(InEnsemble.BINNED))
        ]
    )
    if binned and InEnsemble.BINS in attrs:
        bins = int(attrs[InEnsemble.BINS])
        yield f"{binned[0].upper()}{binned[1:]} over {bins} bins of equal width in confidence."
    if int(attrs.get(InEnsemble.HALVINGS, 0)) > 0:
        yield _describe_halves(subject, "temperature" if classes else "factor on the spread", stratified=classes)
    bootstrap = (
        f", of the {binned} over {int(attrs[InEnsemble.BOOTSTRAP]):,} bootstrap samples of examples"
        if binned and InEnsemble.BOOTSTRAP in attrs
        else ""
    )
    yield f"Standard errors over examples{bootstrap}; those of differences are paired."


def _describe_halves(subject: xr.Dataset, factor: str, *, stratified: bool) -> str:
    attrs = subject.attrs
    chosen = factor
    if InEnsemble.TEMPERATURE_LOW in attrs and InEnsemble.TEMPERATURE_HIGH in attrs:
        low, high = (float(attrs[end]) for end in (InEnsemble.TEMPERATURE_LOW, InEnsemble.TEMPERATURE_HIGH))
        chosen = f"{factor} in [{low:g}, {high:g}]"
    orders = subject[InEnsemble.ORDER].values if InEnsemble.ORDER in subject else ()
    greedy = " and greedy order" if InEnsemble.GREEDY in orders else ""
    kind = "halves stratified by class" if stratified else "halves"
    seed = f", seed {int(attrs[InEnsemble.SEED])}" if InEnsemble.SEED in attrs else ""
    return (
        f"On {kind} ({count_things(int(attrs[InEnsemble.HALVINGS]), 'halving')}{seed}): {chosen}{greedy} chosen on one "
        "half and scored on the other, both ways, averaged."
    )
