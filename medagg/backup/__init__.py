"""Backs up all that must not be lost, and restores it.

The database and the secrets of var/ come in; one ZIP file goes out, or the other way round. Only
the commands `backup` and `restore` call it, and it calls no app.
"""
