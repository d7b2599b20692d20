"""`manage.py up`: everything that one machine needs, started, watched and stopped.

Settings and a data folder come in; a running site goes out. It may call the apps, and no app calls
it.
"""
