"""``python -m benchmarks.upload_peer FILE ENDPOINT BUCKET KEY``: a bare multipart upload by boto3.

Prints how many seconds it took, without the start of Python, as a JSON object.
"""

import json
import sys
import time

import boto3  # type: ignore[import-untyped,unused-ignore]

KEYS = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}


def main() -> None:
    path, endpoint, bucket, key = sys.argv[1:]
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS)
    client.list_objects_v2(Bucket=bucket, MaxKeys=1)  # whatever is done only once
    start = time.perf_counter()
    client.upload_file(path, bucket, key)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - start}) + "\n")


if __name__ == "__main__":
    main()
