"""
What chance decides in the tests, so that it can be repeated.

``BLCR_SEED`` fixes the choice; ``BLCR_FULL=1`` takes everything instead of a sample.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SEED = int(os.environ.setdefault("BLCR_SEED", str(secrets.randbelow(10**6))))
FULL = os.environ.get("BLCR_FULL") == "1"


def generator(*name: object) -> random.Random:
    """Return a generator of its own for each name, whatever runs before it."""
    return random.Random("/".join(map(str, (SEED, *name))))


def sample(name: str, choices: Sequence[T], count: int) -> list[T]:
    """Return some of the choices, or all in a full run."""
    if FULL or count >= len(choices):
        return list(choices)
    chosen = generator(name).sample(range(len(choices)), count)
    return [choices[i] for i in sorted(chosen)]
