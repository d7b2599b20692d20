"""Many rows at once: batches, PostgreSQL's COPY text, foreign keys checked together.

Rows or fields come in, batches or COPY lines go out. It knows no model and calls nothing else.
"""
