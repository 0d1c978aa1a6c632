"""The commands, run as a user runs them: what they print, what they write, and how files are named."""
import json
import os
import re
import shutil
import unittest
import zipfile

import numpy

from harness import ROOT, FolderTest, critpath, main, network, png, shared, write

RESNET = network("resnet")
YOLO = network("yolov3")
SIGNS = [os.path.join(ROOT, *name.split("/")) for name in
         ("cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights", "examples/signs-two.png")]
COMMANDS = ("explain", "layers", "score", "path", "grad")


def maps(path):
    return numpy.load(path, allow_pickle=False)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Usage(FolderTest):
    def test_usage_goes_to_stdout(self):
        for arguments in ((), ("help",), ("-h",), ("--help",), *(("help", c) for c in COMMANDS),
                          *((c, "-h") for c in COMMANDS), *((c, "--help") for c in COMMANDS)):
            with self.subTest(arguments=arguments):
                result = self.done(*arguments)
                self.assertIn("usage: darknet critpath", result.out)
                self.assertIn("example: darknet critpath", result.out)
                self.assertEqual(result.err, "")
                self.assertLessEqual(max(map(len, result.out.split("\n"))), 120)
        self.assertEqual(self.files(), ["photo.png"])

    def test_general_usage_names_every_command(self):
        out = self.done().out
        for command in COMMANDS:
            self.assertRegex(out, rf"\n  {command} +[A-Z]")

    def test_version(self):
        for ask in ("version", "-version", "--version"):
            self.assertRegex(self.done(ask).out, r"^critpath \d+\.\d+\.\d+\n$")

    def test_stdout_that_is_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        import subprocess
        from harness import DARKNET
        with open("/dev/full", "wb") as full:
            done = subprocess.run([DARKNET, "critpath", "help"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr.decode(), r"^critpath: stdout: cannot be written: .*\n$")


class Files(FolderTest):
    def check_path_file(self, name, layers):
        """Arrays of a path file against the neuron layers; returns the number of bits set."""
        arrays = numpy.load(self.path(name), allow_pickle=False)
        expected = {f"layer_{l['layer']:03d}_{l['type']}": tuple(l["output_chw"]) for l in layers if l["neuron_layer"]}
        with zipfile.ZipFile(self.path(name)) as archive:
            found = {n[:-4] for n in archive.namelist() if n.endswith(".npy")}
            meta = json.loads(archive.read("meta.json"))
        self.assertEqual(found, set(expected))
        for layer, shape in expected.items():
            self.assertEqual(arrays[layer].dtype, bool)
            self.assertEqual(arrays[layer].shape, shape)
        return sum(int(arrays[layer].sum()) for layer in expected), meta

    def test_explain_writes_what_it_says(self):
        layers = json.loads(self.done("layers", *RESNET, "-json").out)
        for command in (["-json"], []):
            result = self.done("explain", *RESNET, "photo.png", "-out", "why", *command)
            self.assertEqual(self.files(), ["photo.png", "why.heat.npy", "why.json", "why.npy", "why.path.npz",
                                            "why.png"])
            if command:
                printed = result.out
        with open(self.path("why.json")) as file:
            summary = json.load(file)
        printed = json.loads(printed)
        for each in (printed, summary):
            del each["seconds"], each["memory_peak_bytes"]
        self.assertEqual(printed, summary)
        path = summary["responses"][0]["paths"][0]
        bits, meta = self.check_path_file("why.path.npz", layers["layers"])
        self.assertEqual(bits, path["kept"])
        self.assertEqual(sum(l["kept"] for l in path["layers"]), path["kept"])
        self.assertEqual(path["asked"], path["kept"])
        self.assertEqual(summary["model"]["neurons"], layers["neurons"])
        self.assertEqual(summary["photo"]["width"], 40)
        pixels = maps(self.path("why.npy"))
        self.assertEqual(pixels.dtype, numpy.float32)
        self.assertEqual(list(pixels.shape), layers["input_chw"])
        self.assertTrue(numpy.abs(pixels).max() > 0)
        heat = maps(self.path("why.heat.npy"))
        self.assertEqual(list(heat.shape), [2] + layers["input_chw"][1:])
        self.assertTrue(heat.min() == 0 and heat[0].max() > 0)
        # The letterbox has bars; what is written says where the photo lies.
        self.assertEqual(summary["input"]["photo_xywh"][2], layers["input_chw"][2])
        with open(self.path("why.png"), "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

    def test_the_default_is_the_fewest_that_hold_the_mass(self):
        """Of the scores in a file, sorted: what is kept is enough, and one less is not. The sparsity printed is one to ask for."""
        self.done("score", *RESNET, "photo.png", "-out", "s")
        with numpy.load(self.path("s.score.npz")) as file:
            scores = numpy.concatenate([file[n].ravel() for n in sorted(file.files) if n.startswith("layer_")])
        scores = numpy.sort(scores.astype(float))[::-1]
        held = numpy.cumsum(scores) / scores.sum()
        for mass in (.5, .8, .95):
            out = json.loads(self.done("explain", *RESNET, "photo.png", "-mass", str(mass), "-out", "m", "-json").out)
            path = out["responses"][0]["paths"][0]
            self.assertEqual(path["kept"], int((held < mass * (1 - 1e-9)).sum()) + 1)
            self.assertAlmostEqual(path["mass"], held[path["kept"] - 1], 6)
            self.assertIsNone(path["sparsity_asked"])
            self.assertEqual(path["mass_asked"], mass)
            gradient = maps(self.path("m.npy"))
            self.done("grad", *RESNET, "photo.png", "-method", "gradient", "-out", "g")
            plain = numpy.abs(maps(self.path("g.npy")).astype(float)).sum()
            self.assertAlmostEqual(path["gradient_share"], numpy.abs(gradient.astype(float)).sum() / plain, 4)
        self.done("path", *RESNET, "photo.png", "-sparsity", repr(path["sparsity"]), "-out", "again")
        self.assertEqual(read(self.path("m.path.npz")).count(b"layer_"), read(self.path("again.path.npz")).count(b"layer_"))
        with numpy.load(self.path("m.path.npz")) as one, numpy.load(self.path("again.path.npz")) as other:
            for name in (n for n in one.files if n.startswith("layer_")):
                self.assertTrue((one[name] == other[name]).all(), name)

    def test_methods_that_only_order_have_no_mass(self):
        refused = self.critpath("path", *RESNET, "photo.png", "-method", "random", "-sparsity", "auto")
        self.assertEqual(refused.code, 2)
        self.assertIn("give a number", refused.err)
        path = json.loads(self.done("path", *RESNET, "photo.png", "-method", "random", "-json").out)["path"]
        self.assertAlmostEqual(path["sparsity"], .9, 3)

    def test_a_sparsity_asked_for_is_obeyed_with_a_note(self):
        result = self.done("explain", *RESNET, "photo.png", "-sparsity", "0", "-out", "all", "-json")
        self.assertIn("neurons that score above zero", result.err)
        self.assertTrue(json.loads(result.out)["responses"][0]["paths"][0]["all_that_score"])

    def test_no_picture(self):
        self.done("explain", *RESNET, "photo.png", "-out", "why", "-no-picture")
        self.assertEqual(self.files(), ["photo.png", "why.heat.npy", "why.json", "why.npy", "why.path.npz"])

    def test_quiet_leaves_stderr_empty(self):
        self.assertEqual(self.done("explain", *RESNET, "photo.png", "-quiet").err, "")
        self.assertIn("forward", self.done("explain", *RESNET, "photo.png").err)

    def test_several_sparsities_are_nested_and_named(self):
        self.done("explain", *RESNET, "photo.png", "-out", "s", "-sparsity", ".5,0.9,.95", "-no-picture")
        self.assertEqual([f for f in self.files() if f.endswith(".npz")],
                         ["s-0.5.path.npz", "s-0.9.path.npz", "s-0.95.path.npz"])
        loose, middle, tight = (numpy.load(self.path(f"s-{s}.path.npz")) for s in ("0.5", "0.9", "0.95"))
        for name in (n for n in loose.files if n.startswith("layer_")):
            self.assertFalse((middle[name] & ~loose[name]).any())
            self.assertFalse((tight[name] & ~middle[name]).any())
        with open(self.path("s.json")) as file:
            paths = json.load(file)["responses"][0]["paths"]
        self.assertEqual([p["sparsity_asked"] for p in paths], [.5, .9, .95])
        self.done("explain", *RESNET, "photo.png", "-out", "one", "-sparsity", ".9", "-no-picture")
        self.assertTrue((maps(self.path("one.npy")) == maps(self.path("s-0.9.npy"))).all())

    def test_all_boxes(self):
        printed = json.loads(self.done("explain", *YOLO, "photo.png", "-box", "all", "-thresh", ".61", "-json", "-out",
                                       "b", "-no-picture").out)
        boxes = printed["prediction"]
        self.assertGreater(len(boxes), 1)
        self.assertEqual([r["box"] for r in printed["responses"]], list(range(1, len(boxes) + 1)))
        probabilities = [r["probability"] for r in printed["responses"]]
        self.assertEqual(probabilities, sorted(probabilities, reverse=True))
        for box in range(1, len(boxes) + 1):
            self.assertTrue(os.path.exists(self.path(f"b-box{box}.npy")))
        self.done("explain", *YOLO, "photo.png", "-box", "2", "-thresh", ".61", "-out", "two", "-no-picture")
        self.assertTrue((maps(self.path("two.npy")) == maps(self.path("b-box2.npy"))).all())

    def test_targets_of_a_box_differ(self):
        seen = set()
        for target in ("class", "objectness", "x", "y", "w", "h"):
            printed = json.loads(self.done("explain", *YOLO, "photo.png", "-target", target, "-thresh", ".3", "-json",
                                           "-out", "t", "-no-picture").out)
            seen.add((printed["responses"][0]["layer"], printed["responses"][0]["unit"]))
        self.assertEqual(len(seen), 6)

    def test_class_by_name_number_and_data_file(self):
        write(self.path("some.names"), "".join(f"thing {i}\n" for i in range(100)))
        write(self.path("some.data"), "names = some.names\n")
        wanted = []
        for way in (["-class", "2"], ["-class", "thing 2", "-names", "some.names"]):
            wanted.append(json.loads(self.done("explain", *RESNET, "photo.png", *way, "-json", "-out", "x").out))
        wanted.append(json.loads(self.done("explain", "some.data", *RESNET, "photo.png", "-class", "THING 2", "-json",
                                           "-out", "x").out))
        for each in wanted:
            self.assertEqual(each["responses"][0]["class"], 2)
        self.assertEqual(wanted[2]["responses"][0]["name"], "thing 2")

    def test_names_of_another_network_are_said(self):
        classes = len(json.loads(self.done("explain", *RESNET, "photo.png", "-top", "100", "-json").out)["prediction"])
        write(self.path("more.names"), "".join(f"thing {i}\n" for i in range(classes + 2)))
        for count in (classes, classes + 2):
            write(self.path("some.data"), f"classes = {count}\nnames = more.names\n")
            note = f"some.data: classes={count}, but {RESNET[0]} has {classes} classes\n"
            self.assertEqual(note in self.done("explain", "some.data", *RESNET, "photo.png").err, count != classes)
        for way in (["some.data", *RESNET, "photo.png"], ["more.names", *RESNET, "photo.png"],
                    [*RESNET, "photo.png", "-names", "more.names"]):
            self.assertIn(f"more.names has {classes + 2} names, {RESNET[0]} has {classes} classes: the first {classes} "
                          "are used\n", self.done("explain", *way).err)
        refused = self.critpath("explain", *RESNET, "photo.png", "-names", "more.names", "-class", "nothing like it")
        self.assertEqual(refused.code, 2)
        self.assertIn(f"of the {classes} classes: thing 0, thing 1, ", refused.err)
        self.assertNotIn(f"thing {classes}", refused.err)

    def test_logits_are_no_probabilities(self):
        """A classifier without a softmax: its answer in logits, in text, summary and picture."""
        with open(RESNET[0]) as file:
            bare = write(self.path("bare.cfg"), file.read().split("[softmax]")[0])
        whole = json.loads(self.done("explain", *RESNET, "photo.png", "-json").out)
        result = self.done("explain", bare, RESNET[1], "photo.png", "-out", "b")
        with open(self.path("b.json")) as file:
            summary = json.load(file)
        for of_whole, of_bare, line in zip(whole["prediction"], summary["prediction"], result.out.splitlines()[1:]):
            self.assertIsNone(of_bare["probability"])
            self.assertEqual((of_bare["class"], of_bare["logit"]), (of_whole["class"], of_whole["logit"]))
            self.assertEqual(line.replace("  <- explained", ""), f"  {of_bare['logit']:.5g}  class {of_bare['class']}")
        self.assertIsNone(summary["responses"][0]["probability"])

    def test_unit_response_equals_class_response(self):
        a = json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-out", "a").out)["responses"][0]
        b = json.loads(self.done("explain", *RESNET, "photo.png", "-unit", f"{a['layer']}:{a['unit']}", "-json", "-out",
                                 "b").out)["responses"][0]
        self.assertEqual(a["value"], b["value"])
        self.assertTrue((maps(self.path("a.npy")) == maps(self.path("b.npy"))).all())

    def test_zeroed_differs_and_says_its_response(self):
        frozen = json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-out", "f").out)["responses"][0]
        zeroed = json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-out", "z", "-offpath",
                                      "zeroed").out)["responses"][0]
        self.assertIsNone(frozen["paths"][0]["map"]["zeroed_response"])
        self.assertNotAlmostEqual(zeroed["paths"][0]["map"]["zeroed_response"], frozen["value"], 5)
        self.assertFalse((maps(self.path("f.npy")) == maps(self.path("z.npy"))).all())

    def test_floor_keeps_a_share_of_every_layer(self):
        printed = json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-out", "f", "-sparsity", ".99",
                                       "-floor", ".02").out)
        for layer in printed["responses"][0]["paths"][0]["layers"]:
            if layer["score_share"] > 0 or layer["kept"]:
                self.assertGreaterEqual(layer["kept"], int(.02 * layer["neurons"]))

    def test_threads_do_not_change_a_byte(self):
        for network_files in (RESNET, YOLO):
            for threads in ("1", "2", "3"):
                self.done("explain", *network_files, "photo.png", "-thresh", ".2", "-out", "t" + threads, "-threads",
                          threads, OMP_NUM_THREADS="", OPENBLAS_NUM_THREADS="")
            for ending in (".npy", ".path.npz", ".png"):
                first = read(self.path("t1" + ending))
                for threads in ("2", "3"):
                    self.assertEqual(first, read(self.path("t" + threads + ending)), ending)

    def test_memory_cap(self):
        result = self.critpath("explain", *RESNET, "photo.png", "-mem", "1K", "-out", "m")
        self.assertEqual(result.code, 3)
        self.assertRegex(result.err, r"^critpath: -mem: .* is too little, one image of .* needs \d+ MB\n$")
        self.assertEqual(self.files(), ["photo.png"])
        free = self.done("explain", *RESNET, "photo.png", "-sparsity", ".5,.7,.9", "-out", "a")
        capped = self.done("explain", *RESNET, "photo.png", "-sparsity", ".5,.7,.9", "-mem", "3M", "-out", "b")
        for sparsity in ("0.5", "0.7", "0.9"):
            self.assertTrue((maps(self.path(f"a-{sparsity}.npy")) == maps(self.path(f"b-{sparsity}.npy"))).all())


