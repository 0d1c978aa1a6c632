"""explain predicts what `darknet classifier predict` and `darknet detector test` print: class, order, per cent."""
import itertools
import json
import os
import re
import tarfile

from harness import FolderTest, critpath, main, network, png, run, sanitized, shared, write


def names_of(count):
    return "".join(f"thing {i}\n" for i in range(count))


def darknet(*arguments, folder):
    """One of Darknet's own verbs. They leak, and a sanitized build that reports it loses their output."""
    return run(*arguments, folder=folder, ASAN_OPTIONS="detect_leaks=0")


class Comparison(FolderTest):
    def data(self, classes, names=None):
        names = names or write(self.path("some.names"), names_of(classes))
        return write(self.path("some.data"), f"classes={classes}\nnames={names}\ntop=5\n")

    def lines(self, arguments):
        """What explain prints, as Darknet's verbs would: classes "97.12%: name", detections "name: 87%", in the order of
        the JSON, which is Darknet's; and the marks of those explained."""
        result = critpath("explain", *arguments, "-host", "debian", "-quiet", "-no-picture", "-layers", "-out", self.path("x"), folder=self.folder)
        self.assertEqual(result.code, 0, result.err)
        with open(self.path("x.json")) as file:
            prediction = json.load(file)["prediction"]
        rows = [line[:-14] if line.endswith("  <- explained") else line for line in result.out.splitlines()[1:]]
        marks = result.out.count("  <- explained")
        if prediction and "box" not in prediction[0]:
            return [row[2:].replace("%  ", "%: ", 1) for row in rows[:len(prediction)]], marks
        rows = [row for row in rows if not row.startswith(" " * 6)] # the best classes of an explained box
        rows = [re.fullmatch(r" *(\d+)  (.*?) +(\d+%)  x \d+\.\.\d+  y \d+\.\.\d+", row) for row in rows[:len(prediction)]]
        self.assertEqual([int(row.group(1)) for row in rows], list(range(1, len(rows) + 1)))
        return [rows[each["box"] - 1].expand(r"\2: \3") for each in prediction], marks

    def one_image(self, cfg):
        """The cfg for one image: Darknet makes room for the whole batch, a GPU may have less. Without nms_kind, which `-host
        debian` ignores as plain Darknet does, and which this one obeys (patch 0015)."""
        with open(cfg) as lines:
            text = [line for line in lines if not line.replace(" ", "").startswith(("batch=", "subdivisions=", "nms_kind="))]
        return write(self.path("one.cfg"), "".join(text))

    def same_classes(self, cfg, weights, photo, classes, names=None):
        data = self.data(classes, names)
        theirs = darknet("classifier", "predict", data, self.one_image(cfg), weights, photo, "-t", min(5, classes), folder=self.folder)
        ours, marks = self.lines([data, cfg, weights, photo])
        self.assertEqual(marks, 1)
        expected = [line for line in theirs.out.split("\n") if line]
        self.assertEqual(len(expected), min(5, classes), theirs.err)
        self.assertEqual(ours, expected)

    def same_boxes(self, cfg, weights, photo, classes, names=None, thresh=.5):
        """Returns how many boxes there were."""
        data = self.data(classes, names)
        theirs = darknet("detector", "test", data, self.one_image(cfg), weights, photo, "-thresh", thresh, "-out",
                         self.path("boxes"), "-host", "debian", folder=self.folder)
        self.assertIn("Predicted in", theirs.out, theirs.err)
        expected = [line for line in theirs.out.split("\n") if line and "Predicted in" not in line]
        ours, marks = self.lines([data, cfg, weights, photo, "-thresh", thresh])
        self.assertEqual(marks, 1 if expected else 0)
        self.assertEqual(ours, expected)
        return len(expected)


