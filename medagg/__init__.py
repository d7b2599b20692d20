import gc
import os

# A start makes objects by the hundred thousand, nearly all of which stay: to look for garbage among
# them again and again took a third of its time. MedaggConfig.ready ends this.
GC_THRESHOLDS = gc.get_threshold()
gc.set_threshold(100_000)

from medagg.celery import app as celery_app  # noqa: E402

__all__ = ["GC_THRESHOLDS", "celery_app"]

# Every process of medagg imports this: what it writes (mails, archives, previews, logs) is for its
# user alone.
os.umask(0o077)
