"""An S3-compatible server for tests, in this process, and places for shared stores on it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator
from unittest import mock

BUCKET = "results"
_prefixes = itertools.count()


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server, and let this process and its children find it; yield a bucket's URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with mock.patch.dict(os.environ, environment):
            import fsspec

            # fsspec keeps file systems, and those of an earlier server still ask that one.
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            s3 = fsspec.filesystem("s3", skip_instance_cache=True)
            # moto keeps one account a process: an earlier server has left its bucket.
            s3.makedirs(BUCKET, exist_ok=True)
            yield f"s3://{BUCKET}"
    finally:
        server.stop()


def new_prefix(bucket: str) -> str:
    """Return the URL of a folder in a bucket that nothing else uses."""
    return f"{bucket}/{next(_prefixes)}"
