"""Numbers in words."""

import pytest

from catalog.wording.formats import count_of, duration

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "less than a minute"), (59, "less than a minute"), (60, "1 minute"),
        (100, "2 minutes"), (89 * MINUTE, "89 minutes"), (90 * MINUTE, "2 hours"),
        (35 * HOUR, "35 hours"), (37 * HOUR, "2 days"), (13.99 * DAY, "14 days"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (12_345, "12,345 images")]
)
def test_a_number_has_its_noun(number: int, words: str) -> None:
    assert count_of(number, "image") == words
