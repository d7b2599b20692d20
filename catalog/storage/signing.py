"""Signatures of requests to S3 (version 4), by botocore.

Loaded only where there are keys: what is public is asked for without.
"""

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def sign_request(method: str, url: str, *, keys: str, region: str) -> dict[str, str]:
    """The headers that ``url``, as it is sent, needs; ``keys`` are ``access-key:secret-key``."""
    access_key, _, secret_key = keys.partition(":")
    request = AWSRequest(method, url)
    S3SigV4Auth(Credentials(access_key, secret_key), "s3", region).add_auth(request)
    return dict(request.headers.items())