class SmallNetworks(Comparison):
    """On the random networks of tests/oracle."""

    def test_small_classifiers(self):
        wide, tall = write(self.path("wide.png"), png(90, 31)), write(self.path("tall.png"), png(17, 64))
        for name in ("vgg", "resnet", "resnext", "densenet"):
            cfg, weights = network(name)
            for photo in (self.photo, wide, tall):
                with self.subTest(name=name, photo=photo):
                    self.same_classes(cfg, weights, photo, classes_of(cfg))

    def test_small_detectors(self):
        boxes = 0
        for name in ("yolov1", "yolov2", "yolov3-tiny", "yolov3"):
            cfg, weights = network(name)
            for thresh in (.02, .2, .5):
                with self.subTest(name=name, thresh=thresh):
                    boxes += self.same_boxes(cfg, weights, self.photo, classes_of(cfg), thresh=thresh)
        self.assertGreater(boxes, 20)

    def test_grey_alpha_and_16_bit_pictures(self):
        cfg, weights = network("resnet")
        for depth, colour in ((8, 0), (8, 6), (16, 2), (16, 0)):
            with self.subTest(depth=depth, colour=colour):
                photo = write(self.path(f"{depth}-{colour}.png"), png(33, 21, depth, colour))
                self.same_classes(cfg, weights, photo, classes_of(cfg))


def classes_of(cfg):
    """Classes of a small network, counted by critpath itself."""
    with open(cfg) as lines:
        found = [line.split("=")[1] for line in lines if line.replace(" ", "").startswith("classes=")]
    if found:
        return int(found[-1])
    layers = json.loads(critpath("layers", cfg, "-json").out)["layers"]
    return next(layer["outputs"] for layer in layers if layer["head"])


class RealNetworks(Comparison):
    """On the networks and photos of the shared data."""

    def setUp(self):
        super().setUp()
        self.weights = shared("weights")
        if sanitized():
            self.skipTest("a sanitized build: real networks are compared in the plain one")
        if not self.weights:
            self.skipTest("no shared data (CRITPATH_DATA): real networks are not compared")

    def unpack(self, archive, wanted):
        path = shared("images", archive)
        if not path:
            self.skipTest(f"no {archive} in the shared data")
        photos = []
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and member.name.lower().endswith((".jpg", ".jpeg", ".png")) and wanted(member.name):
                    photos.append(write(self.path(os.path.basename(member.name)), tar.extractfile(member).read()))
                    if len(photos) == 2:
                        break
        self.assertTrue(photos)
        return photos

    def test_imagenet_classifiers(self):
        photos = self.unpack("imagenet-sample-256.tar", lambda name: True)
        for name in ("squeezenet", "tiny"):
            for photo in photos:
                with self.subTest(name=name, photo=photo):
                    self.same_classes(f"{self.weights}/{name}.cfg", f"{self.weights}/{name}.weights", photo, 1000,
                                      f"{self.weights}/imagenet1k.names")

    def test_coco_detector(self):
        photos = self.unpack("coco128.tar", lambda name: "images/" in name)
        cfg, weights = f"{self.weights}/yolo-fastest-1.1-xl.cfg", f"{self.weights}/yolo-fastest-1.1-xl.weights"
        boxes = 0
        for photo in photos:
            for thresh in (.5, .1):
                with self.subTest(photo=photo, thresh=thresh):
                    boxes += self.same_boxes(cfg, weights, photo, 80, f"{self.weights}/coco.names", thresh)
        self.assertGreater(boxes, 5)

    def test_face_detector(self):
        photos = self.unpack("coco128.tar", lambda name: "images/" in name)
        cfg, weights = f"{self.weights}/yoloface-50k.cfg", f"{self.weights}/yoloface-50k.weights"
        for photo in photos:
            with self.subTest(photo=photo):
                self.same_boxes(cfg, weights, photo, 1, f"{self.weights}/face.names", .1)


