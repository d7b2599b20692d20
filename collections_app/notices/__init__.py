"""Notices of ended builds for their owners: on the next page, and by mail.

A session or a collection's primary key comes in; messages go out. It may call services and models.
"""
