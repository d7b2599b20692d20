"""The largest collection that may be frozen."""

from django.conf import settings


def explain_limits(*, num_images: int, num_bytes: int) -> list[str]:
    """A sentence for each limit that a selection exceeds, with what to do."""
    problems = []
    if num_images > settings.COLLECTION_MAX_IMAGES:
        problems.append(
            f"A collection holds at most {settings.COLLECTION_MAX_IMAGES:,} images; this selection "
            f"has {num_images:,}. Add filters until it fits."
        )
    if num_bytes > settings.COLLECTION_MAX_BYTES:
        problems.append(
            f"A collection holds at most {settings.COLLECTION_MAX_BYTES / 1e9:,.1f} GB of files; "
            f"this selection has {num_bytes / 1e9:,.1f} GB. Add filters until it fits."
        )
    return problems
