"""Runs of every verb that are killed right before and right after their writes, and continued to their end.

Each kill falls into a run that is there, at a file that a run of this verb writes; different files come first. Whatever
is left is compared with a run that was not killed: every array, weight, log, table and picture, and which files there
are, in the run and beside it.

    python benchmarks/kills.py                  210 kills, about ten minutes
    python benchmarks/kills.py --kills 100      of each verb
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from lossatlas.cli.process import settle

settle()
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killed_at import campaign
from nursery import result_of
from small_runs import VERBS

OF_A_RUN = 3
"""Kills of one run, about."""
LOOP = "a loop with `la.Trajectory`"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=f"any of {', '.join(VERBS)}; default all")
    parser.add_argument("--kills", type=int, default=30, help="of each verb")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--full", action="store_true", help="let each run meet a full disk instead of a kill")
    parser.add_argument("--folder", type=Path, help="where runs are kept; default nowhere")
    options = parser.parse_args()
    wrong: list[str] = []
    ends = "full disks" if options.full else "kills"
    print(f"| verb | runs | {ends} | different moments | equal | debris |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="lossatlas.") as temporary:
        folder = options.folder or Path(temporary)
        for verb in options.verbs or VERBS:
            found = result_of(
                campaign, verb, folder / verb, folder / "inputs", options.kills, -(-options.kills // OF_A_RUN),
                options.seed, True, options.full,
            )  # fmt: skip
            equal = sum(not end.unequal for end in found.ends)
            debris = sum(len(end.debris) for end in found.ends)
            name = LOOP if verb == "loop" else f"`{verb}`"
            kinds = len({moment.kind for moment in found.moments})
            print(f"| {name} | {len(found.ends)} | {len(found.moments)} | {kinds} | {equal} | {debris} |", flush=True)
            wrong += [f"{verb} {k}: {name}" for k, end in enumerate(found.ends, 1) for name in end.unequal + end.debris]
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
