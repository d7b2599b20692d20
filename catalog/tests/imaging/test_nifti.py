"""Whether the voxels of a compressed NIfTI file are there."""

import gzip
import io
import zlib

import pytest

from catalog.imaging import nifti
from catalog.imaging.nifti import NiftiHeader, UnreadableNifti, read_nifti_header
from catalog.tests.imaging.test_pillow_pictures import make_nifti

WHOLE = make_nifti()
PACKED = gzip.compress(WHOLE)


def read(content: bytes, max_inflated: int = 1 << 40) -> NiftiHeader:
    return read_nifti_header(io.BytesIO(content), max_inflated=max_inflated)


@pytest.mark.parametrize(
    "content",
    [
        PACKED,
        gzip.compress(WHOLE[:9000]) + gzip.compress(WHOLE[9000:]),
        gzip.compress(WHOLE + bytes(99)),
        PACKED + bytes(512),
    ],
    ids=["one member", "two members", "more bytes after the voxels", "zeros after the stream"],
)
def test_a_whole_file_is_accepted(content: bytes) -> None:
    assert read(content).dimensions == (40, 30, 20)


@pytest.mark.parametrize("length", [len(PACKED) - 1, len(PACKED) - 8, len(PACKED) // 2, 1000])
def test_a_file_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(UnreadableNifti, match="cut short"):
        read(PACKED[:length])


def test_a_whole_stream_of_too_few_voxels_is_refused() -> None:
    with pytest.raises(UnreadableNifti, match="cut short"):
        read(gzip.compress(WHOLE[:-1]))


def test_a_stream_that_is_damaged_inside_is_refused_if_its_length_is_in_doubt() -> None:
    damaged = PACKED[:9000] + b"\xff" * 50 + PACKED[9050:-4] + bytes(4)
    with pytest.raises(UnreadableNifti, match=r"cut short|cannot be inflated"):
        read(damaged)


def test_a_file_that_ends_as_it_must_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "_inflates_to", pytest.fail)
    read(PACKED)


def test_no_more_is_inflated_than_allowed() -> None:
    bomb = zlib.compressobj(wbits=31)
    header = bytearray(WHOLE[:352])
    header[42:48] = b"\xff\x7f" * 3  # 32767 voxels at each edge
    content = bomb.compress(bytes(header) + bytes(50 << 20)) + bomb.flush()
    assert read(content, 10 << 20)
    with pytest.raises(UnreadableNifti, match="cut short"):
        read(content)
