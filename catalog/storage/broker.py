"""Sends messages to the broker, so that one that hangs takes a thread of a process, not all."""

from kombu.exceptions import ChannelError, OperationalError

from catalog.storage.turns import CircuitBreaker

# The broker does not answer, or its memory is full.
NOT_QUEUED = (OperationalError, ChannelError)
# One that hangs takes ten seconds of one thread.
broker_turns = CircuitBreaker(
    no_answer=NOT_QUEUED, refuse=lambda: OperationalError("it does not answer at the moment")
)