class OtherCommands(FolderTest):
    def test_score_then_path_is_path(self):
        self.done("score", *RESNET, "photo.png", "-out", "dog")
        scores = numpy.load(self.path("dog.score.npz"))
        layers = [n for n in scores.files if n.startswith("layer_")]
        everything = numpy.concatenate([scores[n].ravel() for n in sorted(layers)])
        self.assertTrue((everything >= 0).all() and everything.dtype == numpy.float32)
        self.done("path", *RESNET, "-score", "dog.score.npz", "-out", "from-scores", "-sparsity", ".8")
        self.done("path", *RESNET, "photo.png", "-out", "direct", "-sparsity", ".8")
        a, b = numpy.load(self.path("from-scores.path.npz")), numpy.load(self.path("direct.path.npz"))
        # Independently: the K largest of the scores, and no zero.
        k = round(.2 * everything.size)
        threshold = numpy.sort(everything)[::-1][k - 1]
        for name in layers:
            self.assertTrue((a[name] == b[name]).all())
            self.assertFalse((a[name] & (scores[name] < threshold)).any())
            self.assertFalse((~a[name] & (scores[name] > threshold)).any())

    def test_path_of_a_score_file_is_named_after_it(self):
        self.done("score", *RESNET, "photo.png", "-out", "dog")
        self.done("path", *RESNET, "-score", "dog.score.npz")
        self.assertIn("dog.path.npz", self.files())

    def test_grad_of_a_path_file_is_the_map_of_explain(self):
        self.done("explain", *RESNET, "photo.png", "-out", "why")
        self.done("grad", *RESNET, "photo.png", "-path", "why.path.npz", "-out", "again")
        self.done("grad", *RESNET, "photo.png", "-out", "direct")
        for name in ("again.npy", "direct.npy"):
            self.assertTrue((maps(self.path("why.npy")) == maps(self.path(name))).all(), name)
        self.done("grad", *RESNET, "photo.png", "-method", "gradient", "-out", "plain")
        self.assertFalse((maps(self.path("why.npy")) == maps(self.path("plain.npy"))).all())

    def test_grad_of_a_path_file_finds_its_box(self):
        """So the picture is that of the same path without the file: its detection's name, probability and box."""
        self.done("path", *YOLO, "photo.png", "-thresh", ".2", "-sparsity", ".9", "-out", "why")
        self.done("grad", *YOLO, "photo.png", "-thresh", ".2", "-path", "why.path.npz", "-out", "again")
        self.done("grad", *YOLO, "photo.png", "-thresh", ".2", "-sparsity", ".9", "-out", "direct")
        self.assertEqual(read(self.path("again.png")), read(self.path("direct.png")))
        self.done("grad", *YOLO, "photo.png", "-thresh", "1", "-path", "why.path.npz", "-out", "unseen")
        self.assertNotEqual(read(self.path("unseen.png")), read(self.path("direct.png")))
        self.assertEqual(read(self.path("unseen.npy")), read(self.path("direct.npy")))

    def test_grad_of_the_whole_path_is_the_plain_gradient_where_relu(self):
        """With sparsity 0 only neurons that score zero are off the path, and through those nothing flows."""
        self.done("grad", *RESNET, "photo.png", "-sparsity", "0", "-out", "all")
        self.done("grad", *RESNET, "photo.png", "-method", "gradient", "-out", "plain")
        self.assertTrue(numpy.allclose(maps(self.path("all.npy")), maps(self.path("plain.npy")), atol=1e-6))

    def test_path_of_another_photo_is_said(self):
        write(self.path("other.png"), png(31, 40))
        self.done("path", *RESNET, "photo.png", "-out", "p")
        result = self.done("grad", *RESNET, "other.png", "-path", "p.path.npz", "-out", "o")
        self.assertIn("the path in p.path.npz was found on another image", result.err)

    def test_layers_adds_up(self):
        for name in ("resnet", "vgg", "yolov3", "deconv", "densenet"):
            cfg, weights = network(name)
            listed = json.loads(self.done("layers", cfg, weights, "-json").out)
            layers = listed["layers"]
            self.assertEqual(listed["parameters"], sum(l["parameters"] for l in layers))
            self.assertEqual(listed["neurons"], sum(l["outputs"] for l in layers if l["neuron_layer"]))
            # 20 bytes of header, then float32
            self.assertEqual(os.path.getsize(weights), 20 + 4 * listed["parameters"])

    def test_layers_lists_every_refusal(self):
        cfg = ("[net]\nwidth=16\nheight=16\nchannels=3\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n"
               "[lrn]\n[convolutional]\nfilters=4\nsize=1\nactivation=relu\n[gru]\noutput=4\n[shortcat]\nfrom=-2\n")
        write(self.path("bad.cfg"), cfg)
        result = self.critpath("layers", "bad.cfg", "-json")
        self.assertEqual(result.code, 2)
        self.assertEqual(result.err.count("\n"), 1)
        layers = json.loads(result.out)["layers"]
        self.assertEqual([bool(l["refused"]) for l in layers], [False, True, False, True, True])
        self.assertEqual([l["checked"] for l in layers], [True, False, False, False, False])
        text = self.critpath("layers", "bad.cfg").out
        self.assertIn("refused: 3 of 5 layers", text)
        self.assertRegex(text, r"\n +4  shortcat +.*Darknet has no layer of this type")


