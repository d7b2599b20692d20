"""News for the apps above: terms or aliases have changed, so what was derived from them is old."""

from django.dispatch import Signal

terms_changed = Signal()
