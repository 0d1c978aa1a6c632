"""Outputs and names: inputs stay, results are whole, killed runs leave nothing for long, names are data."""
import os
import shutil
import struct
import subprocess
import zlib

from harness import FolderTest, chunk, main, network, png, write

RESNET = network("resnet")


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Outputs(FolderTest):
    def refuses(self, output, *arguments, **options):
        """A run that would write `output`, which is one of its inputs: the bytes stay, and nothing else is written."""
        before, files = read(self.path(output)), self.files()
        refused = self.critpath(*arguments, **options)
        self.assertEqual(refused.code, 2, refused.err)
        self.assertIn("would overwrite an input", refused.err)
        self.assertEqual(read(self.path(output)), before)
        self.assertEqual(self.files(), files)

    def names(self, path):
        write(self.path(path), "a\n" * 10)
        return path

    def test_names_and_data(self):
        self.refuses("n.json", "explain", *RESNET, "photo.png", "-names", self.names("n.json"), "-out", "n")
        write(self.path("m.data"), "classes=10\nnames=" + self.names("m.png") + "\n")
        self.refuses("m.png", "explain", "m.data", *RESNET, "photo.png", "-out", "m")
        os.link(self.path("m.data"), self.path("l.npy"))  # by device and inode: under another name too
        self.refuses("m.data", "explain", "m.data", *RESNET, "photo.png", "-out", "l")
        os.symlink("m.data", self.path("s.npy"))
        self.refuses("m.data", "grad", "m.data", *RESNET, "photo.png", "-method", "gradient", "-out", "s")

    def test_every_image_of_a_list(self):
        for name in ("a.png", "x-a.png"):
            shutil.copy(self.photo, self.path(name))
        before = read(self.path("x-a.png"))
        refused = self.critpath("explain", *RESNET, "a.png", "x-a.png", "-out", "x")
        self.assertEqual(refused.code, 2)
        self.assertIn("would overwrite an input", refused.err)
        self.assertEqual(read(self.path("x-a.png")), before)
        self.assertNotIn("x-a.npy", self.files())  # that of a.png is whole or nothing
        self.assertIn("x-x-a.npy", self.files())

    def test_list_of_gates(self):
        write(self.path("g.gates.npz"), "photo.png\n")
        before = read(self.path("g.gates.npz"))
        refused = self.critpath("gates", *RESNET, "-list", "g.gates.npz", "-iterations", "1", "-out", "g")
        self.assertEqual(refused.code, 2, refused.err)
        self.assertEqual(read(self.path("g.gates.npz")), before)

    def test_all_files_or_none(self):
        os.symlink("r.json", self.path("r.json"))  # a loop
        files = self.files()
        failed = self.critpath("explain", *RESNET, "photo.png", "-out", "r")
        self.assertEqual(failed.code, 2, failed.err)
        self.assertEqual(self.files(), files)

    def test_odd_names(self):
        """Of every command that has -out: neither stdout, nor a kind of file that none writes."""
        files, n = self.files(), 0
        for command in ("explain", "grad", "score", "path", "compare", "faithful", "linearity", "picture", "insert", "gates", "prune",
                        "watch", "eval", "sanity", "roar"):
            for out, needed in (("-", '"-" would be stdout'), ("z.pdf", "as in -out z\n"), ("w.Weights", ".weights")):
                refused = self.critpath(command, "a", "b", "-out=" + out)
                if "no option" in refused.err or "unknown option" in refused.err or "is an option of" in refused.err:
                    continue
                n += 1
                self.assertEqual(refused.code, 2, refused.err)
                self.assertIn(f"{command}: -out: ", refused.err)
                self.assertIn(needed, refused.err)
        self.assertGreater(n, 30)
        self.assertEqual(self.files(), files)

    def test_folders(self):
        """A folder that is there takes the results under the names of what they are of, with a slash behind it or without."""
        self.done("explain", *RESNET, "photo.png", "-out", "r")
        for out in ("there", "there/"):
            shutil.rmtree(self.path("there"), ignore_errors=True)
            os.mkdir(self.path("there"))
            self.done("explain", *RESNET, "photo.png", "-out", out)
            self.done("picture", "r.npy", "photo.png", "-out", out)
            self.assertLessEqual({"photo.png", "photo.path.npz", "r.png"}, set(os.listdir(self.path("there"))))
            files = self.files()
            for command in (("prune", *RESNET, "r.path.npz"), ("insert", RESNET[0], "r.path.npz", "-mode", "zero")):
                refused = self.critpath(*command, "-out", out)
                self.assertEqual(refused.code, 2, refused.err)
                self.assertIn("-out", refused.err + "-out" * (command[0] == "insert"))
            self.assertEqual(self.files(), files)

    def test_equal_names(self):
        done = self.critpath("score", *RESNET, "-method", "random", "-out", "nowhere/", "-quiet",
                             stdin=b"missing/photo.png\n" * 10 + b"photo.png\n" * 12)
        self.assertEqual(done.code, 2)
        wanted = {"photo.score.npz"} | {f"photo-{i}.score.npz" for i in range(2, 13)}
        self.assertEqual(set(os.listdir(self.path("nowhere"))), wanted)

    def test_left_by_killed_runs(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        left = write(self.path(f".cp-{dead.pid}-0-0012abcd.tmp"), "half")
        alive = write(self.path(f".cp-{os.getpid()}-0-0012abcd.tmp"), "half")
        other = write(self.path(f".cp-{dead.pid}-notes.tmp"), "mine")
        self.done("explain", *RESNET, "photo.png", "-out", "r")
        self.assertEqual([os.path.exists(path) for path in (left, alive, other)], [False, True, True])
        self.assertEqual([name for name in self.files() if name.startswith(".cp-")],
                         sorted(os.path.basename(path) for path in (alive, other)))


class Names(FolderTest):
    def is_clean(self, result, lines=None):
        for text in (result.out, result.err):
            self.assertEqual([c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160], [], text)
        if lines:
            self.assertEqual(result.err.count("\n"), lines, result.err)

    def test_files(self):
        for name in ("a\x1b[31mb.png", "c\nd.png", "e\u009bf.png"):
            shutil.copy(self.photo, self.path(name))
            for command in (("explain",), ("grad", "-method", "gradient"), ("faithful",)):
                self.is_clean(self.done(command[0], *RESNET, name, *command[1:]))
            self.is_clean(self.done("grad", *RESNET, name, "photo.png", "-method", "gradient"))
            missing = self.critpath("explain", *RESNET, "no" + name)
            self.assertEqual(missing.code, 2)
            self.is_clean(missing, 1)
        self.assertIn(r"a\x1b[31mb.png: 40 x 30", self.done("explain", *RESNET, "a\x1b[31mb.png").out)

    def test_outputs(self):
        self.done("path", *RESNET, "photo.png", "-out", "p")
        self.is_clean(self.done("prune", *RESNET, "p.path.npz", "-out", "a\x1b[31mb"))
        self.is_clean(self.done("insert", RESNET[0], "p.path.npz", "-mode", "zero", "-out", "c\nd.cfg"))

    def test_cfg(self):
        text = read(RESNET[0]).decode()
        write(self.path("bad.cfg"), text.replace("[net]", "[net]\n\x1b[2Jkey=1", 1))
        write(self.path("worse.cfg"), text + "\n[\x1b]0;title\x07]\n")
        for cfg in ("bad.cfg", "worse.cfg"):
            refused = self.critpath("explain", cfg, RESNET[1], "photo.png")
            self.assertEqual(refused.code, 2)
            self.is_clean(refused, 1)

    def test_class_names(self):
        write(self.path("n.names"), "a\x1b[31m\nb\x07\nc\u009b\nd\ne\x7f\n" + "f\n" * 5)
        self.is_clean(self.done("explain", "n.names", *RESNET, "photo.png", "-json", "-out", "r"))
        for c in "01234":
            self.is_clean(self.done("explain", "n.names", *RESNET, "photo.png", "-class", c, "-out", "r"))


class Memory(FolderTest):
    def test_headers_decide(self):
        """A small file that claims 9000 x 9000 pixels is refused before it is decoded."""
        rows = zlib.compress(bytes(9000 * 3 + 1) * 64, 9)
        header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
        write(self.path("huge.png"), b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) +
              chunk(b"IEND", b""))
        refused = self.critpath("explain", *RESNET, "huge.png", "-mem", "500M")
        self.assertEqual(refused.code, 2, refused.err)
        self.assertIn("9000 x 9000 pixels, which take about 1236 MB, 250 MB are allowed", refused.err)
        self.done("explain", *RESNET, "photo.png", "-mem", "500M", "-out", "r")

    def test_headers_of_tiff_and_webp(self):
        def tiff(width, height, *more):
            rows = [(256, 3, width), (257, 3, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), *more]
            return (b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(struct.pack("<HHII", tag, kind, 1, value)
                                                                         for tag, kind, value in rows) + bytes(64))
        strip = ((273, 4, 100), (278, 3, 9000), (279, 4, 64))
        tile = ((322, 3, 32768), (323, 3, 32768), (324, 4, 100), (325, 4, 64))
        webp = b"WEBPVP8L" + struct.pack("<IBI", 16, 0x2f, 8999 | 8999 << 14) + bytes(11)
        large = "9000 x 9000 pixels, which take about 1236 MB, 250 MB are allowed"
        for name, content, needed in (("huge.tif", tiff(9000, 9000, *strip), large),
                                      ("tile.tif", tiff(2, 2, *tile), "pieces of 1073741824 bytes, 262144000 are allowed"),
                                      ("huge.webp", b"RIFF" + struct.pack("<I", len(webp)) + webp, large)):
            write(self.path(name), content)
            refused = self.critpath("explain", *RESNET, name, "-mem", "500M")
            self.assertEqual(refused.code, 2, refused.err)
            if "this build does not read" not in refused.err:
                self.assertIn(needed, refused.err)


if __name__ == "__main__":
    main()
