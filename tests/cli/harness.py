"""What the tests of the command line share: the binary, small networks, pictures made here, and running a command."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DARKNET = os.environ.get("CRITPATH_DARKNET", os.path.join(ROOT, "build", "darknet"))
DATA = os.environ.get("CRITPATH_DATA", os.path.join(ROOT, "..", "shared", "data"))
ORACLE = os.path.join(ROOT, "tests", "oracle")
SKIP = 77


def main():
    if not os.access(DARKNET, os.X_OK):
        print(f"skipped: no executable at {DARKNET} (CRITPATH_DARKNET)")
        sys.exit(SKIP)
    unittest.main(verbosity=1)


class Result:
    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")


def run(*arguments, folder=None, stdin=b"", timeout=300, **environment):
    """darknet with these arguments; nothing of ours depends on the terminal or on stdin being open."""
    done = subprocess.run([DARKNET, *map(str, arguments)], cwd=folder, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, env={**os.environ, **environment})
    return Result(done)


def critpath(*arguments, **options):
    return run("critpath", *arguments, **options)


def network(name):
    """cfg and weights of one of the small networks of tests/oracle."""
    return os.path.join(ORACLE, "cfg", name + ".cfg"), os.path.join(ORACLE, name + ".weights")


def sanitized():
    """Whether the binary carries AddressSanitizer, under which Darknet takes minutes for what takes seconds."""
    with open(DARKNET, "rb") as file:
        return b"__asan_init" in file.read()


def shared(*parts):
    """A file of the shared data, or None."""
    path = os.path.join(DATA, *parts)
    return path if os.path.exists(path) else None


def write(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, colour=2, rows=None, claimed=None):
    """A PNG with a picture of smooth waves and some noise, or with the given raw rows."""
    if rows is None:
        channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
        state, rows = 12345, bytearray()
        for y in range(height):
            rows.append(0)
            for x in range(width):
                for c in range(channels):
                    state = (state * 1103515245 + 12345) & 0x7fffffff
                    value = (x * (3 + c) + y * (5 - c) + (state >> 16) % 40 + 60 * ((x // 5 + y // 7 + c) % 3)) % 256
                    rows += bytes([value] * (depth // 8))
    header = struct.pack(">IIBBBBB", *(claimed or (width, height)), depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1))
            + chunk(b"IEND", b""))


class FolderTest(unittest.TestCase):
    """Every test gets an empty folder of its own, self.folder, with photo.png in it, and is run there."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="critpath-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.photo = write(os.path.join(self.folder, "photo.png"), png(40, 30))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def files(self):
        return sorted(os.listdir(self.folder))

    def critpath(self, *arguments, **options):
        return critpath(*arguments, folder=self.folder, **options)

    def done(self, *arguments, **options):
        """Runs and expects success."""
        result = self.critpath(*arguments, **options)
        self.assertEqual(result.code, 0, result.err)
        return result
