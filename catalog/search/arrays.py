"""Conditions on a field by an array of numbers, however many there are."""

from django.db.models import BooleanField, F, Func, TextField, Value


class IsAnyOf(Func):
    """Whether a field has one of the ``numbers``, in PostgreSQL's syntax of arrays: {1,2}.

    PostgreSQL parses one array much faster than ten thousand parameters, and looks values up in it
    by hashing. The field is resolved as any other, so the condition may stand in a subquery.
    """

    template = "(%(expressions)s::bigint[]))"
    arg_joiner = " = ANY("
    output_field = BooleanField()

    def __init__(self, field: str, numbers: str) -> None:
        super().__init__(F(field), Value(numbers, TextField()))