class Lineage(FolderTest):
    """Whose Darknet a network is answered for; the counts of boxes are those of AlexeyAB's own build."""

    def explain(self, cfg, *options):
        weights, scene = (shared("..", "cases", name) for name in ("tiny.weights", "scene.png"))
        if not scene:
            self.skipTest("no shared cases (CRITPATH_DATA)")
        result = critpath("explain", shared("..", "cases", cfg), weights, scene, "-thresh", ".45", "-no-picture", "-json",
                          "-out", self.path("x"), *options, folder=self.folder)
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out), result.err

    def test_decoding(self):
        for cfg, boxes in {"scale_x_y.cfg": 201, "nms_kind.cfg": 352, "letter_box.cfg": 189}.items():
            with self.subTest(cfg=cfg):
                item, _ = self.explain(cfg)
                self.assertEqual(len(item["prediction"]), boxes)
                self.assertFalse(item["input"]["letterbox"])
                self.assertEqual(item["model"]["host"], "alexey")
                self.assertIn(cfg[:-4], item["model"]["host_reason"])
                lefts = [box["photo_xywh"][0] for box in item["prediction"]]
                self.assertEqual(lefts, sorted(lefts))

    def of_host(self, cfg, classes, *options):
        """What `detector valid` writes of the scene: (class, probability, left, top, right, bottom), cut to the photo."""
        write(self.path("list"), (shared("..", "cases", "scene.png") + "\n") * 4)
        names = [f"thing{i}" for i in range(classes)]
        write(self.path("names"), "\n".join(names) + "\n")
        os.makedirs(self.path("results"), exist_ok=True)
        write(self.path("host.data"), f"classes={classes}\nnames={self.path('names')}\nvalid={self.path('list')}\n"
              f"results={self.path('results')}\n")
        result = darknet("detector", "valid", self.path("host.data"), shared("..", "cases", cfg),
                         shared("..", "cases", "tiny.weights"), *options, folder=self.folder)
        self.assertEqual(result.code, 0, result.err)
        boxes = set()
        for number, name in enumerate(names):
            with open(self.path(f"results/comp4_det_test_{name}.txt")) as lines:
                boxes |= {(number, *map(float, line.split()[1:])) for line in lines}
        return sorted(boxes)

    def test_positions_of_the_host(self):
        """Darknet's own verb finds the same boxes in the same places, of its own accord for a later network, and when asked. (As
        Debian's it merges in pixels, and of equally probable boxes, which these random weights give, others are left.)"""
        for cfg, host in itertools.product(("scale_x_y.cfg", "nms_kind.cfg", "letter_box.cfg", "tiny.cfg"), ("", "alexey")):
            if (cfg, host) == ("tiny.cfg", ""):
                continue
            with self.subTest(cfg=cfg, host=host):
                options = ["-host", host] if host else []
                item, _ = self.explain(cfg, "-thresh", ".005", *options)
                w, h = item["photo"]["width"], item["photo"]["height"]
                with open(shared("..", "cases", cfg)) as lines:
                    classes = int(re.search(r"^classes *= *(\d+)", lines.read(), re.M).group(1))
                ours = []
                for box in item["prediction"]:
                    x, y, bw, bh = box["photo_xywh"]
                    ours.append((box["class"], box["probability"], max(1, x + 1), max(1, y + 1), min(w, x + bw + 1), min(h, y + bh + 1)))
                theirs = self.of_host(cfg, classes, *options)
                self.assertEqual(len(ours), len(theirs))
                for other in theirs:
                    near = [mine for mine in ours if mine[0] == other[0] and abs(mine[1] - other[1]) < 2e-6
                            and all(abs(a - b) < 2e-3 for a, b in zip(mine[2:], other[2:]))]
                    self.assertTrue(near, other)

    def test_asked_for(self):
        item, warnings = self.explain("scale_x_y.cfg", "-host", "debian")
        self.assertTrue(item["input"]["letterbox"])
        self.assertEqual((item["model"]["host"], item["model"]["host_reason"]), ("debian", "asked for"))
        self.assertIn("scale_x_y", warnings)
        plain, _ = self.explain("tiny.cfg")
        self.assertEqual(item["prediction"], plain["prediction"])
        item, _ = self.explain("tiny.cfg", "-host", "hankai")
        self.assertEqual(item["input"]["fit"], "stretched")
        self.assertFalse(item["input"]["letterbox"])


if __name__ == "__main__":
    main()
