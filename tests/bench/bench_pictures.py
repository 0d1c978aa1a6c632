"""Pictures that the benchmarks make."""
import struct
import zlib

import numpy as np


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_picture(path, seed, w=500, h=375):
    """A PNG with waves and grain, as large as the pictures of ImageNet mostly are."""
    y, x = np.mgrid[0:h, 0:w]
    waves = np.stack([np.sin(x / (9 + seed + c)) + np.cos(y / (11 + 2 * c)) for c in range(3)], -1)
    grain = np.random.default_rng(seed).integers(0, 24, (h, w, 3))
    pixels = (116 + 50 * waves + grain).astype(np.uint8)
    rows = np.concatenate([np.zeros((h, 1), np.uint8), pixels.reshape(h, -1)], 1).tobytes()
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))