class Lines(FolderTest):
    """What explain says of one image: about ten lines, each of which the JSON says too."""

    def explain(self, *arguments):
        """Lines on stdout, and the JSON."""
        result = self.done("explain", *arguments, "-quiet", "-no-picture", "-out", "x")
        with open(self.path("x.json")) as file:
            return result.out.splitlines(), json.load(file)

    def check_where(self, lines, where, in_box):
        """The line on the map and those of its parts, which begin at lines[0]; returns how many they were."""
        found = re.fullmatch(r"map: (?:(\d+)% of the heat in the box, which is [\d.]+% of the photo; )?"
                             r"half of the heat on ([\d.]+)% of the photo, in (.*)", lines[0])
        self.assertIsNotNone(found, lines[0])
        self.assertEqual(found.group(1) is not None, in_box)
        if in_box:
            self.assertAlmostEqual(float(found.group(1)), 100 * where["share_in_box"], delta=.51)
        self.assertAlmostEqual(float(found.group(2)), 100 * where["region_share_of_photo"], delta=.051)
        large, smaller = where["region_parts_of_5_percent"], where["region_parts"] - where["region_parts_of_5_percent"]
        many, plural = max(large, smaller), "s" if (large or smaller) > 1 else ""
        self.assertEqual(found.group(3), f"{large} part{plural} of at least 5% and {smaller} smaller" if large and smaller else
                         f"{large} part{plural}" if large else f"{many} part{plural} of less than 5%{' each' if many > 1 else ''}")
        self.assertEqual(len(where["parts"]), min(large, 3))
        self.assertGreaterEqual(where["share_in_region"], .5)
        for k, part in enumerate(where["parts"]):
            x, y, w, h = part["photo_xywh"]
            self.assertGreaterEqual(part["share"], .05)
            self.assertLessEqual(x + w, 40)
            self.assertLessEqual(y + h, 30)
            self.assertEqual(lines[1 + k], f"  part {k + 1}  {100 * part['share']:3.0f}%  x {x}..{x + w - 1}  y {y}..{y + h - 1}")
        return 1 + len(where["parts"])

    def test_of_a_classifier(self):
        lines, said = self.explain(*RESNET, "photo.png")
        self.assertLessEqual(len(lines), 13)
        self.assertEqual(lines[0], "photo.png: 40 x 30, letterboxed to 32 x 32")
        self.assertEqual(lines[1].endswith("  <- explained"), True)
        self.assertEqual(sum("<- explained" in line for line in lines), 1)
        response, path = said["responses"][0], said["responses"][0]["paths"][0]
        self.assertEqual(lines[6], f"response: {response['text']} = {response['value']:.6g}")
        at = 7 + self.check_where(lines[7:], path["map"]["where"], False)
        self.assertRegex(lines[at], rf"^path: mct, {path['kept']:,} of {said['model']['neurons']:,} neurons, sparsity ")
        self.assertEqual(lines[at + 1:], ["files: x.npy x.heat.npy x.path.npz x.json"])

    def test_the_map_that_is_spoken_of(self):
        lines, _ = self.explain(*RESNET, "photo.png", "-map", "gradient")
        self.assertTrue(any(line.startswith("map: half of the gradient on ") for line in lines), lines)

    def test_a_class_far_down_is_shown(self):
        lines, said = self.explain(*RESNET, "photo.png", "-top", "2", "-class", "5")
        number = next(k for k, line in enumerate(lines) if "explained" in line)
        top = [each["class"] for each in said["prediction"]]
        self.assertEqual(number, 1 + top.index(5) if 5 in top else 3)
        self.assertIn("  class 5  <- explained", lines[number])

    def take_classes(self, lines, said):
        """Below the explained box, and there alone, stand its best classes; that line is taken out."""
        at = [i for i, line in enumerate(lines) if re.match(r"      class \d+ [\d.e-]+%", line)]
        self.assertEqual(len(at), 1)
        self.assertIn("  <- explained", lines[at[0] - 1])
        self.assertEqual(lines.pop(at[0]).count("%"), len(said["responses"][0]["classes"]))

    def test_of_a_detector(self):
        lines, said = self.explain(*YOLO, "photo.png", "-thresh", ".59", "-box", "2")
        n = len(said["prediction"])
        self.assertTrue(2 < n <= 10)
        self.take_classes(lines, said)
        self.assertRegex(lines[0], rf"^photo\.png: 40 x 30, letterboxed to \d+ x \d+ \(-host alexey: stretched\); {n} detections above 0\.59$")
        for each in said["prediction"]:
            x, y, w, h = each["photo_xywh"]
            place = [min(max(at, 0), last) for at, last in ((x, 39), (x + w, 39), (y, 29), (y + h, 29))]
            found = re.fullmatch(r" +(\d+)  (.*?) +(\d+)%  x (\d+)\.\.(\d+)  y (\d+)\.\.(\d+)(  <- explained)?",
                                 lines[each["box"]])
            self.assertEqual((int(found.group(1)), found.group(2)), (each["box"], each["name"]))
            self.assertEqual(found.group(8) is not None, each["box"] == 2)
            self.assertAlmostEqual(int(found.group(3)), 100 * each["probability"], delta=.51)
            for ours, expected in zip(found.groups()[3:7], place):
                self.assertAlmostEqual(int(ours), expected, delta=.51)
        self.assertIn(", box 2 (layer", lines[n + 1])
        self.check_where(lines[n + 2:], said["responses"][0]["paths"][0]["map"]["where"], True)

    def test_many_detections(self):
        lines, said = self.explain(*YOLO, "photo.png", "-thresh", ".2", "-box", "14")
        n = len(said["prediction"])
        self.assertGreater(n, 20)
        self.take_classes(lines, said)
        self.assertEqual([int(line.split()[0]) for line in lines[1:12]], [*range(1, 11), 14])
        self.assertRegex(lines[12], rf"^ +{n - 10} more, down to \d+%; -layers shows them$")
        lines, said = self.explain(*YOLO, "photo.png", "-thresh", ".2", "-layers")
        self.take_classes(lines, said)
        self.assertEqual([int(line.split()[0]) for line in lines[1:1 + n]], [*range(1, 1 + n)])

    def test_tables_with_layers_only(self):
        for arguments in (RESNET, (*YOLO, "-thresh", ".59")):
            bare, said = self.explain(*arguments, "photo.png")
            full, also = self.explain(*arguments, "photo.png", "-layers")
            self.assertEqual(said["responses"], also["responses"])
            self.assertEqual([line for line in full if line in bare], bare)
            for wanted in ("top channels", "top neurons", "neurons on the path by layer"):
                self.assertEqual(sum(wanted in line for line in bare), 0)
                self.assertEqual(sum(wanted in line for line in full), 1)
            for layer in said["responses"][0]["paths"][0]["layers"]:
                self.assertTrue(any(line.split()[:3] == [layer["name"][6:], f"{layer['neurons']:,}", f"{layer['kept']:,}"]
                                    for line in full))

    def test_class_of_a_box(self):
        """-class with -box: that box's logit of that class, whatever class the box was found with."""
        _, said = self.explain(*YOLO, "photo.png", "-thresh", ".59", "-box", "2")
        box = next(each for each in said["prediction"] if each["box"] == 2)
        own = said["responses"][0]
        self.assertEqual(own["class"], box["class"])
        cells = own["unit"]
        for class_id in range(3):
            lines, other = self.explain(*YOLO, "photo.png", "-thresh", ".59", "-box", "2", "-class", class_id)
            response = other["responses"][0]
            self.assertEqual((response["box"], response["class"], response["layer"]), (2, class_id, own["layer"]))
            # of one head's layout: class after class, a plane of cells each
            plane = next(layer["output_chw"][1] * layer["output_chw"][2] for layer in
                         json.loads(self.done("layers", *YOLO, "-json").out)["layers"] if layer["layer"] == own["layer"])
            self.assertEqual(response["unit"] - cells, (class_id - box["class"]) * plane)
            probability = box["objectness"] / (1 + numpy.exp(-response["value"]))
            self.assertAlmostEqual(response["probability"], probability, 5)
            mark = next(line for line in lines if "<- explained" in line)
            self.assertEqual(int(mark.split()[0]), 2)
            self.assertEqual(mark.endswith("<- explained"), class_id == box["class"])
        # the number counts all detections, and without -box it is the best of the class
        of_class = min((each["box"] for each in said["prediction"] if each["class"] == 1), default=None)
        if of_class:
            _, other = self.explain(*YOLO, "photo.png", "-thresh", ".59", "-class", 1)
            self.assertEqual(other["responses"][0]["box"], of_class)
        result = self.critpath("explain", *YOLO, "photo.png", "-thresh", ".59", "-box", "99")
        self.assertEqual(result.code, 2)
        self.assertIn(f"-box 99, but there are only {len(said['prediction'])} detections above -thresh 0.59", result.err)

    def test_no_detection_is_a_result(self):
        for command in ("explain", "score", "path", "grad", "faithful", "linearity"):
            where = [] if command == "linearity" else ["-out", "none"]
            result = self.done(command, *YOLO, "photo.png", "-thresh", ".99", "-json", "-quiet", *where)
            said = json.loads(result.out)
            self.assertEqual((said["prediction"], said["responses"]), ([], []))
            self.assertEqual(result.err, "")
            self.assertRegex(self.done(command, *YOLO, "photo.png", "-thresh", ".99", *where).out,
                             r"no detection above -thresh 0\.99; the best below is .* \d+%, x \d+\.\.\d+  y \d+\.\.\d+ \(-thresh 0\.\d+ explains it\)\n")
            self.assertEqual(self.files(), ["none.json", "photo.png"])
        low = json.loads(self.done("explain", *YOLO, "photo.png", "-thresh", ".2", "-json", "-out", "low").out)
        best = next(each for each in low["prediction"] if each["box"] == 1)
        self.assertEqual({**said["best_below"], "box": 1}, best)
        for arguments in (["-box", "1"], ["-box", "all"], ["-class", "1"]):
            said = json.loads(self.done("explain", *YOLO, "photo.png", "-thresh", ".99", *arguments, "-json").out)
            self.assertEqual(said["responses"], [])
        self.assertEqual(said["best_below"]["class"], 1)
        self.assertIn("no detection of class 1 above", said["no_response"])
        said = json.loads(self.done("explain", *YOLO, "photo.png", "-thresh", ".99", "-unit", "0:0", "-json").out)
        self.assertEqual(len(said["responses"]), 1)
        # no mean over nothing
        refused = self.critpath("compare", *YOLO, "photo.png", "-thresh", ".99", "-methods", "mct,random")
        self.assertEqual(refused.code, 2)
        self.assertIn("compare: no image has a detection", refused.err)

    def test_habits_of_other_darknets(self):
        for command in (["explain", *RESNET, "photo.png", "-no-picture", "-out", "x"], ["score", *RESNET, "photo.png"]):
            plain = self.done(*command, "-quiet").out
            self.assertEqual(self.done(*command, "-quiet", "-dont_show", "-ext_output").out, plain)
        self.assertRegex(self.done("explain", "-h").out, r"-dont_show +accepted[^\n]*\n +-ext_output +accepted")

    def test_names_in_the_place_of_data(self):
        write(self.path("some.names"), "".join(f"thing {i}\n" for i in range(100)))
        shutil.copy(self.path("some.names"), self.path("labels.txt"))
        for names in ("some.names", "labels.txt"):
            lines, said = self.explain(names, *RESNET, "photo.png")
            self.assertIn("thing ", lines[1])
            self.done("layers", names, RESNET[0])
        write(self.path("few.names"), "a\nb\n")
        refused = self.critpath("explain", "few.names", *RESNET, "photo.png")
        self.assertEqual(refused.code, 2)
        self.assertIn("few.names has 2 names, the network has", refused.err)
        refused = self.critpath("explain", "gone.names", *RESNET, "photo.png")
        self.assertEqual(refused.code, 2)
        self.assertIn("gone.names", refused.err)
        self.assertIn("thing 1", self.done("explain", "few.names", *RESNET, "photo.png", "-names", "some.names").out)

    def test_one_log_for_both_streams(self):
        """What goes to stderr stands between whole lines of stdout."""
        import subprocess
        from harness import DARKNET
        with open(self.path("log"), "wb") as log:
            code = subprocess.run([DARKNET, "critpath", "explain", *RESNET, *["photo.png"] * 40, "gone.png", "photo.png",
                                   "-no-picture", "-layers", "-sparsity", ".9999,.999", "-threads", "2"],
                                  cwd=self.folder, stdout=log, stderr=log).returncode
            subprocess.run([DARKNET, "critpath", "explain", *RESNET, "photo.png", "-no-picture", "-layers", "-sparsity",
                            ".5,.6,.7,.8,.9,.99,.999"], cwd=self.folder, stdout=log, stderr=log)
        self.assertEqual(code, 2)
        with open(self.path("log")) as log:
            lines = log.read().splitlines()
        begins = (r"photo\.png: ", r" +[-\d.]+%?  class \d", r"response: ", r"map: ", r"  part \d", r"path: ", r"files: ",
                  r"neurons on the path", r"  layer ", r"  \d\d\d_", r"top ", r"the path is cut", r"critpath: .*gone\.png",
                  r"$")
        for line in lines:
            self.assertTrue(any(re.match(begin, line) for begin in begins), line)
        self.assertEqual(sum(", forward " in line for line in lines), 42)
        first_of_last = max(k for k, line in enumerate(lines) if line.startswith("photo.png: 40 x 30"))
        timing = max(k for k, line in enumerate(lines) if ", forward " in line)
        self.assertEqual(timing, len(lines) - 1)  # of one image it is said after all else
        self.assertLess(first_of_last, timing)
        for command in ("faithful", "linearity", "grad", "score", "path"):
            with open(self.path("log"), "wb") as log:
                subprocess.run([DARKNET, "critpath", command, *RESNET, "photo.png", "gone.png", "photo.png"],
                               cwd=self.folder, stdout=log, stderr=log)
            with open(self.path("log")) as log:
                text = log.read()
            for said, count in ((r"(?m)^response: .*", 2), (r"(?m)^photo\.png: read .* MB$", 2), (r"(?m)^critpath: .*gone", 1)):
                self.assertEqual(len(re.findall(said, text)), count, command + text)
            self.assertLess(text.rindex("critpath: "), text.rindex("response: "), command)


