"""A deflate encoder (RFC 1951) whose output never changes.

zlib promises that what it packs can be unpacked, not that the same text always packs to the same
bytes: its releases, zlib-ng and the variants of distributions and processors differ. An archive
that must be rebuilt byte for byte in some years cannot depend on which of them Python is linked
with. This encoder is small enough to be ours: Huffman coding in blocks, without the search for
repetitions. Tables of numbers and hashes shrink to about 60 %, at about the speed of zlib's
fastest level; the images beside them are stored anyway.

Only integers are computed, and each block depends on its own bytes alone.
"""

import heapq
import struct
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

BLOCK = 512 << 10
END = b"\x03\x00"  # an empty last block with fixed codes

_END_OF_BLOCK = 256
_MAX_BITS = 15
_MAX_STORED = 0xFFFF
# Pairs that are coded at once. Larger arrays are given back to the system after each step, and
# getting them anew takes as long as filling them.
_SLICE = 16 << 10
# More bits than a header, the last bytes and the end of a block can take.
_ROOM_FOR_ENDS = 2048
_SYNC = b"\x00\x00\xff\xff"

Bits = list[tuple[int, int]]  # (value, number of bits), the lowest bit first
Words = npt.NDArray[np.uint64]
Widths = npt.NDArray[np.uint8]


def split_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of exactly BLOCK bytes, but for the last; no empty piece."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= BLOCK:
            yield bytes(pending[:BLOCK])
            del pending[:BLOCK]
    if pending:
        yield bytes(pending)


def deflate_block(data: bytes) -> bytes:
    """One to 512 Ki bytes as deflate blocks that end on a byte boundary.

    Blocks may be joined in any number; END must follow the last.
    """
    coded = _huffman_block(data)
    stored = _stored_blocks(data)
    return coded if len(coded) < len(stored) else stored


def _stored_blocks(data: bytes) -> bytes:
    parts = (data[start : start + _MAX_STORED] for start in range(0, len(data), _MAX_STORED))
    return b"".join(struct.pack("<BHH", 0, len(p), len(p) ^ 0xFFFF) + p for p in parts)


def _huffman_block(data: bytes) -> bytes:
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    lengths = code_lengths([*counts.tolist(), 1])
    codes = _canonical_codes(lengths)
    room = _Bits(int(counts @ np.array(lengths[:256])) + _ROOM_FOR_ENDS)
    room.add(*_columns(_header(lengths)))
    _add_data(room, data, codes, lengths)
    # After the block an empty stored one (three zero bits, padding, _SYNC) aligns to a byte.
    room.add(*_columns([(codes[_END_OF_BLOCK], lengths[_END_OF_BLOCK]), (0, 3)]))
    return room.padded() + _SYNC


def _header(lengths: list[int]) -> Bits:
    """A block header with the code lengths spelled out, four bits each."""
    # Two one-bit distance codes, never used: some readers refuse a block that has none.
    head = [(0, 1), (2, 2), (len(lengths) - 257, 5), (1, 5), (15, 4)]
    # RFC 1951 3.2.7: lengths for the symbols 16, 17, 18 come first and stay unused, then 0 to 15
    # get four bits each, which makes their canonical code the number itself.
    head += [(0, 3)] * 3 + [(4, 3)] * 16
    return head + [(_reverse(length, 4), 4) for length in [*lengths, 1, 1]]


def code_lengths(counts: list[int]) -> list[int]:
    """The bits of each symbol's Huffman code, 0 for unused ones and 15 at most.

    At least two counts must be positive. Equal weights are settled by the order of the symbols.
    """
    lengths = _huffman_depths(counts)
    while max(lengths) > _MAX_BITS:
        counts = [(count + 1) // 2 for count in counts]
        lengths = _huffman_depths(counts)
    return lengths


def _huffman_depths(counts: list[int]) -> list[int]:
    heap = [(count, symbol, [symbol]) for symbol, count in enumerate(counts) if count]
    heapq.heapify(heap)
    depths = [0] * len(counts)
    for order in range(len(counts), len(counts) + len(heap) - 1):
        (count_a, _, group_a), (count_b, _, group_b) = heapq.heappop(heap), heapq.heappop(heap)
        merged = group_a + group_b
        for symbol in merged:
            depths[symbol] += 1
        heapq.heappush(heap, (count_a + count_b, order, merged))
    return depths


def _canonical_codes(lengths: list[int]) -> list[int]:
    """The codes that RFC 1951 3.2.2 gives to these lengths, with their first bit lowest."""
    codes = [0] * len(lengths)
    code = 0
    for bits in range(1, _MAX_BITS + 1):
        code <<= 1
        for symbol in (s for s, length in enumerate(lengths) if length == bits):
            codes[symbol] = _reverse(code, bits)
            code += 1
    return codes


def _reverse(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


def _add_data(room: "_Bits", data: bytes, codes: list[int], lengths: list[int]) -> None:
    """The codes of all bytes, taken in fours: up to 15 bits a byte, 60 fit a 64-bit word."""
    bits = np.array(lengths[:256], np.uint8)
    words = np.array(codes[:256], np.uint32)
    # Codes of all pairs; as a little-endian number the first byte of a pair is the low one.
    pair_codes = (words[None, :] | words[:, None] << bits[None, :]).ravel()
    pair_bits = (bits[None, :] + bits[:, None]).ravel()
    whole = len(data) & ~3
    pairs = np.frombuffer(data[:whole], "<u2")
    for start in range(0, len(pairs), _SLICE):
        part = pairs[start : start + _SLICE]
        values, widths = pair_codes.take(part).astype(np.uint64), pair_bits.take(part)
        low = widths[0::2]
        room.add(values[0::2] | values[1::2] << low, low + widths[1::2])
    if rest := data[whole:]:
        room.add(*_columns([(codes[byte], lengths[byte]) for byte in rest]))


def _columns(bits: Bits) -> tuple[Words, Widths]:
    values, widths = zip(*bits, strict=True)
    return np.array(values, np.uint64), np.array(widths, np.uint8)


class _Bits:
    """Values of 1 to 60 bits, one behind the other."""

    def __init__(self, most: int) -> None:
        self._words = np.zeros(most // 64 + 2, np.uint64)
        self._end = 0

    def add(self, values: Words, widths: Widths) -> None:
        ends = np.cumsum(widths, dtype=np.int64)
        ends += self._end
        starts = ends - widths
        word, shift = starts >> 6, (starts & 63).astype(np.uint64)
        # With less than 64 bits each, some value starts in every word, and only the last of those
        # reaches into the next word.
        firsts = np.flatnonzero(np.diff(word, prepend=-1))
        self._words[word[firsts]] |= np.bitwise_or.reduceat(values << shift, firsts)
        lasts = np.append(firsts[1:], len(word)) - 1
        over = values[lasts] >> np.uint64(1) >> (np.uint64(63) - shift[lasts])
        self._words[word[lasts] + 1] |= over
        self._end = int(ends[-1])

    def padded(self) -> bytes:
        """All bits, the lowest first, up to a whole byte."""
        return self._words.astype("<u8", copy=False).tobytes()[: (self._end + 7) // 8]
