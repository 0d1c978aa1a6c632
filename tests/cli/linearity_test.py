"""`faithful` and `linearity`: that text, JSON and files say the same, and what hangs together does."""
import csv
import json
import math
import os
import re

from harness import ROOT, FolderTest, main, network

RESNET = network("resnet")
YOLO = network("yolov3")
TINY = network("yolov3-tiny")
VGG = network("vgg")
SIGNS = [os.path.join(ROOT, *name.split("/")) for name in
         ("cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights", "examples/signs-two.png")]


class Faithful(FolderTest):
    def report(self, *arguments):
        return json.loads(self.done("faithful", *arguments, "photo.png", "-json", "-quiet", "-out", "r").out)["faithful"]

    def test_json_and_csv_agree(self):
        report = self.report(*RESNET, "-draws", 3, "-sparsity", ".5,.9")
        self.assertEqual(self.files(), ["photo.png", "r.faithful.csv", "r.faithful.png", "r.sparsest.path.npz"])
        points = report["points"]
        self.assertEqual(points[0]["kept"], 0)
        self.assertEqual(points[-1]["share"], 1)
        self.assertEqual(points[0]["keep"]["response"], report["empty"]["response"])
        self.assertEqual(points[-1]["keep"]["response"], report["full"]["response"])
        self.assertEqual(points[0]["remove"], {**points[0]["remove"], **report["full"]})
        with open(self.path("r.faithful.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([int(row["kept"]) for row in rows], [point["kept"] for point in points])
        full, empty = report["full"]["response"], report["empty"]["response"]
        for row, point in zip(rows, points):
            for curve in ("keep", "remove", "keep_random", "remove_random"):
                self.assertAlmostEqual(float(row[curve + "_response"]), point[curve]["response"], delta=1e-6)
                share = (point[curve]["response"] - empty) / (full - empty)
                self.assertAlmostEqual(point[curve]["f"]["response"], share, delta=1e-9 * (1 + abs(share)))
        paths = [point for point in points if point["kept"] <= report["largest"]]
        self.assertEqual(paths[-1]["kept"], report["largest"])
        area = sum((b["kept"] - a["kept"]) * (a["keep"]["f"]["response"] + b["keep"]["f"]["response"]) / 2
                   for a, b in zip(paths, paths[1:])) / report["largest"]
        self.assertAlmostEqual(area, report["area"]["keep"]["response"], delta=1e-9 * (1 + abs(area)))

    def test_same_bytes_for_any_threads_and_memory(self):
        first = self.report(*RESNET, "-draws", 2, "-threads", 1)
        self.assertEqual(first, self.report(*RESNET, "-draws", 2, "-threads", 2, "-mem", "1G"))
        self.assertNotEqual(first, self.report(*RESNET, "-draws", 2, "-seed", 2))

    def test_sparsest_path_keeps_the_class(self):
        report = self.report(*VGG)
        sparsest = report["sparsest"]
        self.assertTrue(sparsest["found"] and sparsest["argmax"])
        if sparsest["kept"]:
            path = json.loads(self.done("grad", *VGG, "photo.png", "-path", "r.sparsest.path.npz", "-json", "-quiet",
                                        "-out", "g", "-offpath", "zeroed").out)
            self.assertAlmostEqual(path["grad"]["zeroed_response"], sparsest["measure"]["response"], places=4)

    def test_detection(self):
        out = self.done("faithful", *YOLO, "photo.png", "-thresh", ".005", "-quiet", "-eps", ".2").out
        self.assertRegex(out, r"(?m)^response: class logit of class \d+, box 1 .* probability 0\.\d+; all neurons zero")
        self.assertRegex(out, r"sparsest path that keeps the prediction \(a box of the class overlaps it by an IoU of at least "
                              r"0\.5, with a probability of at least 0\.\d+\)")

    def test_why_all_that_score_are_not_the_whole(self):
        note = r"all ([\d,]+) neurons that score give f = (-?\d+\.\d+), not 1: in ([\d,]+) of ([\d,]+) max-pool windows"
        for network_files, leaky in ((TINY, True), (VGG, False)):
            report = self.report(*network_files, "-thresh", ".005", "-offpath", "zeroed")
            keep = [point["keep"]["f"]["response"] for point in report["points"] if point["kept"] == report["largest"]]
            text = self.done("faithful", *network_files, "photo.png", "-thresh", ".005", "-quiet", "-offpath",
                             "zeroed").out
            told = re.search(note, text)
            self.assertEqual(report["pool_windows_below_zero"] > 0, leaky) # ReLU has no winner below zero
            self.assertEqual(bool(told), leaky and abs(keep[0] - 1) > .05, keep)
            if told:
                numbers = [int(number.replace(",", "")) for number in told.group(1, 3, 4)]
                self.assertEqual(numbers,
                                 [report["largest"], report["pool_windows_below_zero"], report["pool_windows"]])
                self.assertAlmostEqual(float(told.group(2)), keep[0], places=3)

    def test_all_that_score_are_the_whole_where_pools_see_the_path(self):
        report = self.report(*TINY, "-thresh", ".005", "-draws", 0, "-checks", 0)
        self.assertEqual((report["offpath"], report["sparsest"]), ("kept", None))
        last = next(point for point in report["points"] if point["kept"] == report["largest"])
        self.assertAlmostEqual(last["keep"]["f"]["response"], 1, places=4)
        self.assertTrue(last["keeps"])
        self.assertIsNone(last["keep_random"]["response"])

    def test_bad_values(self):
        for option, value in (("-eps", "1.5"), ("-draws", "-1"), ("-checks", "-1"), ("-offpath", "frozen"), ("-seed", "-1"), ("-sparsity", "1")):
            with self.subTest(option=option):
                result = self.critpath("faithful", *RESNET, "photo.png", option, value)
                self.assertEqual(result.code, 2)
                self.assertIn(option, result.err)


class Linearity(FolderTest):
    def report(self, *arguments):
        return json.loads(self.done("linearity", *arguments, "photo.png", "-json", "-quiet").out)["linearity"]

    def test_exact_and_estimate(self):
        exact = self.report(*VGG, "-norms", "exact")
        estimate = self.report(*VGG, "-norms", "estimate")
        for name in ("frozen", "full"):
            self.assertTrue(exact[name]["exact"])
            self.assertFalse(estimate[name]["exact"])
            nearest = min(exact[name][kind]["distance"] for kind in ("unit", "window"))
            self.assertEqual(exact[name]["radius"], 0 if exact[name]["tied_rivals"] else nearest)
            for kind in ("unit", "window"):
                border = exact[name][kind]
                self.assertTrue(math.isclose(border["distance"], border["gap"] / border["gradient"], rel_tol=1e-9))
                ratio = estimate[name][kind]["distance"] / border["distance"]
                self.assertTrue(1 - 1e-5 <= ratio <= 1.1, ratio)
            self.assertEqual(sum(d["neurons"] for d in exact[name]["decades"]),
                             exact[name]["neurons"] - exact[name]["flat"])
        self.assertEqual(exact["frozen"]["neurons"], exact["kept"])
        self.assertEqual(self.files(), ["photo.png"])

    def test_text(self):
        out = self.done("linearity", *VGG, "photo.png", "-norms", "estimate", "-quiet").out
        self.assertIn("an ESTIMATE (64 probes", out)
        self.assertRegex(out, r"(?m)^frozen path: +radius (<= )?[0-9.e-]+: neurons [0-9.e-]+, max-pools [0-9.e-]+ \(")
        self.assertRegex(out, r"nearest neuron: +layer \d+ convolutional, neuron \d+,\d+,\d+; \|z\|")
        exact = self.done("linearity", *VGG, "photo.png", "-norms", "exact", "-quiet", "-maxpool", 0).out
        self.assertIn("; exact (", exact)
        self.assertIn("max-pools left out", exact)
        self.assertNotIn("ESTIMATE", exact)

    def test_ties_are_told_once(self):
        """An area of one colour ties rivals in max-pools: the radius is 0; the distances beside it are of others."""
        out = self.critpath("linearity", *SIGNS, "-quiet", "-probes", 8, "-refine", 8).out
        full = re.search(r"(?m)^full network: radius 0: [\d,]+ rivals are tied .*\n +without these ties <= (\S+): "
                         r"neurons (\S+), max-pools (\S+) \(", out)
        self.assertTrue(full, out)
        radius, neurons, pools = map(float, full.groups())
        self.assertEqual(radius, min(neurons, pools))
        frozen = re.search(r"(?m)^frozen path: +radius <= (\S+): neurons (\S+), max-pools (\S+) \(", out)
        self.assertTrue(frozen, out)
        self.assertEqual(float(frozen[1]), min(float(frozen[2]), float(frozen[3])))

    def test_same_bytes_for_any_threads(self):
        self.assertEqual(self.report(*RESNET, "-threads", 1), self.report(*RESNET, "-threads", 2, "-mem", "1G"))

    def test_smooth_activations_have_no_region(self):
        result = self.critpath("linearity", *network("activations"), "photo.png", "-sparsity", ".5", "-quiet")
        self.assertEqual(result.code, 2)
        self.assertRegex(result.err, r"^critpath: linearity: layer \d+ has activation \w+; supported are relu")


if __name__ == "__main__":
    main()
