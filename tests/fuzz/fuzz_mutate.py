"""Damages files and texts at random, in the ways in which files and texts are wrong."""

import json
import random
from typing import Any

TEXTS = [
    "", " ", "\x1b[2J\x1b]0;owned\x07", "\r\rcvae: done", "a\0b", "\u202eevil", "x" * 5_000, "../../etc/passwd",
    "/etc/passwd", "~", "-1", "nan", "null", "\udcff\udcfe", "犬", "🐶" * 50, "\t\n", "%s%n{0}$HOME", "a\u0301",
    "\x9b31m", "dress", "train", "labels", "clip:../x", "folder:/", "static", "a,b;c", '"', "{}", "[" * 900, "\ufeff",
]  # fmt: skip
NUMBERS = [
    0,
    -1,
    1,
    2,
    255,
    65_537,
    10**6,
    2**31,
    2**63,
    10**30,
    -(10**30),
    0.5,
    -0.0,
    1e308,
    1e-308,
    1e999,
    float("nan"),
]
TOKENS = [b"\0", b"\xff", b"\n", b"\r\n", b"\x1b[2J", b"{", b"}", b"]", b",", b'"', b"null", b"NaN", b"1e999", b"-1",
          b"\xef\xbb\xbf", b"\xff\xfe", b"=", b"[[", b"\x80", b"\xc3", b"9" * 40, b"true", b"\\u0000"]  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to four changes: flipped, lost, doubled, swapped, foreign or cut."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        here, there = sorted(chance.randrange(len(changed) + 1) for _ in range(2))
        near = min(there, here + chance.choice([1, 1, 4, 64, 4096]))
        match chance.randrange(8):
            case 0 if here < len(changed):
                changed[here] ^= 1 << chance.randrange(8)
            case 1:
                del changed[here:near]
            case 2:
                changed[here:here] = changed[here:near]
            case 3:
                changed[here:near] = chance.choice(TOKENS)
            case 4:
                del changed[here:]
            case 5:
                changed[here:near] = chance.randbytes(near - here)
            case 6:
                changed[here:near] = bytes(near - here)
            case _:  # the beginning, where headers are
                place = chance.randrange(min(len(changed), 64) + 1)
                changed[place : place + 1] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80", chance.randbytes(1)])
    return bytes(changed)


def value(chance: random.Random) -> Any:
    """Return a value that a JSON file could have anywhere."""
    match chance.randrange(6):
        case 0:
            return chance.choice([None, True, False])
        case 1 | 2:
            return chance.choice(NUMBERS)
        case 3 | 4:
            return chance.choice(TEXTS)
        case _:
            inner = value(chance)
            return chance.choice([[], {}, [inner], [inner] * 50, {"kind": inner}, {"": {}}, [[[inner]]]])


def changed(tree: Any, chance: random.Random) -> Any:
    """Return a tree of dictionaries and lists with one value exchanged, lost, renamed or doubled somewhere."""
    if isinstance(tree, dict) and tree and chance.random() < 0.9:
        key = chance.choice(list(tree))
        match chance.randrange(9):
            case 0:
                return {name: each for name, each in tree.items() if name != key}
            case 1:
                return {chance.choice(TEXTS) if name == key else name: each for name, each in tree.items()}
            case 2:
                return tree | {chance.choice([*TEXTS, "kind", "width"]): value(chance)}
        return tree | {key: changed(tree[key], chance)}
    if isinstance(tree, list) and tree and chance.random() < 0.9:
        place = chance.randrange(len(tree))
        match chance.randrange(6):
            case 0:
                return tree[:place] + tree[place + 1 :]
            case 1:
                return tree[: place + 1] + tree[place:]
        return [*tree[:place], changed(tree[place], chance), *tree[place + 1 :]]
    return value(chance)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """Return a JSON file, or one with a JSON value a line, with a change in its structure or in its bytes."""
    if chance.random() < 0.35:
        return damaged(content, chance)
    lines = content.decode().splitlines() if content.count(b"\n{") else [content.decode()]
    place = chance.randrange(len(lines))
    lines[place] = json.dumps(changed(json.loads(lines[place]), chance), ensure_ascii=chance.random() < 0.5)
    return "\n".join(lines).encode(errors="surrogateescape")


def text(chance: random.Random) -> str:
    """Return a text that somebody could type or paste."""
    words = [
        chance.choice([*TEXTS, "a", "red", "dress", "sneaker", "two", "bag"]) for _ in range(chance.randrange(1, 4))
    ]
    return chance.choice(["", " ", "\n", ","]).join(words)
