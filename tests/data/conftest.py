"""What tests of data sets share: image files in memory, and a bucket."""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow.fs import FileSystem

from trainyard.data.location import Location


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """`encode(pixels, "jpeg", quality=95)`: the bytes of an image file, PNG unless said otherwise."""

    def encode(pixels: np.ndarray | Image.Image, kind: str = "png", **settings: Any) -> bytes:
        buffer = io.BytesIO()
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(buffer, format=kind, **settings)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="module")
def bucket() -> Iterator[Location]:
    """A folder in a bucket, on a server on loopback that pyarrow's own S3 client talks to."""
    from moto.server import ThreadedMotoServer  # 1.3 s, which other tests need not wait for

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    FileSystem.from_uri(f"s3://key:secret@trainyard?{settings}")[0].create_dir("trainyard")
    yield Location.of(f"s3://key:secret@trainyard/a folder?{settings}")
    server.stop()
