"""Where the bytes of datasets are, and how many files are sent at a time.

A dataset or an open file comes in; the folder of its local copy, or a transfer that counts, goes
out. It may call models.
"""
