"""Numbers in words, on pages and in archives: sizes, durations, what a number counts.

Values come in and text goes out. It calls nothing but the models, for the names of what is counted.
"""
