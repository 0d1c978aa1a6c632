"""Files as people have them: each reads as the plain one does, and what is odd is said."""
import json
import os
import random
import struct

from harness import DARKNET, FolderTest, main, png, write

HEAD = """[net]
batch=1
width=32
height=32
channels={channels}

[convolutional]
filters=4
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=18
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=10,10, 20,20, 40,40
classes=1
num=3
"""


def network(test, channels):
    """A detector with weights of its own. With three channels each filter is a third of what it is with one, so that both
    answer the same on a grey photo."""
    draw = random.Random(7)
    floats = [draw.gauss(0, .1) for _ in range(4)]
    for _ in range(4):
        floats += [draw.gauss(0, 1) for _ in range(9)] if channels == 1 else (
            lambda filter: [w / 3 for w in filter] * 3)([draw.gauss(0, 1) for _ in range(9)])
    floats += [draw.gauss(0, .5) for _ in range(18 + 18 * 4)]
    name = f"net{channels}"
    write(test.path(name + ".cfg"), HEAD.format(channels=channels))
    write(test.path(name + ".weights"),
          struct.pack("<iiiQ", 0, 2, 0, 0) + struct.pack(f"<{len(floats)}f", *floats))
    return name + ".cfg", name + ".weights"


def exif(jpeg, orientation):
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + struct.pack(">BBH", 255, 0xe1, len(tiff) + 8) + b"Exif\0\0" + tiff + jpeg[2:]


