"""The demo datasets: drawn phantoms, and the samples that pydicom ships.

Nothing comes in but a folder; files and image rows go out. It may call the importers.
"""
