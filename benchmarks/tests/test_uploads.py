"""The step on archives in object storage: its peers, its goal, its description."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks import uploads
from benchmarks.collection_site import read_figures
from medagg.testing.s3 import BUCKET, S3Server

FIGURES: dict[str, Any] = {
    "rounds": 3,
    "sets": {
        "1 MB": {
            "count": 60,
            "bytes": 60_000_000,
            "programs": {
                name: {"median_s": seconds, "best_s": seconds, "peak_bytes": 100_000_000}
                for name, seconds in (("medagg", 3.0), ("boto3", 2.0), ("s5cmd", 2.5))
            },
        }
    },
}


def test_the_goal_is_by_the_faster_upload() -> None:
    (goal,) = uploads.goals(FIGURES)
    assert (goal.measured, goal.limit, goal.is_met) == (1.5, 1.3, False)
    text = "\n".join(uploads.describe(FIGURES))
    assert "| 60 files of 1 MB, s5cmd | 2.50 s | 2.50 s | 24.0 MB/s | 100 MB |" in text


def test_the_peer_uploads_the_file(s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(os.urandom(9_000_000))
    words = [str(path), s3.client.meta.endpoint_url, BUCKET, "peer.zip"]
    command = [sys.executable, "-m", "benchmarks.upload_peer", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert read_figures(done.stdout)["seconds"] > 0
    found = s3.client.get_object(Bucket=BUCKET, Key="peer.zip")
    assert found["ETag"].endswith('-2"'), "two parts"
    assert sha256(found["Body"].read()).digest() == sha256(path.read_bytes()).digest()
