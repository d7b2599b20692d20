"""Download of a ready archive by its owner.

A request comes in; a response goes out with the file, a range of it, or the reason why not. It may
call storage and models.
"""
