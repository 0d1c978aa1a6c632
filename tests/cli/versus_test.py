"""Why the one class and not the other: -versus, another class of a box, the best classes of a box."""
import json

import numpy

from harness import FolderTest, main, network

RESNET = network("resnet")
YOLO = network("yolov3")
BOX = ("-thresh", ".2", "-box", "1")


class Versus(FolderTest):
    def explain(self, net, *options, out="r"):
        done = self.done("explain", *net, "photo.png", "-json", "-picture", "none", "-out", out, *options)
        return json.loads(done.out)

    def response(self, net, *options):
        return self.explain(net, *options)["responses"][0]

    def gradient(self, net, *options):
        self.done("grad", *net, "photo.png", "-method", "gradient", "-no-picture", "-out", "g", *options)
        return numpy.load(self.path("g.npy"))

    def is_difference(self, net, *options):
        one, other = (self.response(net, *options, "-class", c) for c in "10")
        both = self.response(net, *options, "-class", "1", "-versus", "0")
        self.assertAlmostEqual(both["value"], one["value"] - other["value"], places=4)
        self.assertEqual((both["class"], both["versus"], both["unit"], both["versus_unit"]),
                         (1, 0, one["unit"], other["unit"]))
        g = [self.gradient(net, *options, *way) for way in (("-class", "1"), ("-class", "0"),
                                                            ("-class", "1", "-versus", "0"))]
        self.assertGreater(abs(g[2]).max(), 0)
        self.assertLess(abs(g[0] - g[1] - g[2]).max(), 1e-4 * abs(g[2]).max())
        return both

    def test_classifier(self):
        both = self.is_difference(RESNET)
        self.assertRegex(both["text"], r"^logit of class 1 less that of class 0 \(layer \d+, units 1 and 0\)$")
        self.assertRegex(both["paths"][0]["drawn"]["title"], r"^class 1 [\d.]+% over class 0 [\d.]+%$")
        top = self.response(RESNET)["class"]  # without -class: the top one
        self.assertEqual(self.response(RESNET, "-versus", str((top + 1) % 5))["class"], top)

    def test_detector(self):
        both = self.is_difference(YOLO, *BOX)
        self.assertRegex(both["text"],
                         r"^logit of class 1 less that of class 0, box 1 \(layer \d+, units \d+ and \d+\)$")

    def test_files_bring_both_units(self):
        for net, options in ((RESNET, ("-class", "1")), (YOLO, (*BOX, "-class", "1"))):
            value = self.response(net, *options, "-versus", "0")
            self.done("score", *net, "photo.png", "-out", "s", *options, "-versus", "0")
            self.done("path", *net, "-score", "s.score.npz", "-out", "p")
            for file in ("s.score.npz", "p.path.npz", "r.path.npz"):
                with numpy.load(self.path(file)) as arrays:
                    meta = json.loads(bytes(arrays["meta.json"]) if "meta.json" in arrays.files else
                                      arrays.zip.read("meta.json"))
                self.assertEqual([(u["index"], u["weight"]) for u in meta["response"]["units"]],
                                 [(value["unit"], 1), (value["versus_unit"], -1)])
            said = self.done("grad", *net, "photo.png", "-path", "p.path.npz", "-no-picture", "-out", "g").out
            self.assertIn(f"response: {value['text']} = ", said)

    def test_every_command_that_takes_a_class(self):
        for command, *options in (("faithful", "-no-picture"), ("compare", "-methods", "mct,random"), ("score",),
                                  ("path",),
                                  ("score", "-method", "intgrad"), ("score", "-method", "ablation", "-sample", "20"),
                                  ("prune", "-sparsity", ".5"), ("explain", "-offpath", "zeroed"),
                                  ("eval", "-methods", "gradient,contribution", "-points", "3")):
            with self.subTest(command=command):
                self.done(command, *RESNET, "photo.png", "-out", "c" + command, "-class", "1", "-versus", "0", *options)
        self.done("linearity", *RESNET, "photo.png", "-class", "1", "-versus", "0")
        self.done("linearity", *RESNET, "photo.png", "-class", "1", "-versus", "0")

    def test_refusals(self):
        for options, said in ((("-class", "1", "-versus", "1"), "-versus: class 1 is the class that is explained itself"),
                              (("-versus", "dog"), '-versus: "dog" needs names'),
                              (("-versus", "9999"), "-versus"),
                              (("-versus", "1", "-unit", "0:0"), "it goes without -versus")):
            refused = self.critpath("explain", *RESNET, "photo.png", *options)
            self.assertEqual(refused.code, 2, options)
            self.assertIn(said, refused.err)
        refused = self.critpath("explain", *YOLO, "photo.png", "-versus", "1", "-target", "x")
        self.assertEqual(refused.code, 2)
        self.assertIn("-versus: it compares classes, it goes without -target x", refused.err)

    def test_best_classes_of_a_box(self):
        explained = self.explain(YOLO, *BOX)
        box, response = explained["prediction"][0], explained["responses"][0]
        box = next(b for b in explained["prediction"] if b["box"] == 1)
        classes = response["classes"]
        own = next(c for c in classes if c["class"] == box["class"])
        self.assertAlmostEqual(own["probability"], box["probability"], places=6)
        self.assertAlmostEqual(own["logit"], response["value"], places=5)
        probabilities = [c["probability"] for c in classes]
        self.assertEqual(probabilities, sorted(probabilities, reverse=True))
        for c in classes:  # objectness times the logistic of the logit
            self.assertAlmostEqual(c["probability"], box["objectness"] / (1 + numpy.exp(-c["logit"])), places=5)
            asked = self.response(YOLO, *BOX, "-class", str(c["class"]))
            self.assertAlmostEqual(asked["value"], c["logit"], places=5)
            self.assertAlmostEqual(asked["probability"], c["probability"], places=6)
        text = self.done("explain", *YOLO, "photo.png", "-picture", "none", "-out", "r", *BOX).out.splitlines()
        place = next(i for i, line in enumerate(text) if "<- explained" in line)
        self.assertRegex(text[place + 1], r"^      class \d+ [\d.e-]+%(, class \d+ [\d.e-]+%)*$")
        self.assertEqual(text[place + 1].count("%"), len(classes))


if __name__ == "__main__":
    main()