class Lists(FolderTest):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("a"))
        os.makedirs(self.path("b"))
        os.makedirs(self.path("results"))
        for name in ("a/dog.png", "b/dog.png", "a/cat.png"):
            write(self.path(name), png(30, 20 + len(name)))

    def outputs(self, *arguments, **options):
        self.done("path", *RESNET, *arguments, **options)
        found = []
        for folder, _, names in os.walk(self.folder):
            found += [os.path.relpath(os.path.join(folder, n), self.folder) for n in names if n.endswith(".npz")]
        for name in found:
            os.remove(self.path(name))
        return sorted(found)

    def test_names_of_results(self):
        three = ("a/dog.png", "b/dog.png", "a/cat.png")
        self.assertEqual(self.outputs("a/dog.png"), ["dog.critpath.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "x"), ["x.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "results/"), ["results/dog.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "results"), ["results/dog.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "results/x"), ["results/x.path.npz"])
        self.assertEqual(self.outputs(*three),
                         ["cat.critpath.path.npz", "dog.critpath-2.path.npz", "dog.critpath.path.npz"])
        self.assertEqual(self.outputs(*three, "-out", "x"), ["x-cat.path.npz", "x-dog-2.path.npz", "x-dog.path.npz"])
        self.assertEqual(self.outputs(*three, "-out", "results/"),
                         ["results/cat.path.npz", "results/dog-2.path.npz", "results/dog.path.npz"])
        self.assertEqual(self.outputs("-out", "x", stdin=b"a/dog.png\n"), ["x-dog.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "x.png"), ["x.path.npz"])
        self.assertEqual(self.outputs("-out", "x.png", stdin=b"a/dog.png\n"), ["x-dog.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "results/.png"), ["results/.png.path.npz"])
        self.assertEqual(self.outputs("a/dog.png", "-out", "made/deep/er/"), ["made/deep/er/dog.path.npz"])
        self.assertEqual(self.outputs(*three, "-out", "results/more/"),
                         ["results/more/cat.path.npz", "results/more/dog-2.path.npz", "results/more/dog.path.npz"])

    def test_an_ending_is_taken_off(self):
        for out in ("r.json", "r.path.npz", "r.npz", "r.NPY", "r.jpg"):
            result = self.done("path", *RESNET, "a/dog.png", "-out", out)
            self.assertIn(f'-out: "{out}" is taken for the prefix "r"', result.err)
            self.assertTrue(os.path.exists(self.path("r.path.npz")))
            os.remove(self.path("r.path.npz"))
        result = self.done("path", *RESNET, "a/dog.png", "a/cat.png", "-out", "r.json")
        self.assertEqual(result.err.count("is taken for the prefix"), 1)
        self.assertTrue(os.path.exists(self.path("r-cat.path.npz")))
        self.done("explain", *RESNET, "a/dog.png", "-out", "r.json")
        self.assertTrue(os.path.exists(self.path("r.json")))
        self.assertEqual([name for name in self.files() if ".json." in name], [])
        self.assertNotIn("prefix", self.done("path", *RESNET, "a/dog.png", "-out", "version1.2").err)

    def test_folders_of_results(self):
        write(self.path("file"), "")
        for out, complaint in (("nowhere/x", r'"nowhere" does not exist; only "-out folder/" makes'), ("file/x", "is no folder"),
                               ("file/x/", "is no folder")):
            result = self.critpath("path", *RESNET, "a/dog.png", "-out", out)
            self.assertEqual(result.code, 2)
            self.assertRegex(result.err, complaint)
        self.critpath("path", *RESNET, "gone.png", "-out", "never/")
        self.assertFalse(os.path.exists(self.path("never")))

    def test_stdin_gives_one_json_object_per_image(self):
        result = self.done("explain", *RESNET, "-json", "-no-picture", stdin=b"a/dog.png\r\n\nb/dog.png\na/cat.png")
        images = [json.loads(line)["image"] for line in result.out.strip().split("\n")]
        self.assertEqual(images, ["a/dog.png", "b/dog.png", "a/cat.png"])

    def test_images_without_detection_do_not_fail_a_list(self):
        result = self.done("explain", *YOLO, "a/dog.png", "b/dog.png", "-thresh", ".99", "-json", "-no-picture")
        for line in result.out.splitlines():
            self.assertEqual(json.loads(line)["responses"], [])
        self.assertEqual(len(result.out.splitlines()), 2)

    def test_a_bad_image_in_a_list_does_not_stop_it(self):
        result = self.critpath("explain", *RESNET, "-json", "-quiet", "a/dog.png", "gone.png", "a/cat.png")
        self.assertEqual(result.code, 2)
        images = [json.loads(line)["image"] for line in result.out.strip().split("\n")]
        self.assertEqual(images, ["a/dog.png", "a/cat.png"])
        self.assertRegex(result.err, r"^critpath: .*gone\.png.*\n$")

    def test_inputs_are_not_overwritten(self):
        before = read(self.path("a/dog.png"))
        result = self.critpath("explain", *RESNET, "a/dog.png", "-out", "a/dog")
        self.assertEqual(result.code, 2)
        self.assertRegex(result.err, r"would overwrite an input of this run")
        self.assertEqual(before, read(self.path("a/dog.png")))

    def test_same_results_alone_and_in_a_list(self):
        self.done("explain", *RESNET, "a/dog.png", "a/cat.png", "-out", "list", "-no-picture")
        self.done("explain", *RESNET, "a/cat.png", "-out", "alone", "-no-picture")
        self.assertTrue((maps(self.path("list-cat.npy")) == maps(self.path("alone.npy"))).all())


class Planes(FolderTest):
    """Of which layers the contribution map is made."""

    def heat(self, *arguments):
        """heat and counter-evidence, the run, and what its JSON says of the map"""
        result = self.done("explain", *arguments, "-no-picture", "-json", "-out", "x")
        return maps(self.path("x.heat.npy")), result, json.loads(result.out)["responses"][0]["paths"][0]["map"]

    def test_by_name(self):
        fine, _, said = self.heat(*SIGNS)
        self.assertEqual((said["planes"], said["restricted"]), ("fine", False))
        named, _, said = self.heat(*SIGNS, "-planes", "fine")
        self.assertTrue((named == fine).all())
        coarse, _, said = self.heat(*SIGNS, "-planes", "coarse")
        self.assertEqual(said["planes"], "coarse")
        self.assertTrue(fine.any() and coarse.any())
        together, _, said = self.heat(*SIGNS, "-planes", "all")
        numpy.testing.assert_allclose(together, fine + coarse, rtol=1e-4, atol=1e-6)
        restricted, _, said = self.heat(*SIGNS, "-restricted")
        self.assertTrue(said["restricted"])
        self.assertGreater(abs(restricted - fine).max(), 1e-6)

    def test_where_the_fine_planes_are_empty(self):
        write(self.path("coarse.cfg"), "[net]\nwidth=64\nheight=64\nchannels=3\n"
              "[convolutional]\nfilters=6\nsize=16\nstride=16\npad=0\nactivation=leaky\n"
              "[convolutional]\nfilters=3\nsize=1\nstride=1\nactivation=linear\n[avgpool]\n[softmax]\n")
        draw = numpy.random.RandomState(1)
        weights = [draw.rand(n) / n for n in (6, 6 * 3 * 256, 3, 3 * 6)]
        write(self.path("coarse.weights"), numpy.array([0, 2, 0, 0, 0], "i4").tobytes() +
              numpy.concatenate(weights).astype("f4").tobytes())
        heat, result, said = self.heat("coarse.cfg", "coarse.weights", "photo.png")
        self.assertEqual(said["planes"], "coarse")
        self.assertTrue(heat[0].any())
        self.assertRegex(result.err, r"photo\.png: no layer of small cells .* coarse layers \(-planes coarse\)\n")
        heat, result, said = self.heat("coarse.cfg", "coarse.weights", "photo.png", "-planes", "fine")
        self.assertEqual(said["planes"], "fine")
        self.assertFalse(heat.any())
        self.assertNotIn("small cells", result.err)

    def test_mass_beside_a_number(self):
        result = self.critpath("explain", *RESNET, "photo.png", "-mass", ".7", "-sparsity", ".9", "-out", "x")
        self.assertEqual(result.code, 2)
        self.assertEqual(result.err, "critpath: explain: -mass does nothing with -sparsity 0.9, a share of the neurons; it is of "
                                     "-sparsity auto\n")
        self.done("explain", *RESNET, "photo.png", "-mass", ".7", "-sparsity", ".9,auto", "-no-picture", "-out", "x")


class CutPaths(FolderTest):
    """ResNet-20: at 99% the path of some photos is cut. The default then gives way, a wish does not."""

    def test_cut(self):
        weights = shared("weights")
        if not weights:
            self.skipTest("no shared data (CRITPATH_DATA): no network whose path is cut")
        files = [f"{weights}/resnet20-cifar10.cfg", f"{weights}/resnet20-cifar10.weights"]
        result = self.done("explain", *files, "photo.png", "-sparsity", ".9999", "-json", "-out", "w")
        path = json.loads(result.out)["responses"][0]["paths"][0]
        self.assertTrue(path["cut"]["cut"])
        self.assertTrue(path["map"]["zero"])
        self.assertFalse(maps(self.path("w.npy")).any())
        self.assertRegex(result.err, r"is cut, layer \d+ \w+ keeps no neuron; the sparsest that is not: -sparsity 0\.")
        uncut = re.search(r"-sparsity (0\.\d+)", result.err).group(1)
        path = json.loads(self.done("explain", *files, "photo.png", "-sparsity", uncut, "-json", "-out",
                                    "u").out)["responses"][0]["paths"][0]
        self.assertFalse(path["cut"]["cut"])
        self.assertTrue(maps(self.path("u.npy")).any())

    def test_cut_by_channel(self):
        weights = shared("weights")
        if not weights:
            self.skipTest("no shared data (CRITPATH_DATA): no network whose path is cut")
        files = [f"{weights}/resnet20-cifar10.cfg", f"{weights}/resnet20-cifar10.weights"]
        ask = ["explain", *files, "photo.png", "-granularity", "channel", "-out"]
        result = self.done(*ask, "w", "-sparsity", ".9")
        self.assertFalse(maps(self.path("w.npy")).any())
        self.assertEqual((result.out + result.err).count("is cut"), 1)
        self.assertRegex(result.out, r"zero everywhere: .* no neuron of layer \d+ \(\w+\) is on it; the sparsest sparsity that is "
                                     r"not cut is 0\.\d+ of the channels")
        uncut = re.search(r"not cut is (0\.\d+)", result.out).group(1)
        by_path = self.done("path", *ask[1:], "p", "-sparsity", ".9")
        self.assertRegex(by_path.out, r"the path is cut: layer \d+ \w+ keeps no neuron; the sparsest that is not: -sparsity " + uncut)
        self.assertNotIn("is cut", by_path.err)
        result = self.done("grad", *files, "photo.png", "-path", "w.path.npz", "-out", "g")
        self.assertRegex(result.out, r"asked 0\.9 of the channels\).*zero everywhere: the path is cut, no neuron of layer \d+")
        result = self.done(*ask, "u", "-sparsity", uncut)
        self.assertNotIn("is cut", result.err + result.out)
        self.assertTrue(maps(self.path("u.npy")).any())
        above = "%.6f" % (float(uncut) + .004)  # less than two of its 688 channels
        self.assertIn("is cut", self.done(*ask, "v", "-sparsity", above).out)

    def test_greedy_by_channel(self):
        weights = shared("weights")
        if not weights:
            self.skipTest("no shared data (CRITPATH_DATA): no ResNet-20")
        files = [f"{weights}/resnet20-cifar10.cfg", f"{weights}/resnet20-cifar10.weights"]
        self.done("path", *files, "photo.png", "-method", "greedy", "-granularity", "channel", "-sparsity", ".5", "-out", "c")
        with numpy.load(self.path("c.path.npz")) as found:
            arrays = [found[name] for name in found.files if name.startswith("layer_")]
        channels = [plane for array in arrays for plane in array.reshape(array.shape[0], -1)]
        self.assertTrue(all(plane.all() or not plane.any() for plane in channels))
        self.assertEqual(sum(bool(plane.all()) for plane in channels), round(len(channels) / 2))
        default = json.loads(self.done("explain", *files, "photo.png", "-json", "-out",
                                       "d").out)["responses"][0]["paths"][0]
        self.assertFalse(default["cut"]["cut"])


if __name__ == "__main__":
    main()
