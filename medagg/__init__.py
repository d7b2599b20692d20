import gc
import os

# A start makes objects by the hundred thousand, nearly all of which stay: to look for garbage among
# them again and again took a third of its time. MedaggConfig.ready ends this.
gc.set_threshold(1_000_000)
# From then on: not several times within a page, which makes thousands of objects that no cycle
# keeps. With Python's own 700 each hundredth page waited for a look through the whole catalog.
GC_THRESHOLDS = (5_000, 10, 10)

from medagg.celery import app as celery_app  # noqa: E402

__all__ = ["GC_THRESHOLDS", "celery_app"]

# Every process of medagg imports this: what it writes (mails, archives, previews, logs) is for its
# user alone.
os.umask(0o077)
