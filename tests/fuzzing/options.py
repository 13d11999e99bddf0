"""Options of every verb with values that are surely mistakes."""

from __future__ import annotations

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

from fuzzing.children import Surroundings
from fuzzing.mutation import HOSTILE_TEXTS
from fuzzing.runs import COMPARE, CONNECT, FIT, SURVEY, TRAIN
from fuzzing.trial import Trial, lay_out

__all__ = ["VERBS", "option_trial"]

LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (TRAIN, ("train", "--epochs", "0.1", "--model", "mlp")),
    "fit": (FIT,),
    "survey": (
        (*SURVEY, "--checkpoint", "t0"),
        (*SURVEY, "--trajectory", "t0"),
        (*SURVEY, "--between", "t0", "t1"),
        (*SURVEY, "--run", "fit"),
        (*SURVEY, "--checkpoint", "t0", "--directions", "random"),
    ),
    "connect": ((*CONNECT[:7], "--plane", "0", "--no_ensembles", *CONNECT[9:]),),
    "compare": (COMPARE,),
    "view": (
        ("view", "survey", "--kinds", "loss"),
        ("view", "survey", "--no_pictures", "--export", "o.csv"),
        ("view", "way", "survey", "--out", "o"),
    ),
    "reproduce": (
        ("reproduce", "mpo-fig4", "--print_config"),
        ("reproduce", "mpo-fig4"),
        ("reproduce", "im-fig2", "--out", "o"),
    ),
    "status": (("status", "survey"), ("status", "way", "--json")),
    "submit": (
        ("submit", "--scheduler", "parallel", "--out", "o", "--", "survey", "--checkpoint", "t0"),
        ("submit", "--scheduler", "slurm", "--out", "o", "--", "survey", "--run", "fit"),
    ),
    "info": (("info",), ("--help",), ("--version",), ("fit", "--help"), ()),
}
VERBS = tuple(LINES)
PLAIN = {
    "view": ("kinds", "out", "title", "export", "pictures", "no_pictures"),
    "reproduce": ("scale", "out", "folder", "device", "plan", "resume", "overwrite", "print_config"),
    "status": ("json", "help"),
    "submit": ("scheduler", "workers", "time", "cpus", "gpus", "partition", "account", "out", "overwrite", "resume"),
    "info": ("help", "version", "x"),
}
NAMED = {
    "model": ("mlp", "conv", "resnet", "vgg", "densenet", "nin", "wrn", "preresnet"),
    "data": ("digits", "mnist"),
    "loss": ("cross_entropy", "squared_error", "auto"),
    "schedule": ("constant", "cosine", "cyclic", "fge", "linear", "steps", "swa", "swa_cyclic", "warm_restarts"),
    "pattern": (
        "heart",
        "text:ab",
        "random:2",
        "image:victim.txt",
        "grey:victim.txt",
        "array:victim.txt",
        "sequence:heart,star",
    ),
}
"""Things with options of their own."""
NUMBERS = (
    *"-1 0 1 2 3 7 0.5 1.5 -0.0 1e308 1e-320 nan inf -inf 1e400 1_000 +1 1e3 100000 1000000000 1000000000000".split(),  # noqa: SIM905
    *(str(2**power) for power in (31, 63, 64, 70)),
)
WORDS = (
    *"""
    auto all none frozen batch interpolated reestimated loop vmap threads batched fp32 bf16 tf32 filter layer weight
    epoch epoch:0 epoch:1e400 step:0 step:1 distance:nan distance:0 sgd,lr=nan adam,lr=inf momentum,lr=1e308
    adam,betas=3 sgd,x=1 torch.optim.LBFGS torch.optim.Adam torch.optim.Optimizer torch.optim.lr_scheduler
    torch.nn.Linear 0:sgd nan:sgd -1:adam 0.1:sgd,lr=0.1 flip crop cutout random component solution towards:t1
    towards:t0@99 towards: file:t0/model.safetensors file:. loss accuracy gradient_norm trace cpu cpu:7 cuda cuda:99
    meta mps xla 500MB -1GB nanGB 1e400MB 0MB 99999999999999999999GB train test validation heart skull random:0
    random:-1 random:1000000000 text:$^_{ image:victim.txt image:t0 array:victim.txt t0 t1 t0@0 t0@2 t0@3
    t0/snapshots t0/model.safetensors t0/model.safetensors# fit fit/chart.safetensors victim victim.txt uniform
    arclength max bezier chain plane corners simplex through quadrilateral constant cosine cyclic linear steps
    warm_restarts cross_entropy squared_error xavier example cell * *.weight 0.* nothing* 0 3x3 4 4x4x4 9999
    1000x1000 0,1 0,0 1,nan
    """.split(),  # noqa: SIM905
    "text:" + "W" * 10_000,
    "text:\x1b",
)
"""Values that some option may be made for, and those beside them."""
VARIABLES = (
    "MPLBACKEND=nonsense", "MPLBACKEND=\x1b[2J", "MPLBACKEND=module://nowhere", "COLUMNS=-1", "COLUMNS=nan", "TERM=",
    "TERM=\x1b", "LOSSATLAS_CACHE=/dev/null", "HOME=/nowhere", "HOME=", "TMPDIR=/nowhere", "PYTHONWARNINGS=error",
    "NO_COLOR=1", "FORCE_COLOR=1", "SOURCE_DATE_EPOCH=x", "LC_ALL=C", "TZ=nowhere",
)  # fmt: skip
SURROUNDINGS = (
    *(Surroundings(dict([variable.split("=", 1)])) for variable in VARIABLES),
    Surroundings(stdout="/dev/full"),
    Surroundings(stdout="closed"),
    Surroundings(unprivileged=True),
)


