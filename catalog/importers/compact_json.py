"""JSON without spaces, as it is sent to PostgreSQL: above all the metadata of every image."""

import json
from typing import Any

import orjson

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# Dates and the like are refused, as by ``json``.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def dump_json(value: Any) -> str:
    """The text of a value; a small float may be 0.00001 where ``json`` writes 1e-05.

    Raises TypeError, ValueError or RecursionError for what has no JSON, such as NaN.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS).decode()
    except TypeError:
        return _encode(value)  # integers above 64 bits and halves of characters, or says why not
    # NaN would be null.
    return _encode(value) if "null" in text else text
