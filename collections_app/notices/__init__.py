"""Telling owners how their builds ended: on the next page, and by mail.

A session or a collection's primary key comes in; messages go out. It may call services and models.
"""
