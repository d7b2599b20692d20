"""Addresses of files that lie elsewhere: how to fetch what no browser opens."""

import shlex


def find_fetch_command(address: str) -> str:
    """A line for a shell that fetches an address of a bucket; empty for other addresses.

    It asks without credentials, as anybody may. The IDC's addresses end in ``/*``: all files of a
    series.
    """
    if address.startswith("gs://"):
        return f"gcloud storage cp {shlex.quote(address)} ."
    if not address.startswith("s3://"):
        return ""
    if address.endswith("/*"):
        folder = shlex.quote(address.removesuffix("*"))
        return f"aws s3 cp --no-sign-request --recursive {folder} ."
    return f"aws s3 cp --no-sign-request {shlex.quote(address)} ."
