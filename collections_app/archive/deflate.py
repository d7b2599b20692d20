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
_SYNC = b"\x00\x00\xff\xff"

Bits = list[tuple[int, int]]  # (value, number of bits), the lowest bit first
Words = npt.NDArray[np.uint64]


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
    # After the block an empty stored one (three zero bits, padding, _SYNC) aligns to a byte.
    head, tail = _header(lengths), [(codes[_END_OF_BLOCK], lengths[_END_OF_BLOCK]), (0, 3)]
    return _pack_bits(head, data, codes, lengths, tail) + _SYNC


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


def _pack_bits(head: Bits, data: bytes, codes: list[int], lengths: list[int], tail: Bits) -> bytes:
    """The bits of head, coded data and tail, one after another, padded to a whole byte."""
    whole = len(data) & ~3
    tail = [(codes[byte], lengths[byte]) for byte in data[whole:]] + tail
    front, back = np.array(head, np.uint64), np.array(tail, np.uint64)
    values, widths = _code_fours(data[:whole], np.array(codes[:256], np.uint64), lengths[:256])
    return _join_words(
        np.concatenate([front[:, 0], values, back[:, 0]]),
        np.concatenate([front[:, 1], widths, back[:, 1]]),
    )


def _code_fours(data: bytes, codes: Words, lengths: list[int]) -> tuple[Words, Words]:
    """(code, number of bits) of each four bytes: up to 15 bits a byte, 60 fit a 64-bit word."""
    bits = np.array(lengths, np.uint64)
    # Codes of all pairs; as a little-endian number the first byte of a pair is the low one.
    pair_codes = (codes[None, :] | codes[:, None] << bits[None, :]).ravel()
    pair_bits = (bits[None, :] + bits[:, None]).ravel()
    pairs = np.frombuffer(data, "<u2")
    values, widths = pair_codes.take(pairs), pair_bits.take(pairs)
    return values[0::2] | values[1::2] << widths[0::2], widths[0::2] + widths[1::2]


def _join_words(values: Words, widths: Words) -> bytes:
    """Concatenate values of up to 60 bits."""
    ends = np.cumsum(widths, dtype=np.uint64)
    starts = ends - widths
    word, shift = (starts >> np.uint64(6)).astype(np.intp), starts & np.uint64(63)
    packed = np.zeros(int(ends[-1]) // 64 + 2, np.uint64)
    # With less than 64 bits each, some value starts in every word, and only the last of those
    # reaches into the next word.
    firsts = np.flatnonzero(np.diff(word, prepend=-1))
    packed[word[firsts]] = np.bitwise_or.reduceat(values << shift, firsts)
    lasts = np.append(firsts[1:], len(word)) - 1
    packed[word[lasts] + 1] |= values[lasts] >> np.uint64(1) >> (np.uint64(63) - shift[lasts])
    return packed.astype("<u8").tobytes()[: (int(ends[-1]) + 7) // 8]
