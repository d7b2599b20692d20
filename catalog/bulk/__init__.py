"""Many rows at once: batches, PostgreSQL's COPY text, CSV, foreign keys checked together.

Rows or fields come in; batches, COPY lines, CSV or whole files go out. It knows no model and calls
nothing else.
"""
