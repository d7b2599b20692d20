"""Our deflate encoder, judged by decoders that we did not write."""

import hashlib
import random
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collections_app.archive.deflate import BLOCK, END, code_lengths, deflate_block, split_blocks


def pack(chunks: Iterable[bytes]) -> bytes:
    return b"".join(deflate_block(block) for block in split_blocks(chunks)) + END


def unpack(packed: bytes) -> bytes:
    decoder = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    data = decoder.decompress(packed) + decoder.flush()
    assert decoder.eof
    assert not decoder.unused_data
    return data


def table(rows: int) -> bytes:
    """A table as archives hold it: paths, labels and hashes."""
    lines = (
        f"images/demo/{n:08d}_{n % 7:03d}.png,{n},demo,dx,Effusion|Edema,M,{n % 90},"
        f"{hashlib.sha256(str(n).encode()).hexdigest()}\n"
        for n in range(rows)
    )
    return "".join(lines).encode()


@given(st.binary(max_size=2000))
@example(b"")
@example(b"a")
@example(bytes(range(256)) * 4)
def test_what_is_packed_can_be_unpacked(data: bytes) -> None:
    assert unpack(pack([data])) == data


@given(st.text("ACGT,\n", max_size=5000).map(str.encode))
def test_text_of_few_letters_can_be_unpacked(data: bytes) -> None:
    assert unpack(pack([data])) == data


@given(st.integers(0, 9), st.integers(0, 1 << 32))
def test_every_remainder_at_the_end_of_a_block_can_be_unpacked(extra: int, seed: int) -> None:
    data = bytes(random.Random(seed).choices(b"0123456789abcdef,\n", k=4096 + extra))
    assert unpack(pack([data])) == data


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_block_borders_leave_no_trace(size: int) -> None:
    data = (table(5000) * 4)[:size]
    assert unpack(pack([data])) == data


@pytest.mark.parametrize("byte", [b"\0", b"a", b"\xff"])
def test_one_repeated_byte_takes_about_one_bit_each(byte: bytes) -> None:
    data = byte * 80_000
    packed = pack([data])
    assert unpack(packed) == data
    assert len(packed) < 10_500


def test_noise_hardly_grows() -> None:
    noise = random.Random(1).randbytes(300_000)
    packed = pack([noise])
    assert unpack(packed) == noise
    assert len(packed) < len(noise) + 50


def test_rare_letters_get_codes_that_fit() -> None:
    # Fibonacci counts give the deepest tree that there is.
    counts = [1, 1]
    while len(counts) < 26:
        counts.append(counts[-1] + counts[-2])
    data = b"".join(bytes([65 + letter]) * count for letter, count in enumerate(counts))
    assert unpack(pack([data])) == data


@given(
    st.lists(st.integers(0, 1 << 40), min_size=2, max_size=257).filter(
        lambda c: sum(map(bool, c)) > 1
    )
)
def test_code_lengths_make_a_complete_code(counts: list[int]) -> None:
    lengths = code_lengths(counts)
    used = [length for length in lengths if length]
    assert max(used) <= 15
    assert sum(1 << (15 - length) for length in used) == 1 << 15
    assert [bool(length) for length in lengths] == [bool(count) for count in counts]


@given(st.lists(st.integers(1, 40_000), max_size=40))
def test_how_the_text_is_cut_does_not_show(sizes: list[int]) -> None:
    data, chunks, start = table(6000), [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    chunks.append(data[start:])
    assert b"".join(split_blocks(chunks)) == data
    assert [len(block) for block in split_blocks(chunks)] == [
        len(block) for block in split_blocks([data])
    ]


def test_tables_and_checksums_shrink_to_two_thirds() -> None:
    data = table(5000)
    assert len(pack([data])) < len(data) * 2 // 3


def test_the_packed_bytes_never_change() -> None:
    """If this fails, old archives cannot be rebuilt: undo the change or raise WRITER_VERSION."""
    packed = pack([table(6000)])
    assert hashlib.sha256(packed).hexdigest() == (
        "bcc6f0764d0253649a19936075cf9db04a63a5edafeea70ae89d5370166040a8"
    )
