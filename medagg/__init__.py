import os

from medagg.celery import app as celery_app

__all__ = ["celery_app"]

# Every process of medagg imports this: what it writes (mails, archives, previews, logs) is for its
# user alone.
os.umask(0o077)
