"""The largest collection that may be frozen."""

from django.conf import settings

from catalog.wording.formats import file_size


def explain_limits(*, num_images: int, num_bytes: int) -> list[str]:
    """A sentence for each limit that a selection exceeds, with what to do."""
    problems = []
    if num_images > settings.COLLECTION_MAX_IMAGES:
        problems.append(
            f"{num_images:,} images match, and a collection holds at most "
            f"{settings.COLLECTION_MAX_IMAGES:,}. Add filters until it fits."
        )
    if num_bytes > settings.COLLECTION_MAX_BYTES:
        problems.append(
            f"The files take {file_size(num_bytes)}, and a collection holds at most "
            f"{file_size(settings.COLLECTION_MAX_BYTES)} of files. Add filters until it fits."
        )
    return problems