class Files(FolderTest):
    def setUp(self):
        super().setUp()
        self.net = network(self, 3)
        write(self.path("one.names"), "thing\n")
        write(self.path("one.data"), "names=one.names\n")

    def explain(self, *arguments, **options):
        result = self.done("explain", *arguments, "-json", "-no-picture", "-thresh", ".2", "-out", "r", **options)
        return json.loads(result.out), result.err

    def answer(self, *arguments, **options):
        explained, said = self.explain(*arguments, **options)
        for key in ("model", "image", "seconds", "memory_peak_bytes"):
            del explained[key]
        for path in (path for response in explained["responses"] for path in response["paths"]):
            del path["files"], path["drawn"]
        return explained, "\n".join(line for line in said.split("\n") if ": read " not in line)

    def test_line_ends_marks_and_blanks(self):
        plain, said = self.answer("one.data", *self.net, "photo.png")
        self.assertEqual(said, "")
        self.assertEqual(plain["responses"][0]["name"], "thing")
        cfg, names = HEAD.format(channels=3), "thing"
        forms = {"crlf": lambda text: text.replace("\n", "\r\n"), "mark": lambda text: "\ufeff" + text,
                 "blanks": lambda text: text.replace("\n", " \t\n"),
                 "all": lambda text: "\ufeff" + text.replace("\n", "  \r\n"), "no end": lambda text: text.rstrip("\n")}
        for name, form in forms.items():
            write(self.path("x.cfg"), form(cfg))
            write(self.path("x.names"), form(names + "\n"))
            write(self.path("x.data"), form("classes = 1\nnames=x.names\n"))
            with self.subTest(form=name):
                self.assertEqual(self.answer("x.data", "x.cfg", self.net[1], "photo.png"), (plain, ""))
                self.assertEqual(self.answer("x.names", "x.cfg", self.net[1], "photo.png"), (plain, ""))
                self.assertEqual(self.answer("x.data", "x.cfg", self.net[1], stdin=form("photo.png\n").encode()),
                                 (plain, ""))

    def test_utf16(self):
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            for name, content in (("u.cfg", HEAD.format(channels=3)), ("u.data", "names=one.names\n"), ("u.names", "thing\n")):
                write(self.path(name), content.encode(encoding))
            for way, name in ((("one.data", "u.cfg", self.net[1]), "u.cfg"), (("u.data", *self.net), "u.data"),
                              (("u.names", *self.net), "u.names")):
                refused = self.critpath("explain", *way, "photo.png")
                self.assertEqual(refused.code, 2)
                self.assertIn(f"{name} is UTF-16 text", refused.err)

    def test_comments_and_text_behind_values(self):
        plain, _ = self.answer("one.data", *self.net, "photo.png")
        text = HEAD.format(channels=3).replace("mask=0,1,2", "mask = 0,1,2 # 3,4,5").replace("40,40", "40,40, # small, large")
        write(self.path("x.cfg"), text.replace("filters=4", "filters=4 # four").replace("stride=2", "stride=2 pixels"))
        read, said = self.answer("one.data", "x.cfg", self.net[1], "photo.png")
        self.assertEqual(read, plain)
        self.assertEqual(said.count("\n"), 1, said)
        self.assertIn("stride=2pixels is read as 2, as Darknet does", said)

    def test_paths_with_blanks(self):
        os.mkdir(self.path("my names"))
        write(self.path("my names", "a b.names"), "thing\n")
        write(self.path("b.data"), "names = my names/a b.names \r\n")
        explained, said = self.answer("b.data", *self.net, "photo.png")
        self.assertEqual((explained["responses"][0]["name"], said), ("thing", ""))
        write(self.path("a photo.png"), png(40, 30))
        self.assertEqual(self.answer("b.data", *self.net, stdin=b"a photo.png  \n")[0], explained)

    def test_names_that_moved_with_their_data_file(self):
        os.makedirs(self.path("moved"))
        write(self.path("moved", "b.names"), "thing\n")
        write(self.path("moved", "b.data"), "names=elsewhere/b.names\n")
        self.assertEqual(self.answer("moved/b.data", *self.net, "photo.png")[0]["responses"][0]["name"], "thing")

    def test_a_photo_in_place_of_a_list(self):
        with open(self.path("photo.png"), "rb") as file:
            photo = file.read()
        for content, kind in ((photo, "PNG"), (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\n" * 100, "JPEG")):
            result = self.critpath("explain", "one.data", *self.net, "-quiet", stdin=content)
            self.assertEqual(result.code, 2)
            self.assertEqual(result.err, f"critpath: list of images: stdin is a {kind} picture, text is needed\n")

    def test_odd_data_files_are_said(self):
        write(self.path("x.data"), "nmaes=one.names\nlabels=one.names\nlabels=no.names\nbackup=b\nclasses=2\n")
        explained, said = self.answer("x.data", *self.net, "photo.png")
        self.assertEqual(explained["responses"][0]["name"], "thing")
        for line in ("line 1: nmaes is no key of a .data file, it is not used; did you mean names?",
                     "line 3: a second labels, the first is used", "x.data: classes=2, but net3.cfg has 1 classes"):
            self.assertIn(line, said)
        self.assertEqual(self.answer("x.data", *self.net, "photo.png", "-quiet")[1], "")

    def test_names_beyond_the_classes_are_said_however_they_are_given(self):
        write(self.path("many.names"), "person\nbicycle\ncar\n\n")
        write(self.path("many.data"), "names=many.names\n")
        for way in (("many.data", *self.net), ("many.names", *self.net), (*self.net, "-names", "many.names")):
            self.assertIn("many.names has 4 names, net3.cfg has 1 classes: the first 1 are used",
                          self.answer(*way, "photo.png")[1])
        write(self.path("even.names"), "thing\n\n \n")  # empty lines are no names
        self.assertEqual(self.answer("even.names", *self.net, "photo.png")[1], "")

    def test_grey_networks(self):
        grey = network(self, 1)
        write(self.path("grey.png"), png(40, 30, colour=0))
        one, three = (self.answer(*net, "grey.png", "-host", "alexey")[0] for net in (grey, self.net))
        self.assertEqual(one["input"]["channels"], 1)
        self.assertGreater(len(one["prediction"]), 0)
        self.assertEqual([d["cell"] for d in one["prediction"]], [d["cell"] for d in three["prediction"]])
        for a, b in zip(one["prediction"], three["prediction"]):
            self.assertAlmostEqual(a["probability"], b["probability"], places=4)
        # A colour photo is seen as the grey that stb_image makes of it.
        colour = bytes([200, 40, 90]) * (8 * 8)
        rows = b"".join(b"\0" + colour[24 * y:24 * y + 24] for y in range(8))
        level = (200 * 77 + 40 * 150 + 90 * 29) >> 8
        write(self.path("colour.png"), png(8, 8, rows=rows))
        write(self.path("level.png"), png(8, 8, colour=0, rows=(b"\0" + bytes([level]) * 8) * 8))
        same = [self.answer(*grey, name)[0]["input"]["sha256"] for name in ("colour.png", "level.png")]
        self.assertEqual(same[0], same[1])

    def test_photos_that_lie_on_their_side(self):
        photo = os.path.join(os.path.dirname(os.path.realpath(DARKNET)), "data", "dog.jpg")
        with open(photo, "rb") as file:
            jpeg = file.read()
        write(self.path("plain.jpg"), jpeg)
        write(self.path("side.jpg"), exif(jpeg, 6))
        plain, said = self.answer(*self.net, "plain.jpg")
        self.assertEqual((said, plain["photo"]["exif_orientation"], plain["photo"]["turned"]), ("", 1, False))
        side, said = self.answer(*self.net, "side.jpg")
        self.assertEqual((side["photo"]["exif_orientation"], side["photo"]["turned"]), (6, True))
        self.assertEqual((side["photo"]["width"], side["photo"]["height"]),
                         (plain["photo"]["height"], plain["photo"]["width"]))
        self.assertIn("side.jpg: turned upright, as its EXIF orientation (6) says", said)
        stored, said = self.answer(*self.net, "side.jpg", "-exif", "0")
        self.assertEqual(stored["input"]["sha256"], plain["input"]["sha256"])
        self.assertIn("side.jpg: left as stored, its EXIF orientation is 6", said)

    def test_16_bits_are_said(self):
        write(self.path("deep.png"), png(2, 1, depth=16, colour=0, rows=b"\0\x01\xff\x0f\xff"))
        write(self.path("high.png"), png(2, 1, depth=8, colour=0, rows=b"\0\x01\x0f"))
        deep, said = self.answer(*self.net, "deep.png")
        self.assertIn("deep.png: 16 bits a channel, of which Darknet sees the upper 8; the largest value is 4095 of 65535, so "
                      "it sees a dark photo", said)
        self.assertEqual(deep["input"]["sha256"], self.answer(*self.net, "high.png")[0]["input"]["sha256"])


main()
