"""Small pictures of images: rendered once, kept in a bounded cache, or why there is none.

An image comes in; a picture goes out, with what a page says of it. ``local`` renders files that are
here, ``elsewhere`` has a worker make those of series that are not. It may call files and storage.
"""
