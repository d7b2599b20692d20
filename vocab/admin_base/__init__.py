"""What every admin of the project is made of; the apps above use it, too.

``bounds``: what may be asked of it; ``forms``: edits that keep others' work; ``values``: odd
values; ``deletions``: what its pages say before a deletion.
"""
