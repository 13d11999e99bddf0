"""What is done to contents: bytes, trees of JSON and YAML, and files in their place."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DAMAGES", "HOSTILE_TEXTS", "damaged_bytes", "damaged_tree", "deep", "outward"]

HOSTILE_TEXTS = (
    "", " ", "nan", "inf", "-inf", "1e400", "-1", "0", "1e-320", str(2**70), str(-(2**70)), "1_0", "\uff10", "\xb2",
    "0x10", "1e3", "text", "None", "true", "-", "--", "=", "*", "[", "**/..", "%s", "{0}", "$x^{_", r"\frac", "~",
    "~nobody/x", ".", "..", "/", "/dev/zero", "/dev/null", "nowhere/at/all", "nowhere:thing", ":", "a:", ":b",
    "json:loads", "math:nan", "@", "#", "t0@", "t0#", "t0@99999999999999999999", "t0@-1", "t0/model.safetensors#x",
    "hub:", "image:", "image:/dev/zero", "array:.", "text:", "sequence:,,", "1,2,3", "1,,", "a=b,c", "sgd,lr=nan",
    "1:sgd", "\x1b[2J\x07", "\r\n\t", "a\nb\nc", "\u202e\u2028", "\udcff\udcfe", "\U0001f4a5", "x" * 300, "x" * 100_000,
)  # fmt: skip
"""Values of options and of texts in trees."""
HOSTILE_NUMBERS = (
    0, -1, 1, 2, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"), 2**31, 2**53, 2**63, 2**64,
    2**70, 10**400, -(2**63), True,
)  # fmt: skip
OF_ANOTHER_TYPE = (
    b"[1, 2]", b"3", b'"text"', b"null", b"{}", b"[]", b"true", b'{"a": 1}', b'{"format": "lossatlas run 2"}', b"NaN",
    b"1e999", b"- a\n- b\n", b"a: &x [1]\nb: *x\n",
    b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121)),
    b"a: !!python/object/apply:os.system [true]\n", b"seed: 2020-13-45\n", b"? [a]\n: b\n", b"a: 1\na: 2\n",
    b"<<: 3\n", b"a: 0o9\n", b"a: 1:99:99\n", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"CDF\x01",
    b"\x80\x04.",
)  # fmt: skip
"""Whole files that no reader of another kind expects; aliases of YAML that expand for ever are among them."""
DEEP = 10_000
"""Levels, which exceed any stack that walks through them by calls."""


def outward(rng: random.Random, box: Path) -> str:
    """A name that leads out of the folder that it stands in; ``box`` is a folder above that."""
    up = "../" * rng.randint(1, 4)
    inside = ("victim.txt", "victim", "t1/model.safetensors")
    return rng.choice((*(up + name for name in inside), str(box / "victim.txt"), "..", "/etc/passwd", r"..\victim.txt"))


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Some bytes of a content flipped, inserted, taken out, put elsewhere, or made the largest length there is."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        # Formats begin with what matters.
        place = rng.randrange(len(changed) + 1) if rng.random() < 0.5 else rng.randrange(min(len(changed), 256) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(changed) - place)
        match rng.randrange(7):
            case 0:
                changed[place : place + length] = bytes(
                    byte ^ 1 << rng.randrange(8) for byte in changed[place : place + length]
                )
            case 1:
                changed[place:place] = rng.randbytes(rng.choice((1, 2, 4, 8, 64)))
            case 2:
                del changed[place : place + length]
            case 3:
                other = rng.randrange(len(changed) + 1)
                changed[place : place + length] = changed[other : other + length]
            case 4:
                changed[place : place + length] = rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80")) * length
            case 5:
                number = rng.choice((0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1))
                form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
                packed = struct.pack(form, number % 256 ** struct.calcsize(form))
                changed[place : place + len(packed)] = packed
            case _:
                del changed[place:]
    return bytes(changed)


def deep(rng: random.Random) -> str:
    """JSON, which is YAML too, of more levels than anybody wants."""
    levels = rng.choice((40, 600, DEEP, 100 * DEEP))
    before, after = rng.choice((("[", "]"), ('{"a":', "}")))
    return before * levels + "1" * rng.randrange(2) + after * levels * rng.randrange(2)


def damaged_tree(rng: random.Random, tree: Any, box: Path) -> Any:
    """A tree of lists and mappings with one node, seldom a few, replaced, removed, renamed, doubled or wrapped."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        tree = _damaged_once(rng, tree, box)
    return tree


def _damaged_once(rng: random.Random, tree: Any, box: Path) -> Any:
    tree = _copied(tree)
    nodes = list(_nodes(tree))
    if not nodes or rng.random() < 0.03:
        return _value(rng, tree, box)
    parent, key = rng.choice(nodes)
    match rng.randrange(8):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[str(_value(rng, key, box))] = parent.pop(key)
        case 2:
            parent[key] = [parent[key]] * rng.choice((1, 2, 1000))
        case 3:
            parent[key] = {"a": parent[key]}
        case 4:
            other, place = rng.choice(nodes)
            parent[key] = _copied(
                other.get(place) if isinstance(other, dict) else other[place] if place < len(other) else None
            )
        case _:
            parent[key] = _value(rng, parent[key], box)
    return tree


