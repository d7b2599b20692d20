"""From the rows of a published survey of datasets to entries of the catalog.

In comes the survey's table and what curators know better; out go entries with facts, and a report
of what was merged, corrected and not understood. Nothing here knows the database.
"""
