"""Keeps pydicom from costs that grow with what a file says, wherever it parses or writes one."""

from collections.abc import Callable, MutableSequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from pydicom import charset, config, filereader, filewriter

from catalog.imaging.problems import NotReadable

# Values are not checked against their VR, as files keep what they have: to check a UID of a
# megabyte takes 150 megabytes of memory.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE
config.settings.buffered_read_size = 1 << 20
# Six names of sixteen bytes; each item of a sequence takes over all that stand above it.
_CHARACTER_SET, _MAX_CHARACTER_SET = 0x00080005, 96
_READS_OF_A_BYTE = 10
# Besides those of its header and value: each becomes an object, however empty it is.
_READS_OF_AN_ELEMENT = 1
_READS_OF_AN_ITEM = 5  # besides the one of its header: each becomes a data set


@runtime_checkable
class Counting(Protocol):
    """A file that counts how often it is read, and knows whether an element was read twice."""

    has_twice: bool

    def spend(self, reads: int) -> None: ...

    def expect(self, tag: int, vr: str | None, length: int) -> None: ...


def _watch(elements: Callable[..., Any]) -> Callable[..., Any]:
    """pydicom reads and looks up names of character sets at once, a million of them as well.

    One that it does not know takes it a tenth of a millisecond; what counts its reads is told. Of
    elements that stand in one data set or item twice, and differ, it keeps the last.
    """

    def watched(
        fp: Any, is_implicit_vr: bool, is_little_endian: bool, stop_when: Any = None, *rest: Any
    ) -> Any:
        # Asked once: to ask for each element takes longer than to read it.
        counting = fp if isinstance(fp, Counting) else None

        def stop(tag: int, vr: str | None, length: int) -> bool:
            if counting:
                counting.spend(_READS_OF_AN_ELEMENT)
                counting.expect(tag, vr, length)
            if tag == _CHARACTER_SET:
                if length > _MAX_CHARACTER_SET:
                    raise NotReadable("It names more character sets than there are.")
                if counting:
                    counting.spend(_READS_OF_A_BYTE * length)
            return stop_when is not None and stop_when(tag, vr, length)

        if counting:  # at once, as pydicom asks an empty item for no element
            counting.spend(_READS_OF_AN_ITEM)
        found = elements(fp, is_implicit_vr, is_little_endian, stop, *rest)
        return look_at(found, counting, is_implicit=is_implicit_vr)

    def look_at(found: Any, counting: Counting | None, *, is_implicit: bool) -> Any:
        seen: dict[int, Any] = {}
        for element in found:
            if element.value is None and element.length == 0:
                element = _make_empty(element, is_implicit=is_implicit)
            if element.tag in seen and counting:
                first, second = seen[element.tag].value, element.value
                if not (isinstance(first, bytes) and first == second):
                    counting.has_twice = True
            seen[element.tag] = element
            yield element

    return watched


def _make_empty(element: Any, *, is_implicit: bool) -> Any:
    """With the empty bytes for a value, as pydicom has them of texts.

    Of others it has None, as of a value that was left where it is, and interprets each that is
    looked at. Where it looks for the VR, it goes on to.
    """
    is_kept = is_implicit or element.VR not in (None, "UN")
    return element._replace(value=b"") if is_kept else element


filereader.data_element_generator = _watch(filereader.data_element_generator)
charset._python_encoding_for_corrected_encoding = lru_cache(1000)(
    charset._python_encoding_for_corrected_encoding
)


@lru_cache(1000)
def _convert(names: tuple[str, ...]) -> list[str]:
    return charset.convert_encodings(list(names))


def _convert_once(names: str | MutableSequence[str] | None) -> list[str]:
    """For each text that pydicom writes it looks up all character sets."""
    several = [names or ""] if names is None or isinstance(names, str) else names
    return list(_convert(tuple(several)))


filewriter.convert_encodings = _convert_once  # type: ignore[attr-defined,assignment]

# At each level of nested sequences pydicom would put the whole traceback into the message, which
# triples it: thirty levels, in a file of a kilobyte, would take all memory.
filewriter.tag_in_exception = nullcontext  # type: ignore[attr-defined,assignment]
