"""A condition on a column of integers that may have very many values."""

from collections.abc import Iterable
from typing import Any

from django.db.models import BooleanField, F, Func, TextField, Value


class AnyOf(Func):
    """Whether a column has any of these integers, which may be an array as PostgreSQL writes it.

    As one array they are parsed much faster than as ten thousand parameters, and PostgreSQL looks a
    value up in it by hashing.
    """

    template = "(%(expressions)s::bigint[]))"
    arg_joiner = " = ANY("
    output_field: Any = BooleanField()

    def __init__(self, column: str, values: Iterable[int] | str) -> None:
        array = values if isinstance(values, str) else "{" + ",".join(map(str, values)) + "}"
        super().__init__(F(column), Value(array, output_field=TextField()))
