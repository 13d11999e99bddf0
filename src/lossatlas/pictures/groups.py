"""Groups of classes: how they are written, and how classes are shared out among colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from lossatlas.errors import BadInput

__all__ = [
    "check_groups",
    "find_left_out",
    "parse_group",
    "parse_groups",
    "settle_groups",
    "share_classes",
    "write_group",
    "write_groups",
]

BETWEEN = ";"
"""Between groups that are written as one text."""

MOST_CLASSES = 10**5
"""One more than the largest class that a group may name."""


def parse_group(text: str) -> tuple[int, ...]:
    """Parse the classes of a group, numbers and ranges such as ``0-2,7``, in ascending order.

    Raises:
        BadInput: the text is empty or not a list of classes, a range runs downwards, or a class is named twice.

    >>> parse_group("0-2,7")
    (0, 1, 2, 7)
    """
    found: list[int] = []
    for part in text.split(","):
        if not (ends := re.fullmatch(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?", part)):
            raise BadInput(f"{text!r} is not a group of classes; expected numbers and ranges from 0, such as 0-2,7")
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if last < first:
            raise BadInput(f"the range {part.strip()} of classes runs downwards; write {last}-{first}")
        found.extend(range(first, last + 1))
    if len(set(found)) < len(found):
        raise BadInput(f"the group {text!r} names a class twice; name each once")
    return tuple(sorted(found))


def write_group(group: Iterable[int]) -> str:
    """Write the classes of a group as :func:`parse_group` reads them.

    >>> write_group((0, 1, 2, 7)), write_group([3, 4])
    ('0-2,7', '3-4')
    """
    runs: list[list[int]] = []
    for number in sorted(group):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_groups(text: str) -> tuple[tuple[int, ...], ...]:
    """Parse groups that :func:`write_groups` wrote.

    Raises:
        BadInput: as :func:`parse_group`.

    >>> parse_groups("0-2;3,5")
    ((0, 1, 2), (3, 5))
    """
    return tuple(map(parse_group, text.split(BETWEEN)))


def write_groups(groups: Iterable[Iterable[int]]) -> str:
    """Write groups as one text, such as the argument of the metric ``group_loss``.

    >>> write_groups([(0, 1, 2), (3, 5)])
    '0-2;3,5'
    """
    return BETWEEN.join(map(write_group, groups))


def check_groups(groups: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Check groups of classes, and return each in ascending order.

    Raises:
        BadInput: there is none, one is empty or has something else than classes, or two overlap.
    """
    found = []
    for group in groups:
        classes = tuple(group)
        if not classes:
            raise BadInput("a group of classes is empty; expected one class in each at least")
        if odd := [c for c in classes if isinstance(c, bool) or not isinstance(c, int) or not 0 <= c < MOST_CLASSES]:
            raise BadInput(f"{odd[0]!r} is not a class; expected whole numbers from 0 to {MOST_CLASSES - 1:,}")
        found.append(tuple(sorted(classes)))
    if not found:
        raise BadInput("there are no groups of classes; expected one at least")
    for first, second in pairwise(sorted(c for group in found for c in group)):
        if first == second:
            raise BadInput(
                f"the groups {', '.join(map(write_group, found))} overlap in class {first}; name each class once"
            )
    return tuple(found)


def share_classes(classes: int, count: int = 3) -> tuple[tuple[int, ...], ...]:
    """Share classes out among groups, in their order and as equally as possible, the larger groups last.

    Raises:
        BadInput: there are fewer classes than groups.

    >>> share_classes(10)
    ((0, 1, 2), (3, 4, 5), (6, 7, 8, 9))
    """
    if classes < count:
        raise BadInput(f"the data have {classes} classes, too few for {count} groups; expected one for each at least")
    size, larger = divmod(classes, count)
    starts = [0]
    for place in range(count):
        starts.append(starts[-1] + size + (place >= count - larger))
    return tuple(tuple(range(first, last)) for first, last in pairwise(starts))


def settle_groups(groups: Sequence[tuple[int, ...]] | None, classes: int) -> tuple[tuple[int, ...], ...]:
    """Return the groups, or those of :func:`share_classes` where they are None, once the classes are known.

    Raises:
        BadInput: a group names a class that there is not, or there are too few classes.
    """
    if groups is None:
        return share_classes(classes)
    if beyond := [number for group in groups for number in group if number >= classes]:
        raise BadInput(
            f"a group names class {min(beyond)}, which the data do not have; expected classes from 0 to {classes - 1}"
        )
    return tuple(groups)


def find_left_out(groups: Iterable[Iterable[int]], classes: int) -> tuple[int, ...]:
    """Find the classes that belong to no group.

    >>> find_left_out(((0, 1), (3,)), 6)
    (2, 4, 5)
    """
    named = {number for group in groups for number in group}
    return tuple(number for number in range(classes) if number not in named)
