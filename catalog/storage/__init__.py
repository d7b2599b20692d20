"""Where the bytes of datasets are, how they are fetched, and how many files are sent at a time.

A dataset, an address or an open file comes in; the folder of its local copy, its bytes from
elsewhere, a line for a shell or a transfer that counts goes out. It may call models.
"""
