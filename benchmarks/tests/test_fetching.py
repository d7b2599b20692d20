"""The step on fetching: its objects, its goals, its description."""

from pathlib import Path

from benchmarks.fetching import OURS, PEER, describe, goals
from benchmarks.object_server import BUCKET, ObjectSet, make_objects

OBJECTS = ObjectSet("small", series=3, objects=2, size=70)


def test_objects_are_made_once_with_listings_as_those_of_s3(tmp_path: Path) -> None:
    make_objects(tmp_path, OBJECTS)
    files = sorted((tmp_path / BUCKET).rglob("*.dcm"))
    assert len({path.read_bytes() for path in files}) == OBJECTS.count == 6
    assert sum(path.stat().st_size for path in files) == OBJECTS.num_bytes
    listing = (tmp_path / "listings/small%2F0002%2F.xml").read_text()
    assert listing.count("<Size>70</Size>") == 2
    assert "<Key>small/0002/0001.dcm</Key>" in listing
    made = files[0].stat().st_mtime_ns
    make_objects(tmp_path, OBJECTS)
    assert files[0].stat().st_mtime_ns == made
    make_objects(tmp_path, OBJECTS.part(34))
    assert len(list((tmp_path / BUCKET).rglob("*.dcm"))) == 2


def test_the_goals_are_a_share_of_the_peers_rate_and_a_limit_of_memory() -> None:
    ours = {"cpu_s": 3.0, "median_s": 2.5, "best_s": 2.4, "peak_bytes": 150e6}
    peer = {"cpu_s": 1.0, "median_s": 2.0, "best_s": 1.9, "peak_bytes": 50e6}
    each = {"count": 10, "bytes": 1e9, "programs": {OURS: ours, PEER: peer}}
    figures = {"rounds": 3, "sets": {"250 KB": each}}
    rate, memory = goals(figures)
    assert (rate.measured, rate.is_met, memory.measured, memory.is_met) == (0.8, True, 150, True)
    text = "\n".join(describe(figures))
    assert "| medagg | 2.50 s | 2.40 s | 400 MB/s | 3.00 s | 150 MB |" in text
