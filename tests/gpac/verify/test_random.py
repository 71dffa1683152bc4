"""Random systems by number: the truth lies inside, the radius is below what was asked, an end is where it must be.

By default a share that takes seconds; RANDOM_SYSTEMS=10000 in the environment judges so many.
"""

import os
from collections import Counter

import pytest
from random_systems import case, judge

from gpac.verify import Answer

COUNT = int(os.environ.get("RANDOM_SYSTEMS", "80"))
BLOCK = 20


@pytest.mark.parametrize("first", range(0, COUNT, BLOCK))
def test_random_systems_are_enclosed_end_or_say_why_not(first):
    numbers = range(first, min(first + BLOCK, COUNT))
    answers = Counter(judge(case(number)) for number in numbers)
    assert answers.total() == len(numbers)


def test_most_random_systems_of_short_time_are_proven():
    """All that may fail to be proven runs into a pole, or longer than this."""
    short = [c for c in map(case, range(60)) if c.t <= 1 / 4]
    answers = Counter(judge(c, seconds=10) for c in short)
    assert answers[Answer.PROVEN] >= 0.9 * len(short) > 15
