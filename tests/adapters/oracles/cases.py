"""What signatures are tried over: seeded bodies, secrets and alterations, each time the same."""

from __future__ import annotations

import json
import random
from typing import Any

LARGE = 700_000
"""Bytes of the largest body; the default of `max_body_bytes` is 1 MiB."""
LETTERS = "abzAZ09 \t\n\"\\/{}[]:,.&=+%#?!'()*~-_<>äßéñøŁżЖяאبहก中文字日本語한국어👕🧦𝔘 \u00a0\u2028"
SECRET_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&()*+-./:;<=>?@[]^_{|}~"


def text(rng: random.Random, most: int) -> str:
    """Any text, in many scripts."""
    return "".join(rng.choices(LETTERS, k=rng.randint(0, most)))


def secret(rng: random.Random) -> str:
    """As a platform gives one, of every length there is."""
    return "".join(rng.choices(SECRET_LETTERS, k=rng.randint(1, 80)))


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON that Python and JavaScript write alike."""
    kind = rng.randrange(7 if depth < 3 else 4)
    match kind:
        case 0:
            return text(rng, 20)
        case 1:
            return rng.randrange(-(2**50), 2**50)
        case 2:
            return rng.choice([None, True, False])
        case 3:
            return rng.randrange(100)
        case 4 | 5:
            return {f"k{place}_{text(rng, 4)}": value(rng, depth + 1) for place in range(rng.randrange(5))}
        case _:
            return [value(rng, depth + 1) for _ in range(rng.randrange(5))]


def written(content: Any) -> bytes:
    """JSON as JavaScript writes it: nothing escaped that need not be."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def bodies(rng: random.Random, count: int) -> list[bytes]:
    """JSON and any other text; the first is large. None is empty: see each test for that."""
    large = written({"text": text(rng, 1) + "語" * (LARGE // 3)})
    found = [written({"id": place, "content": value(rng)}) for place in range(count // 2)]
    found += [text(rng, 400).encode() or b" " for _ in range(count - len(found) - 1)]
    return [large, *found]


def altered(rng: random.Random, body: bytes) -> bytes:
    """Another body, of which a part is flipped, gone or added. It is UTF-8 where the body was: a library that takes
    text would see any other as the same."""
    letters = list(body.decode())
    place = rng.randrange(len(letters))
    match rng.randrange(3):
        case 0:
            letters[place] = "x" if letters[place] != "x" else "y"
        case 1:
            del letters[place]
        case _:
            letters.insert(place, rng.choice(LETTERS))
    return "".join(letters).encode()


def flipped(rng: random.Random, digest: bytes) -> bytes:
    """Another digest: one bit of it is another."""
    place = rng.randrange(len(digest))
    return digest[:place] + bytes([digest[place] ^ 1 << rng.randrange(8)]) + digest[place + 1 :]
