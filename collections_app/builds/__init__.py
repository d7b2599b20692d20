"""From a frozen collection to a verified archive on disk: queue, lease, build, verification.

A collection's primary key comes in; an archive goes out, or the problems that prevented it. It may
call contents, selection, storage, models and the archive.
"""
