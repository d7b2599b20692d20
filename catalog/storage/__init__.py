"""Where the bytes of datasets are.

A dataset comes in; the folder of its local copy goes out. It may call models.
"""