def option_trial(rng: random.Random, runs: Path, box: Path, verb: str) -> Trial:
    """A command line in which one option, seldom two, has a value that it is not made for.

    Args:
        rng: decides everything.
        runs: to read.
        box: a folder for copies of them.
        verb: one of :data:`VERBS`.
    """
    line = rng.choice(LINES[verb])
    argv, what = list(line), []
    for _ in range(rng.choice((1, 1, 1, 2))):
        place = rng.random()
        if place < 0.06 and argv:
            spot = rng.randrange(len(argv))
            argv[spot] = rng.choice(HOSTILE_TEXTS)
            what.append(f"{argv[spot]!r:.40}")
        elif place < 0.1:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice(HOSTILE_TEXTS))
            what.append("one more word")
        else:
            name, kind = rng.choice(_options(rng, verb, argv))
            tokens = _given(rng, name, kind)
            before = verb == "submit" and rng.random() < 0.8  # others are options of the command that is shared
            spot = 1 if before else len(argv)
            argv[spot:spot] = tokens
            what.append(" ".join(tokens)[:60])
    if verb in ("train", "fit", "survey", "connect", "compare") and rng.random() < 0.25:
        argv.append("--dry_run")
    if verb not in PLAIN and "--out" not in argv and not any(token.startswith("--out=") for token in argv):
        argv += ["--out", "o"]
    around = rng.choice(SURROUNDINGS) if rng.random() < 0.03 else Surroundings()
    needs = {"survey", "way"} if verb in ("view", "status") else {"t0", "t1", "fit"} & set(line)
    work = lay_out(box, runs, sorted(needs))
    own = ("o", "o.csv", "runs", "survey" if verb == "view" else "o", *_named_places(argv, work))
    return Trial(f"{verb}: {'; '.join(what)}", tuple(argv), own, around)


def _options(rng: random.Random, verb: str, argv: list[str]) -> list[tuple[str, str]]:
    """Names and types of options of a verb; or those of a thing, which the command line then names."""
    if verb in PLAIN:
        return [(name, "str") for name in PLAIN[verb]]
    from lossatlas.cli.app import VERBS as KNOWN
    from lossatlas.recipes.options import find_options

    configured: Any = KNOWN[verb]
    named = configured._config.named()
    if named and rng.random() < 0.2:
        thing = rng.choice(named)
        spec = rng.choice(NAMED[thing])
        kind = find_options(thing, spec)
        if kind is not None and fields(kind):
            argv[:] = [*_without(argv, f"--{thing}."), f"--{thing}", spec]
            return [(f"{thing}.{field.name}", str(field.type)) for field in fields(kind)]
    parts = (configured._config, configured._run)
    return [
        (field.name, str(field.type)) for part in parts for field in fields(part) if not field.name.endswith("_options")
    ]


def _without(argv: list[str], prefix: str) -> list[str]:
    """A command line without options that begin so, each with one value."""
    return [
        token
        for token, before in zip(argv, ["", *argv], strict=False)
        if not (token.startswith(prefix) or before.startswith(prefix))
    ]


def _given(rng: random.Random, name: str, kind: str) -> list[str]:
    """An option with a value, more often than not one of its type: written one way or the other, several, or none."""
    if "bool" in kind and rng.random() < 0.6:
        return [rng.choice((f"--{name}", f"--no_{name}"))]

    def value() -> str:
        if rng.random() < 0.65:
            return rng.choice(NUMBERS if "int" in kind or "float" in kind else WORDS)
        return rng.choice(HOSTILE_TEXTS)

    match rng.randrange(20):
        case 0:
            return [f"--{name}"]
        case 1:
            return [f"--{rng.choice(('no_', 'x_', ''))}{name}{rng.choice(('', '.x', chr(27)))}={value()}"]
        case number if number < (14 if "tuple" in kind else 5):
            return [f"--{name}", value(), *(value() for _ in range(rng.choice((0, 1, 1, 2, 3))))]
        case _:
            return [f"--{name}={value()}"]


def _named_places(argv: list[str], work: Path) -> list[str]:
    """What the options that name where to write name, from the working folder on."""
    found = []
    for place, token in enumerate(argv):
        name, equals, value = token.partition("=")
        if name in ("--out", "--export"):
            values = [value] if equals else argv[place + 1 : place + 3]
            found += [each.removeprefix("./").partition("/")[0] for each in values if each not in ("", ".", "..", "/")]
    return found
