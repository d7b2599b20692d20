"""Signals of vocab: terms or aliases have changed, so data derived from them must be updated."""

from django.dispatch import Signal

terms_changed = Signal()
