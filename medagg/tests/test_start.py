"""What a start leaves to the process that has started."""

import gc

from medagg import GC_THRESHOLDS


def test_garbage_is_collected_once_all_is_loaded() -> None:
    assert gc.isenabled()
    assert gc.get_threshold() == GC_THRESHOLDS
    assert gc.get_freeze_count() > 100_000, "and what was loaded is no longer looked at"
