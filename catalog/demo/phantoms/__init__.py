"""Synthetic chest radiographs, the same bytes on every machine.

A seed and a finding come in; PNG files go out. It calls nothing else of the project.
"""
