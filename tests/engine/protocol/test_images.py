"""What is let through to the image decoder, told from the front of the file."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechat.engine.protocol import images
from edgechat.engine.protocol.images import ImageSize
from edgechat.errors import InvalidInputError
from tests.engine.image_files import jpeg_header, png


def test_png_and_jpeg_headers_say_the_size():
    assert images.check(png(64, 48), "x") == ImageSize(64, 48)
    assert images.check(jpeg_header(640, 480), "x") == ImageSize(640, 480)


def test_a_jpeg_size_behind_other_segments_and_fill_bytes_is_found():
    thumbnail = b"\xff\xe1" + (2 + 300).to_bytes(2, "big") + b"\xff\xc0" * 150
    data = jpeg_header(320, 200)
    assert images.check(data[:2] + thumbnail + b"\xff" + data[2:], "x") == ImageSize(320, 200)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither"),
        (b"GIF89a" + bytes(20), "neither"),
        (png(1, 1)[:20], "damaged"),
        (jpeg_header(1, 1)[:6], "damaged"),
        (b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x10" + bytes(9), "damaged"),
        (png(1, 1, claimed=(100_000, 100_000)), "100000 x 100000 pixels"),
        # 16 bits a channel and four channels: 16 bytes for each of 20 million pixels while it is unpacked.
        (png(1, 1, claimed=(5000, 4000)), "16 million"),
    ],
)
def test_what_is_no_image_or_too_much_of_one_is_refused_with_its_name(data, reason):
    with pytest.raises(InvalidInputError, match=rf"defect\.png.*{reason}"):
        images.check(data, "defect.png")


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_signature_end_in_a_size_or_a_refusal(tail):
    for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        try:
            size = images.check(head + tail, "x")
        except InvalidInputError:
            continue
        assert 1 <= size.width * size.height <= images.MAX_PIXELS


def test_an_image_travels_as_base64_and_comes_back(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png(3, 2))
    url = "data:image/png;base64," + base64.b64encode(png(3, 2)).decode()
    assert images.read(file) == images.from_data_url(url)
    assert images.decode(images.read(file)) == png(3, 2)


@pytest.mark.parametrize(
    "url", ["http://example.org/a.png", "file:///etc/passwd", "data:image/png,xx", "data:text/x;base64,"]
)
def test_nothing_is_fetched_for_an_image(url):
    with pytest.raises(InvalidInputError, match="must come with the request"):
        images.from_data_url(url)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"missing\.png"):
        images.read(tmp_path / "missing.png")
