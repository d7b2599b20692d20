"""Handing a ready archive to its owner.

A request comes in; a response that serves the file, a range of it, or the reason why not goes out.
It may call storage and models.
"""
