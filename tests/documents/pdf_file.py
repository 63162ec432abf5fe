"""Makes small PDF files for tests, without a library: pages of lines, an outline, objects nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_pdf(
    file: Path,
    pages: list[list[tuple[str, int]]],
    *,
    outline: list[tuple[str, int]] = (),  # type: ignore[assignment]
    title: str = "",
    n_objects: int = 0,
) -> None:
    """Write a PDF.

    Args:
        file: the path.
        pages: per page its lines, each with the size of its letters.
        outline: titles and their pages, from 1.
        title: of the document.
        n_objects: further objects, referred to by nothing.
    """
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    page_numbers = []
    for lines in pages:
        y, parts = 780, []
        for text, size in lines:
            escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            parts.append(f"BT /F1 {size} Tf 50 {y} Td ({escaped}) Tj ET")
            y -= size + 6
        stream = "\n".join(parts).encode("latin-1", "replace")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        page_numbers.append(len(objects))
    root = b"<< /Type /Catalog /Pages 2 0 R"
    if outline:
        first = len(objects) + 2
        objects.append(b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (
            first, first + len(outline) - 1, len(outline)
        ))  # fmt: skip
        root += b" /Outlines %d 0 R" % len(objects)
        for at, (text, page) in enumerate(outline):
            following = b" /Next %d 0 R" % (first + at + 1) if at + 1 < len(outline) else b""
            objects.append(b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /Fit]%s >>" % (
                text.encode(), first - 1, page_numbers[page - 1], following
            ))  # fmt: skip
    objects[0] = root + b" >>"
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(pages), b" ".join(b"%d 0 R" % each for each in page_numbers)
    )  # fmt: skip
    objects.append(b"<< /Title (%s) >>" % title.encode())
    info = len(objects)
    objects += [b"<< /A %d >>" % each for each in range(n_objects)]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % each for each in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, info, table
    )  # fmt: skip
    file.write_bytes(bytes(out))