def _copied(tree: Any) -> Any:
    return json.loads(json.dumps(tree, default=str))


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _nodes(tree[key])


def _value(rng: random.Random, old: Any, box: Path) -> Any:
    """Something else than there was; numbers of the same type are what is checked least."""
    if isinstance(old, int | float) and rng.random() < 0.5:
        return rng.choice(HOSTILE_NUMBERS)
    if isinstance(old, str) and rng.random() < 0.5:
        return outward(rng, box) if rng.random() < 0.5 else rng.choice(HOSTILE_TEXTS)
    return rng.choice(
        (None, [], {}, [[]], [None], {"": None}, [1, 2], {"a": [{}]}, "text", 1.5, *HOSTILE_NUMBERS, *HOSTILE_TEXTS)
    )


Damage = Callable[[random.Random, Path, Path], None]
"""Changes a file; the folder is one above it, outside of whose run nothing may be touched."""


def _content(change: Callable[[random.Random, bytes], bytes]) -> Damage:
    def damage(rng: random.Random, path: Path, box: Path) -> None:
        path.write_bytes(change(rng, path.read_bytes()))

    return damage


def _inside(rng: random.Random, path: Path, box: Path) -> None:
    """Values of other types inside of a file, by its format; of a format without values, other bytes."""
    content = path.read_bytes()
    try:
        if path.suffix == ".json":
            path.write_bytes(_json(damaged_tree(rng, json.loads(content), box)))
        elif path.suffix == ".jsonl":
            lines = content.splitlines(keepends=True)
            place = rng.randrange(len(lines))
            lines[place] = _json(damaged_tree(rng, json.loads(lines[place]), box)) + b"\n"
            path.write_bytes(b"".join(lines if rng.random() < 0.8 else [*lines, lines[place]]))
        elif path.suffix == ".yaml":
            tree = damaged_tree(rng, yaml.safe_load(content), box)
            path.write_text(yaml.safe_dump(tree, sort_keys=False), errors="surrogatepass")
        elif path.suffix == ".safetensors":
            path.write_bytes(damaged_header(rng, content, box))
        else:
            path.write_bytes(damaged_bytes(rng, content))
    except (ValueError, IndexError):  # a file that is empty
        path.write_bytes(b"[]")


def damaged_header(rng: random.Random, content: bytes, box: Path) -> bytes:
    """A safetensors file whose header says something else."""
    length = int.from_bytes(content[:8], "little")
    tree = json.loads(content[8 : 8 + length])
    told = tree.get("__metadata__", {})
    if told and rng.random() < 0.5:
        # Texts that hold JSON of their own, which lossatlas reads.
        name = rng.choice(sorted(told))
        try:
            told[name] = _json(damaged_tree(rng, json.loads(told[name]), box)).decode(errors="replace")
        except ValueError:
            told[name] = rng.choice(HOSTILE_TEXTS)
    else:
        tree = damaged_tree(rng, tree, box)
    header = _json(tree)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _deep(rng: random.Random, content: bytes) -> bytes:
    text = deep(rng).encode()
    return rng.choice(
        (
            text,
            b"a: " + text,
            content[: len(content) // 2] + text,
            b'{"format": "lossatlas run 2", "plan": ' + text + b"}",
        )
    )


def _undecodable(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return rng.choice(
        (
            content[:place] + b"\xff\xfe\x80" + content[place:],
            b"\xff\xfe" + content,
            content.decode("latin-1").encode("utf-16"),
        )
    )


def _replaced(by: Callable[[random.Random, Path, Path], None]) -> Damage:
    def damage(rng: random.Random, path: Path, box: Path) -> None:
        path.rename(box / "outside")  # what a link may lead to
        by(rng, path, box)

    return damage


def _link(rng: random.Random, path: Path, box: Path) -> None:
    outside = box / "outside"
    leads = (str(outside), os.path.relpath(outside, path.parent), box / "nothing", path.name, "/dev/zero", "/dev/null")
    path.symlink_to(rng.choice(leads))


def _huge(rng: random.Random, path: Path, box: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(rng.choice((2**26, 2**31 + 1, 2**35)))


def _unreadable(rng: random.Random, path: Path, box: Path) -> None:
    path.chmod(0)


DAMAGES: dict[str, Damage] = {
    "inside": _inside,
    "missing": lambda _, path, __: path.unlink(),
    "empty": _content(lambda _, __: b""),
    "truncated": _content(lambda rng, content: content[: rng.randrange(len(content) + 1)]),
    "noise": _content(lambda rng, _: rng.randbytes(rng.choice((1, 8, 100, 5000)))),
    "other bytes": _content(damaged_bytes),
    "another type": _content(lambda rng, _: rng.choice(OF_ANOTHER_TYPE)),
    "deep": _content(_deep),
    "undecodable": _content(_undecodable),
    "link": _replaced(_link),
    "directory": _replaced(lambda _, path, __: path.mkdir()),
    "pipe": _replaced(lambda _, path, __: os.mkfifo(path)),
    "huge": _huge,
    "unreadable": _unreadable,
}
