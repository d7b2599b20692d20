"""JSON without spaces, as it is sent to PostgreSQL: above all the metadata of every image."""

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

_MOST_KEYS = 10_000
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dump_json(value: Any) -> str:
    """The text of a value; for texts, numbers, lists and objects in half the time of ``json``.

    Raises TypeError, ValueError or RecursionError for what has no JSON, such as NaN.
    """
    return _WRITERS.get(value.__class__, _encode)(value)


def _dump_object(values: Mapping[str, Any]) -> str:
    pairs = [
        _keys[name] + _WRITERS.get(value.__class__, _encode)(value)
        for name, value in values.items()
    ]
    return f"{{{','.join(pairs)}}}"


def _dump_list(values: list[Any]) -> str:
    return f"[{','.join(map(dump_json, values))}]"


def _dump_float(value: float) -> str:
    return repr(value) if isfinite(value) else _encode(value)


class _Keys(dict[str, str]):
    """Keys as they begin a pair, ``"view":``; the same columns recur in all rows of a table."""

    def __missing__(self, key: str) -> str:
        text = _encode({key: 0})[1:-2]
        if len(self) < _MOST_KEYS:
            self[key] = text
        return text


_keys = _Keys()
# By exact class: what else is a number, as True is, is written differently.
_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: str,
    float: _dump_float,
    list: _dump_list,
    dict: _dump_object,
}
