"""eval: maps and tests by name, true and predicted boxes, the results and their numbers, a run that goes on."""
import csv
import json
import os
import signal
import subprocess
import time
import unittest

import numpy

from harness import DARKNET, FolderTest, main, network, png, write

RESNET = network("resnet")
YOLO = network("yolov3")
QUICK = ("-points", "2", "-metrics", "deletion,energy,pointing", "-no-picture")


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Eval(FolderTest):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("images"))
        os.makedirs(self.path("labels"))
        self.photos = []
        for i, size in enumerate(((40, 30), (30, 40), (36, 36))):
            self.photos.append(f"images/p{i}.png")
            write(self.path(self.photos[-1]), png(*size))

    def refused(self, *arguments):
        result = self.critpath("eval", *arguments)
        self.assertEqual(result.code, 2, result.out)
        return result.err

    def test_classifier_gets_the_rows_that_never_look(self):
        self.done("eval", *RESNET, *self.photos, *QUICK, "-methods", "contribution,pathway@.9~.02", "-out", "r")
        manifest, *records = lines(self.path("r.jsonl"))
        self.assertEqual([m["name"] for m in manifest["plan"]["maps"]],
                         ["contribution", "pathway@.9~.02", "centre", "random"])
        self.assertEqual([m["read"] for m in manifest["plan"]["maps"]], ["signed", "magnitude", "signed", "signed"])
        self.assertEqual([m["blur"] for m in manifest["plan"]["maps"]], [0, .02, 0, 0])
        self.assertEqual(len(records), 3)
        for record in records:
            self.assertIsNone(record["responses"][0]["box"])
            self.assertIsNone(record["responses"][0]["maps"]["random"]["energy"])

    def test_means_and_errors_are_those_of_the_lines(self):
        result = self.done("eval", *RESNET, *self.photos, *QUICK, "-methods", "gradient", "-out", "r")
        with open(self.path("r.csv"), encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["map"] == "gradient"]
        values = numpy.array([float(row["deletion"]) for row in rows])
        stored = [r["responses"][0]["maps"]["gradient"]["deletion"] for r in lines(self.path("r.jsonl"))[1:]]
        self.assertTrue(numpy.allclose(values, stored, atol=1e-6))
        shown = next(line for line in result.out.splitlines() if line.startswith("  gradient"))
        self.assertIn(f"{values.mean():.4f} ({values.std(ddof=1) / 3 ** .5:.4f})", shown)
        self.assertEqual({row["read"] for row in rows}, {"magnitude"})
        # The area is that of the curve, whose points are equally far from each other.
        curve = lines(self.path("r.jsonl"))[1]["responses"][0]["maps"]["gradient"]["deletion_curve"]
        self.assertAlmostEqual((curve[0] / 2 + curve[1] + curve[2] / 2) / 2, stored[0], 5)

    def test_noise_differs_between_photos_and_not_between_runs(self):
        for name in ("a", "b"):
            self.done("eval", *YOLO, *self.photos[:2], *QUICK, "-thresh", ".2", "-methods", "random", "-out", name)
        first, again = (lines(self.path(f"{name}.jsonl")) for name in ("a", "b"))
        self.assertEqual(first, again)
        energies = [r["responses"][0]["maps"]["random"]["energy"] for r in first[1:]]
        self.assertNotEqual(*energies)

    def test_boxes_are_true_where_a_label_says_so(self):
        found = json.loads(self.done("explain", *YOLO, self.photos[0], "-thresh", ".2", "-json", "-no-picture").out)
        best = max(found["prediction"], key=lambda d: d["probability"])
        x, y, w, h = best["photo_xywh"]
        line = f"{best['class']} {(x + w / 2) / 40} {(y + h / 2) / 30} {w / 40} {h / 30}\n"
        other = f"{best['class']} .1 .1 .05 .05\n"
        run = ("eval", *YOLO, self.photos[0], *QUICK, "-thresh", ".2", "-methods", "gradient")
        self.assertIn("0 of 1 boxes are true", self.done(*run, "-out", "none").out)
        write(self.path("labels/p0.txt"), other + line)
        self.assertIn("1 of 1 boxes are true", self.done(*run, "-out", "both").out)
        write(self.path("labels/p0.txt"), other)
        self.assertIn("0 of 1 boxes are true", self.done(*run, "-out", "far").out)
        values = [lines(self.path(f"{n}.jsonl"))[1]["responses"][0]["maps"]["gradient"]["energy"] for n in ("none", "both")]
        self.assertAlmostEqual(*values, 3) # the label is the predicted box
        write(self.path("labels/p0.txt"), "broken\n")
        self.assertIn("p0.txt", self.refused(*run[1:], "-out", "broken"))

    def place(self, name, *run):
        self.done(*run, "-out", name)
        record = lines(self.path(name + ".jsonl"))[1]["responses"][0]
        return record["box"], record["maps"]["centre"]

    def test_a_mask_takes_the_place_of_a_box(self):
        """`centre` is a blob in the middle: a mask of the middle holds its top, one of the rim does not."""
        os.makedirs(self.path("masks"))
        inner = [[12 <= x < 28 and 10 <= y < 20 for x in range(40)] for y in range(30)]

        def mask(levels):
            return png(40, 30, colour=0, rows=b"".join(b"\0" + bytes(row) for row in levels))
        run = ("eval", *RESNET, self.photos[0], "-no-picture", "-methods", "gradient", "-metrics",
               "energy,lift,pointing,ranking,compactness")
        self.assertEqual(self.place("none", *run)[0], None)
        write(self.path("masks/p0.png"), mask([[255 * v for v in row] for row in inner]))
        source, inside = self.place("in", *run)
        self.assertEqual((source, inside["pointing"]), ("mask", 1))
        write(self.path("masks/p0.png"), mask([[7 * (not v) for v in row] for row in inner]))
        outside = self.place("out", *run)[1]
        self.assertEqual(outside["pointing"], 0)
        self.assertAlmostEqual(inside["energy"] + outside["energy"], 1, 5)
        self.assertGreater(inside["ranking"], .9)
        self.assertGreater(inside["lift"], 1)
        self.assertLess(outside["lift"], 1)
        write(self.path("masks/p0.png"), mask([[0] * 40] * 30))
        result = self.done(*run, "-out", "empty")
        self.assertIn("masks/p0.png: has no pixel of the object", result.err)
        self.assertIn("1 masks", result.out)
        values = lines(self.path("empty.jsonl"))[1]["responses"][0]["maps"]["centre"]
        self.assertEqual(set(values.values()), {None})
        write(self.path("masks/p0.png"), png(30, 30))
        self.assertIn("masks/p0.png: a mask of 30x30, its photo has 40x30", self.refused(*run[1:], "-out", "size"))

    def test_grey_levels_of_a_mask_are_the_lines_of_the_labels(self):
        os.makedirs(self.path("masks"))
        found = json.loads(self.done("explain", *YOLO, self.photos[0], "-thresh", ".2", "-json", "-no-picture").out)
        best = max(found["prediction"], key=lambda d: d["probability"])
        x, y, w, h = best["photo_xywh"]
        line = f"{best['class']} {(x + w / 2) / 40} {(y + h / 2) / 30} {w / 40} {h / 30}\n"
        run = ("eval", *YOLO, self.photos[0], *QUICK, "-thresh", ".2", "-methods", "gradient")
        left = b"".join(b"\0" + bytes([1] * 20 + [2] * 20) for _ in range(30))
        write(self.path("masks/p0.png"), png(40, 30, colour=0, rows=left))
        self.assertEqual(self.place("bare", *run)[0], "predicted") # no label says which level is meant
        other = f"{best['class']} .1 .1 .05 .05\n"
        energies = []
        for labels in (line + other, other + line):
            write(self.path("labels/p0.txt"), labels)
            source, values = self.place(f"l{len(energies)}", *run)
            self.assertEqual(source, "mask")
            energies.append(values["energy"])
        self.assertAlmostEqual(sum(energies), 1, 5)
        write(self.path("masks/p0.png"), png(40, 30))
        self.assertIn("has the colour", self.refused(*run[1:], "-out", "colours"))

    def test_rows_and_columns_carry_their_own_values(self):
        """Planted: `box` is the box, `centre` is not; the same values by name in any order and company."""
        base = ("eval", *YOLO, self.photos[0], "-points", "2", "-thresh", ".2", "-no-picture")
        names = ["cell", "gradient", "box", "centre", "random"]
        tests = ["energy", "deletion", "ranking", "gini"]

        def table(methods, metrics, out):
            text = self.done(*base, "-methods", ",".join(methods), "-metrics", ",".join(metrics), "-out", out).out.splitlines()
            start = next(i for i, line in enumerate(text) if line.startswith("  map "))
            columns = text[start].split()[1:]
            rows = {}
            for line in text[start + 1:]:
                words = line.replace("|.|", "").split()
                if len(words) == 1 + len(columns) and words[0] in names:
                    rows[words[0]] = dict(zip(columns, words[1:]))
            return rows
        whole = table(names, tests, "whole")
        self.assertEqual(sorted(whole), sorted(names))
        self.assertGreater(float(whole["box"]["energy"]), float(whole["random"]["energy"]))
        self.assertGreater(float(whole["box"]["gini"]), float(whole["random"]["gini"]))
        self.assertEqual(table(names[::-1], tests[::-1], "back"), whole)
        for test in tests:
            alone = table(names[2:], [test], "alone")
            for name, values in alone.items():
                self.assertEqual(values, {test: whole[name][test]})
        with open(self.path("whole.csv"), encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for test in tests:
                    self.assertAlmostEqual(float(row[test]), float(whole[row["map"]][test]), 4)

    def test_paths_by_other_scores(self):
        run = ("eval", *RESNET, self.photos[0], "-no-picture", "-metrics", "deletion,cpr,sufficiency", "-points", "2")
        names = ("pathway@.5", "pathway:mct@.5", "pathway:intgrad@.5", "pathway-zeroed:intgrad@.5", "contribution:lrp",
                 "pathway:random@.5", "pathway:random@0", "pathway:active", "pathway:active@.5")
        self.done(*run, "-methods", ",".join(names), "-out", "r")
        maps = lines(self.path("r.jsonl"))[1]["responses"][0]["maps"]
        self.assertEqual(maps["pathway@.5"], maps["pathway:mct@.5"])
        # One ranking, one CPR, and another one for other scores; the zeroed map is another one of the same path.
        self.assertEqual(maps["pathway:intgrad@.5"]["cpr"], maps["pathway-zeroed:intgrad@.5"]["cpr"])
        self.assertEqual(maps["pathway:intgrad@.5"]["sufficiency"], maps["pathway-zeroed:intgrad@.5"]["sufficiency"])
        self.assertEqual(len({maps[n]["cpr"] for n in ("pathway@.5", "pathway:intgrad@.5", "contribution:lrp",
                                                       "pathway:random@.5")}), 4)
        self.assertAlmostEqual(maps["pathway:random@0"]["sufficiency"], 1, 4)
        self.assertEqual(maps["pathway:active"], maps["pathway:active@.5"]) # all that is active, whatever the sparsity
        # They are the maps that explain writes of the same paths: Gini's index of these, computed here.
        def gini(plane):
            value = numpy.sort(numpy.maximum(plane.astype(float).ravel(), 0))
            return 1 - 2 * ((value.size - numpy.arange(value.size) - .5) * value / value.sum()).sum() / value.size
        for score in ("intgrad", "lrp", "eapig"):
            self.done("explain", *RESNET, self.photos[2], "-no-picture", "-method", score, "-sparsity", ".5", "-out", "e")
            self.done("eval", *RESNET, self.photos[2], "-no-picture", "-metrics", "gini", "-out", "g",
                      "-methods", f"contribution:{score}@.5,pathway:{score}@.5")
            found = lines(self.path("g.jsonl"))[1]["responses"][0]["maps"]
            whole = numpy.load(self.path("e.npy"))
            gradient = numpy.abs(whole).max(0)
            self.assertAlmostEqual(found[f"contribution:{score}@.5"]["gini"], gini(numpy.load(self.path("e.heat.npy"))[0]), 5)
            self.assertAlmostEqual(found[f"pathway:{score}@.5"]["gini"], gini(gradient), 5)
        self.done("sanity", *RESNET, self.photos[0], "-methods", "pathway:intgrad@.5,contribution:eapig", "-stages", "1",
                  "-no-picture", "-out", "s")

    def test_progress_names_photo_response_map_and_test(self):
        """On a terminal of its own; a list says how many photos are done, too."""
        for photos, words in ((self.photos[:1], (rb"eval +\d+%", rb" left  p0.png: class \d+ \d+%: [a-z]+, [a-z-]+")),
                              (self.photos, (rb"eval \d/3 ", rb" left  p\d.png: class \d+ \d+%: [a-z]+, [a-z-]+"))):
            try:
                terminal, other = os.openpty()
            except OSError:
                self.skipTest("no terminal is to be had")
            run = ("eval", *YOLO, *photos, "-thresh", ".2", "-points", "1000", "-metrics", "road-morf,road-lerf,deletion,insertion",
                   "-threads", "1", "-no-picture", "-methods", "smoothgrad,rise,occlusion", "-out", "r")
            process = subprocess.Popen([DARKNET, "critpath", *run], cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=other)
            os.close(other)
            seen = b""
            try:
                while part := os.read(terminal, 65536):
                    seen += part
            except OSError:
                pass  # the other end is closed
            os.close(terminal)
            self.assertEqual(process.wait(), 0)
            for word in words:
                self.assertRegex(seen, word)

    def test_names_move_no_cursor(self):
        bad = "a\x1b[2Jb"
        shown = "a\\x1b[2Jb"
        for command in ("eval", "sanity"):
            arguments = ("-methods", "gradient", "-out", bad) + (QUICK if command == "eval" else ("-stages", "1", "-no-picture"))
            result = self.done(command, *RESNET, self.photos[0], *arguments)
            self.assertIn(shown, result.out)
            self.assertNotIn("\x1b", result.out + result.err)
            self.assertTrue([f for f in self.files() if f.startswith(bad)])

    def test_goes_on_where_it_stopped(self):
        run = ("eval", *RESNET, *QUICK, "-methods", "gradient")
        self.done(*run, *self.photos, "-out", "whole")
        self.done(*run, *self.photos[:2], "-out", "part")
        with open(self.path("part.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"index": 2, "image": "tor')  # as a kill leaves it
        result = self.done(*run, *self.photos, "-out", "part", "-resume")
        self.assertIn("goes on after 2 images", result.err)
        self.assertEqual(lines(self.path("whole.jsonl")), lines(self.path("part.jsonl")))
        message = self.refused(*run[1:], *self.photos[:2], "-out", "part", "-resume", "-seed", "7")
        self.assertIn("seed", message)

    def long_run(self):
        for i in range(3, 12):
            self.photos.append(f"images/p{i}.png")
            write(self.path(self.photos[-1]), png(20 + i, 33))
        return ("eval", *RESNET, *self.photos, "-threads", "1", "-no-picture", "-metrics", "deletion", "-methods",
                "gradient")

    def stop_in_the_middle(self, run, number):
        """Sends the signal after the first images, again where a busy machine let the run end before; its exit status."""
        for _ in range(5):
            process = subprocess.Popen([DARKNET, "critpath", *run, "-out", "part"], cwd=self.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not (os.path.exists(self.path("part.jsonl"))
                                                  and len(read(self.path("part.jsonl")).splitlines()) > 2):
                time.sleep(.002)
            process.send_signal(number)
            if process.wait():
                break
            os.remove(self.path("part.jsonl"))
        return process.returncode

    def test_killed_in_the_middle_it_ends_with_the_same_bytes(self):
        run = self.long_run()
        self.done(*run, "-out", "whole")
        self.assertEqual(self.stop_in_the_middle(run, signal.SIGKILL), -signal.SIGKILL)
        self.done(*run, "-out", "part", "-resume")
        for ending in (".jsonl", ".csv"):
            self.assertEqual(read(self.path("whole" + ending)), read(self.path("part" + ending)))

    def test_an_interrupt_keeps_what_is_done(self):
        run = self.long_run()
        self.assertNotEqual(self.stop_in_the_middle(run, signal.SIGINT), 0)
        self.assertIn("goes on after", self.done(*run, "-out", "part", "-resume").err)
        self.assertEqual(len(lines(self.path("part.jsonl"))), 1 + len(self.photos))

    def test_every_test_by_name_has_its_column(self):
        names = ("deletion,insertion,morf,lerf,road-morf,road-lerf,energy,lift,pointing,ranking,compactness,odi,gini,entropy,"
                 "sensitivity,sufficiency,necessity,cpr,cmd,seconds").split(",")
        for name in names:
            result = self.done("eval", *YOLO, self.photos[0], "-points", "2", "-thresh", ".2", "-no-picture", "-methods",
                               "contribution", "-metrics", name, "-out", "one")
            with open(self.path("one.csv"), encoding="utf-8") as file:
                row = next(csv.DictReader(file))
            self.assertEqual(list(row), ["image", "response", "box", "map", "read", "blur", name])
            self.assertEqual(row[name] == "", name == "odi", name) # there is no label file
            self.assertIn(f"  {name}: ", result.out)
            self.assertEqual(set(lines(self.path("one.jsonl"))[1]["responses"][0]["maps"]["contribution"])
                             - {"deletion_curve", "insertion_curve"}, {name})

    def test_same_bytes_at_any_thread_count_and_memory(self):
        run = ("eval", *YOLO, *self.photos, "-points", "3", "-thresh", ".2", "-no-picture", "-methods",
               "contribution,gradcam", "-metrics", "deletion,energy,cpr")
        self.done(*run, "-threads", "1", "-out", "one")
        self.done(*run, "-threads", "3", "-out", "three")
        self.done(*run, "-threads", "1", "-mem", "40M", "-out", "small")
        for other in ("three", "small"):
            for ending in (".jsonl", ".csv"):
                self.assertEqual(read(self.path("one" + ending)), read(self.path(other + ending)), other + ending)
        self.assertIn("-mem", self.critpath(*run, "-mem", "1K", "-out", "none").err)

    def test_a_picture_of_the_curves(self):
        run = ("eval", *RESNET, self.photos[0], "-points", "2", "-methods", "gradient")
        self.done(*run, "-metrics", "deletion,insertion", "-out", "r")
        self.assertEqual(read(self.path("r.png"))[:8], b"\x89PNG\r\n\x1a\n")
        self.done(*run, "-metrics", "deletion", "-out", "none")
        self.assertNotIn("none.png", self.files())

    def test_lists_that_are_empty_or_hold_a_bad_photo(self):
        write(self.path("empty.txt"), "")
        self.assertEqual(self.critpath("eval", *RESNET, *QUICK, "-methods", "gradient", "-out", "e", stdin=b"").code, 2)
        write(self.path("images/bad.png"), b"no picture")
        result = self.critpath("eval", *RESNET, self.photos[0], "images/bad.png", self.photos[1], *QUICK, "-methods",
                               "gradient", "-out", "b")
        self.assertEqual(result.code, 2)
        self.assertIn("images/bad.png", result.err)
        self.assertIn("2 responses of 2 images", result.out)

    def test_does_not_go_on_with_another_list(self):
        run = ("eval", *RESNET, *QUICK, "-methods", "gradient")
        self.done(*run, *self.photos[:2], "-out", "r")
        result = self.critpath(*run, self.photos[2], self.photos[1], "-out", "r", "-resume")
        self.assertEqual(result.code, 2)
        self.assertIn("image 1 of the list is images/p2.png, the results have images/p0.png there", result.err)

    def test_path_tests_belong_to_maps_that_read_a_path(self):
        self.done("eval", *RESNET, self.photos[0], "-methods", "contribution,gradient", "-no-picture", "-out", "r",
                  "-metrics", "sufficiency,necessity,cpr,cmd,sensitivity,gini,entropy,morf,lerf")
        maps = lines(self.path("r.jsonl"))[1]["responses"][0]["maps"]
        for name in ("sufficiency", "necessity", "cpr", "cmd"):
            self.assertIsNotNone(maps["contribution"][name])
            self.assertIsNone(maps["gradient"][name])
        self.assertEqual(maps["centre"]["sensitivity"], 0)
        self.assertGreater(maps["gradient"]["sensitivity"], 0)
        self.assertGreater(maps["random"]["entropy"], maps["contribution"]["entropy"])

    def test_what_is_wrong_is_named(self):
        run = (*RESNET, self.photos[0])
        for methods, words in (("gradcan", ('"gradcan"', 'did you mean "gradcam"?')), ("lrp", ("did you mean pathway:lrp",)),
                               ("pathway:lpr", ('did you mean "lrp"?',)), ("gradcam:lrp", ("gradcam reads no path",)),
                               ("pathway~.1@.9", ("@ comes behind ~",)), ("pathway@", ("nothing behind its @",)),
                               ("pathway@autos", ('"autos"',)), ("gradient@.9", ("gradient", "sparsity")),
                               ("pathway@1", ("pathway@1", "below 1")), ("gradient~.6", ("gradient~.6", "below 0.5")),
                               ("gradient,gradient", ("twice",)), ("gradient,", ("0 characters",))):
            message = self.refused(*run, "-methods", methods)
            for word in words:
                self.assertIn(word, message)
        self.assertIn('did you mean "deletion"?', self.refused(*run, "-metrics", "deletoin"))
        self.assertIn("layer 400", self.refused(*run, "-methods", "gradcam", "-layer", "400"))


class Grad(FolderTest):
    def plane(self, *arguments):
        self.done("grad", *arguments, "-no-picture", "-out", "m")
        return numpy.load(self.path("m.npy"))

    def test_every_map_by_name(self):
        names = ("contribution", "contribution-all", "contribution-coarse", "contribution-restricted", "pathway",
                 "pathway-zeroed", "inputmct", "inputintgrad", "smoothgrad", "gbp", "gradcam", "layercam", "odam", "eigencam",
                 "occlusion", "rise", "centre", "box", "cell")
        seen = set()
        for name in names:
            plane = self.plane(*YOLO, "photo.png", "-thresh", ".2", "-method", name)
            self.assertEqual(plane.shape[0], 1)
            self.assertTrue(numpy.isfinite(plane).all())
            if plane.any():
                seen.add(plane.tobytes())
        self.assertGreaterEqual(len(seen), len(names) - 3)

    def test_agrees_with_the_maps_that_have_other_ways(self):
        self.done("explain", *RESNET, "photo.png", "-no-picture", "-out", "e")
        self.assertTrue((self.plane(*RESNET, "photo.png", "-method", "contribution")[0]
                         == numpy.load(self.path("e.heat.npy"))[0]).all())
        self.done("grad", *RESNET, "photo.png", "-no-picture", "-sparsity", ".9", "-out", "g")
        full = numpy.load(self.path("g.npy"))
        largest = numpy.take_along_axis(full, numpy.abs(full).argmax(0)[None], 0)
        self.assertTrue((self.plane(*RESNET, "photo.png", "-method", "pathway", "-sparsity", ".9") == largest).all())

    def test_a_layer_for_the_class_activation_maps(self):
        chosen = self.plane(*RESNET, "photo.png", "-method", "gradcam")
        self.assertFalse((chosen == self.plane(*RESNET, "photo.png", "-method", "gradcam", "-layer", "2")).all())

    def test_a_sweep_and_pictures(self):
        self.done("grad", *RESNET, "photo.png", "-method", "contribution", "-sparsity", ".5,.9", "-out", "s")
        self.assertEqual([f for f in self.files() if f.startswith("s")], ["s-0.5.npy", "s-0.5.png", "s-0.9.npy", "s-0.9.png"])
        for picture in ("heat", "signed"):
            self.done("grad", *RESNET, "photo.png", "-method", "gbp", "-picture", picture, "-out", picture)
        line = json.loads(self.done("grad", *RESNET, "photo.png", "-method", "gradcam", "-json", "-out", "j").out)
        self.assertEqual(line["grad"]["method"], "gradcam")

    def test_what_does_not_go_together(self):
        for arguments, words in ((("-method", "gradcan"), "did you mean gradcam"), (("-method", "gbp", "-sparsity", ".9"), "no path"),
                                 (("-method", "gbp", "-layer", "2"), "-layer does nothing"),
                                 (("-method", "gbp", "-offpath", "zeroed"), "-offpath"), (("-method", "box"), "no detection"),
                                 (("-method", "gradcam", "-layer", "99"), "layer 99")):
            result = self.critpath("grad", *RESNET, "photo.png", *arguments, "-out", "w")
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(words, result.err)
        self.assertIn("Grad-CAM", self.critpath("grad", "-h", "gradcam").out)


if __name__ == "__main__":
    main()
