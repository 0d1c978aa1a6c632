"""Edges, graphs, effective paths; how -rank and -baseline change what neurons score."""
import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import numpy

from harness import FolderTest, main, network, write

RESNET, YOLO = network("resnet"), network("yolov3-tiny")
ANSWER = {"yolov3-tiny": ("-thresh", ".05"), "yolov2": ("-thresh", ".05")}
FIVE = ("resnet", "vgg", "yolov3-tiny", "densenet", "yolov2")


def layers(npz):
    return [name for name in npz.files if name.startswith("layer")]


class Edges(FolderTest):
    def test_sums_are_scores(self):
        """Over everything that reads a channel its edges sum to what it contributes: mct's a * g, read from -json of nothing else
        than the scores' magnitudes, which bound the sums, and equal them where no sign changes within a channel."""
        for net, options in ((RESNET, ()), (YOLO, ANSWER["yolov3-tiny"])):
            self.done("score", *net, "photo.png", "-edges", "channels", "-out", "s", *options)
            edges, score = numpy.load(self.path("s.edges.npz")), numpy.load(self.path("s.score.npz"))
            equal = 0
            for name in layers(score):
                into = [edges[e] for e in edges.files if e.endswith("." + name)]
                sums = sum((e.sum(axis=0) for e in into), numpy.zeros(score[name].shape[0]))
                bound = score[name].sum(axis=(1, 2))
                self.assertTrue((abs(sums) <= bound * 1.0001 + 1e-6).all(), name)
                single = (score[name] > 0).sum(axis=(1, 2)) == 1
                equal += int(single.sum())
                numpy.testing.assert_allclose(abs(sums[single]), bound[single], rtol=1e-3, atol=1e-6)
                for e in into:
                    self.assertEqual(e.dtype, numpy.float32)
            self.assertTrue(any(name.endswith(".input") for name in edges.files))
            self.assertTrue(any(name.startswith("response.") for name in edges.files))

    def test_of_a_neuron(self):
        self.done("score", *RESNET, "photo.png", "-edges", "channels", "-out", "s")
        edges = numpy.load(self.path("s.edges.npz"))
        reader, source = next(n for n in edges.files if not n.startswith("response") and not n.endswith("input")).split(".")
        layer, shape = int(reader[6:9]), edges[f"{reader}.{source}"].shape
        score = numpy.load(self.path("s.score.npz"))[reader]
        plane, q = score[0].size, int(score.sum(axis=(1, 2)).argmax())
        total = numpy.zeros(shape[1])
        for k in range(plane):
            self.done("score", *RESNET, "photo.png", "-edges", f"{layer}:{q * plane + k}", "-out", "n")
            total += numpy.load(self.path("n.edges.npz"))[source].sum(axis=(1, 2))
        numpy.testing.assert_allclose(total, edges[f"{reader}.{source}"][q], rtol=1e-3, atol=1e-5)
        for bad, word in (("99:0", "layer 99"), ("x", "LAYER:INDEX"), (f"{layer}:999999", "has no unit")):
            result = self.critpath("score", *RESNET, "photo.png", "-edges", bad, "-out", "n")
            self.assertEqual(result.code, 2)
            self.assertIn(word, result.err)


class Graph(FolderTest):
    def graph(self, name, *options):
        self.done("graph", *network(name), "photo.png", "-out", "g", *ANSWER.get(name, ()), *options)
        with open(self.path("g.graph.json")) as file:
            return json.load(file)

    def labels(self):
        """Rectangles of all texts of the SVG, as it says them itself."""
        root = xml.etree.ElementTree.parse(self.path("g.graph.svg")).getroot()
        boxes = []
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            size, x, y = (float(text.get(k)) for k in ("font-size", "x", "y"))
            boxes.append((x, y - .8 * size, x + float(text.get("textLength")), y + .2 * size, text.text))
        return root, boxes

    def test_no_labels_overlap_on_five_networks(self):
        write(self.path("n.names"), "".join(f"a class with a rather long name number {k}\n" for k in range(40)))
        for name in FIVE:
            for more in ((), ("-names", "n.names"), ("-nodes", "12")):
                self.graph(name, *more)
                root, boxes = self.labels()
                width, height = float(root.get("width")), float(root.get("height"))
                self.assertGreater(len(boxes), 12)
                for a in boxes:
                    self.assertTrue(0 <= a[0] and a[2] <= width and 0 <= a[1] and a[3] <= height, (name, a, width, height))
                for a, b in itertools.combinations(boxes, 2):
                    apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
                    self.assertTrue(apart, (name, a, b))

    def test_shares_add_to_one(self):
        for name in FIVE:
            graph = self.graph(name)
            self.assertAlmostEqual(sum(n["share"] for n in graph["nodes"]), 1, places=6)
            self.assertLessEqual(len(graph["nodes"]), 60)
            ids = [n["id"] for n in graph["nodes"]]
            self.assertEqual(len(set(ids)), len(ids))
            self.assertEqual((ids[0], ids[-1]), ("photo", "answer"))
            for link in graph["links"]:
                self.assertIn(link["source"], ids)
                self.assertIn(link["target"], ids)
            arrives = {n: 0 for n in ids}
            leaves = dict(arrives)
            for link in graph["links"]:
                leaves[link["source"]] += link["contribution"]
                arrives[link["target"]] += link["contribution"]
            for node in graph["nodes"]:
                self.assertAlmostEqual(leaves[node["id"]], node["effect"], places=4)
            self.assertNotEqual(arrives["answer"], 0)

    def test_channels_are_the_best_of_the_path(self):
        graph = self.graph("resnet", "-sparsity", ".9")
        self.done("score", *RESNET, "photo.png", "-out", "s")
        self.done("path", *RESNET, "photo.png", "-out", "p", "-sparsity", ".9")
        score, path = numpy.load(self.path("s.score.npz")), numpy.load(self.path("p.path.npz"))
        total = sum(score[name].sum() for name in layers(score))
        for node in (n for n in graph["nodes"] if n["kind"] == "channel"):
            name = next(n for n in layers(score) if int(n[6:9]) == node["layer"])
            on = score[name][node["channel"]][path[name][node["channel"]]]
            self.assertAlmostEqual(node["share"], on.sum() / total, places=5)
            self.assertEqual(node["kept"], on.size)

    def test_files_are_valid(self):
        """The SVG by xmllint, the DOT by dot, where they are installed; the same picture twice is the same bytes."""
        self.graph("resnet", "-names", write(self.path("n.names"), "a<b>&\"c\"\n" * 10))
        if shutil.which("xmllint"):
            subprocess.run(["xmllint", "--noout", self.path("g.graph.svg")], check=True)
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg", "-o", os.devnull, self.path("g.graph.dot")], check=True)
        root, boxes = self.labels()
        self.assertTrue(any('a<b>&"c"' in (box[4] or "") for box in boxes))
        with open(self.path("g.graph.dot")) as file:
            dot = file.read()
        self.assertRegex(dot, r'^digraph pathway \{')
        self.assertRegex(dot, r'"photo" -> "\d+:')
        with open(self.path("g.graph.png"), "rb") as file:
            png = file.read()
        self.graph("resnet", "-names", "n.names", "-threads", "3")
        with open(self.path("g.graph.png"), "rb") as file:
            self.assertEqual(file.read(), png)

    def test_edges_along_the_path(self):
        whole, along = self.graph("resnet", "-sparsity", ".9"), self.graph("resnet", "-sparsity", ".9", "-restricted")
        self.assertEqual([n["id"] for n in whole["nodes"]], [n["id"] for n in along["nodes"]])
        self.assertNotEqual(whole["links"], along["links"])

    def test_json(self):
        result = self.done("graph", *RESNET, "photo.png", "-out", "g", "-json")
        line = json.loads(result.out)
        with open(self.path("g.graph.json")) as file:
            self.assertEqual(line["graph"], json.load(file))


class Compare(FolderTest):
    """Two heads of one detector, two classes of one photo."""

    def check_frames(self, graph):
        """As many frames of the colour of the first, of both and of the second path as channels have such neurons, in proportion."""
        expected = []
        for n in (n for n in graph["nodes"] if n["kind"] == "channel"):
            p = n["paths"]
            parts = (p["first"] - p["both"], p["both"], p["second"] - p["both"])
            expected += [(k, round(v / sum(parts), 2)) for k, v in enumerate(parts) if v]
        root = xml.etree.ElementTree.parse(self.path("g.graph.svg")).getroot()
        colours, frames = [], []
        for r in root.iter("{http://www.w3.org/2000/svg}rect"):
            if r.get("x") is None: # the paper
                continue
            x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
            if (w, h) == (22, 10):
                colours.append(r.get("fill"))
            else:
                frames.append((x, y, w, h, r.get("fill")))
        of = {colours[0]: 0, colours[2]: 1, colours[1]: 2}
        frames = [f for f in frames if f[4] in of]
        rows, found = [], []
        for f in frames: # parts of a frame follow each other, side by side
            if rows and rows[-1][-1][1] == f[1] and abs(rows[-1][-1][0] + rows[-1][-1][2] - f[0]) < .02:
                rows[-1].append(f)
            else:
                rows.append([f])
        for row in rows:
            found += [(of[f[4]], round(f[2] / sum(g[2] for g in row), 2)) for f in row]
        self.assertEqual(len(found), len(expected))
        for (a, b), (c, d) in zip(sorted(found), sorted(expected)):
            self.assertEqual(a, c)
            self.assertAlmostEqual(b, d, delta=.02)

    def compare(self, net, one, other, *options):
        for name, choice in (("a", one), ("b", other)):
            self.done("path", *net, "photo.png", "-out", name, *choice)
        done = self.done("graph", *net, "a.path.npz", "b.path.npz", "-compare", "-out", "g", *options)
        with open(self.path("g.graph.json")) as file:
            graph = json.load(file)
        paths = [numpy.load(self.path(f"{n}.path.npz")) for n in "ab"]
        total = [sum(int(p[name].sum()) for name in layers(p)) for p in paths]
        weight = [{name: p[name] / t for name in layers(p)} for p, t in zip(paths, total)]
        if options: # a photo: by score
            for k, choice in enumerate((one, other)):
                self.done("score", *net, "photo.png", "-out", "s", *choice)
                score = numpy.load(self.path("s.score.npz"))
                whole = sum(score[name].sum(dtype=float) for name in layers(score))
                weight[k] = {name: score[name] * paths[k][name] / whole for name in layers(score)}
        self.assertEqual(graph["graph"]["weighed_by"], "score" if options else "neurons")
        shown = {}
        for node in (n for n in graph["nodes"] if n["kind"] == "channel"):
            name = next(n for n in layers(paths[0]) if int(n[6:9]) == node["layer"])
            a, b = (p[name][node["channel"]] for p in paths)
            self.assertEqual(node["paths"], {"first": a.sum(), "second": b.sum(), "both": (a & b).sum()})
            self.assertAlmostEqual(node["share"], sum(w[name][node["channel"]].sum() for w in weight) / 2, places=6)
            shown.setdefault(name, []).append(node["channel"])
        for w in weight: # of every layer the best channel of each path
            for name in shown:
                sums = w[name].sum(axis=(1, 2), dtype=float)
                if sums.max() > 0:
                    self.assertGreaterEqual(sums[shown[name]].max(), sums.max() * (1 - 1e-5), name)
        self.check_frames(graph)
        self.assertAlmostEqual(sum(n["share"] for n in graph["nodes"]), 1, places=6)
        return graph, done.out

    def test_classes(self):
        graph, text = self.compare(RESNET, ("-class", "0"), ("-class", "1"))
        self.assertEqual(graph["links"], [])
        self.assertRegex(text, r"network +\d+ +\d+ +\d+ +0\.\d+")
        graph, _ = self.compare(RESNET, ("-class", "0"), ("-class", "1"), "photo.png")
        self.assertTrue(any(link["first"] != link["second"] for link in graph["links"]))
        both, _ = self.compare(RESNET, ("-class", "0"), ("-class", "1"), "photo.png", "photo.png")
        self.assertEqual(graph, both)
        if shutil.which("xmllint"):
            subprocess.run(["xmllint", "--noout", self.path("g.graph.svg")], check=True)

    def test_the_photos_are_those_of_the_paths(self):
        """Another photo is refused and named; two photos are both drawn, one above the other."""
        from harness import png
        write(self.path("other.png"), png(23, 38))
        for name, photo in (("a", "photo.png"), ("b", "other.png")):
            self.done("path", *RESNET, photo, "-out", name)
        for photos, bad, file in ((("other.png",), "other.png", "a.path.npz"), (("photo.png",), "photo.png", "b.path.npz"),
                                  (("other.png", "photo.png"), "other.png", "a.path.npz")):
            result = self.critpath("graph", *RESNET, "a.path.npz", "b.path.npz", *photos, "-compare", "-out", "wrong")
            self.assertEqual(result.code, 2, photos)
            self.assertRegex(result.err, f"the path in {file} was not found on {bad}")
        self.assertEqual([n for n in self.files() if n.startswith("wrong")], [])
        self.done("graph", *RESNET, "a.path.npz", "b.path.npz", "photo.png", "other.png", "-compare", "-out", "two")
        self.done("graph", *RESNET, "a.path.npz", "a.path.npz", "photo.png", "-compare", "-out", "one")
        height = []
        for name in ("one", "two"):
            with open(self.path(name + ".graph.svg")) as file:
                height.append(float(re.search(r'<image [^>]*height="([\d.]+)"', file.read())[1]))
        self.assertGreater(height[1], height[0])

    def test_same_path_twice_is_shared(self):
        graph, text = self.compare(RESNET, ("-class", "0"), ("-class", "0"), "photo.png")
        self.assertRegex(text, r"network .* 1\.000\n")
        for link in graph["links"]:
            self.assertEqual(link["first"], link["second"])

    def test_refuses(self):
        self.done("path", *RESNET, "photo.png", "-out", "a")
        for arguments, word in ((("a.path.npz",), "1 path file"), (("a.path.npz",) * 3, "more than two"),
                                (("a.path.npz", "a.path.npz") + ("photo.png",) * 3, "3 photos")):
            result = self.critpath("graph", *RESNET, *arguments, "-compare", "-out", "g")
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(word, result.err)

    def test_photos_that_were_counted(self):
        """What the class paths were counted on is no test of them, and one image is no class."""
        self.done("classpath", *RESNET, "photo.png", "-out", "c")
        done = self.done("attack", *RESNET, "photo.png", "-typical", "c.classpath.npz", "-strength", "2", "-out", "a")
        self.assertIn("1 of the photos were counted in c.classpath.npz too", done.err)
        done = self.done("explain", *RESNET, "photo.png", "-typical", "c.classpath.npz", "-out", "e")
        self.assertIn("typical: 100.0% of the path", done.out)
        self.assertIn("1 image)", done.out)
        self.assertIn("few were counted", done.out)


class Effective(FolderTest):
    def kept(self, *options):
        self.done("path", *RESNET, "photo.png", "-method", "effective", "-out", "p", *options)
        npz = numpy.load(self.path("p.path.npz"))
        return {name: npz[name] for name in layers(npz)}

    def test_theta(self):
        sizes = [sum(int(v.sum()) for v in self.kept("-theta", t).values()) for t in (".1", ".5", ".9")]
        self.assertTrue(0 < sizes[0] < sizes[1] < sizes[2], sizes)

    def test_rules(self):
        share, absolute, forward = (self.kept("-keeps", k, "-theta", ".1") for k in ("share", "absolute", "forward"))
        for other in (absolute, forward):
            self.assertTrue(any((share[name] != other[name]).any() for name in share))
        result = self.critpath("path", *RESNET, "photo.png", "-method", "mct", "-theta", ".1", "-out", "p")
        self.assertEqual(result.code, 2)
        self.assertIn("effective", result.err)


class ClassPaths(FolderTest):
    def setUp(self):
        super().setUp()
        from harness import png
        self.photos = [write(self.path_of(k), png(20 + 3 * k, 40 - 2 * k)) for k in range(7)]
        self.photos = [os.path.basename(p) for p in self.photos]

    def path_of(self, k):
        return self.path(f"p{k}.png")

    def count(self, out, *arguments):
        self.done("classpath", *RESNET, *arguments, "-out", out)
        return numpy.load(self.path(out + ".classpath.npz"))

    def bytes(self, out):
        with open(self.path(out + ".classpath.npz"), "rb") as file:
            return file.read()

    def test_counts(self):
        for options in (("-sparsity", ".9"), ("-method", "effective", "-edges", "channels")):
            counts = self.count("all", *self.photos, *options)
            expected, images = {}, {}
            for photo in self.photos:
                choice = tuple(o for o in options if o not in ("-edges", "channels"))
                line = json.loads(self.done("explain", *RESNET, photo, "-out", "e", "-json", "-no-picture", *choice).out)
                c = line["responses"][0]["class"]
                images[c] = images.get(c, 0) + 1
                path = numpy.load(self.path("e.path.npz"))
                for name in layers(path):
                    expected[c, name] = expected.get((c, name), 0) + path[name].astype(int)
                    any_of = path[name].any(axis=(1, 2)).astype(int)
                    expected[c, name + ".channels"] = expected.get((c, name + ".channels"), 0) + any_of
            self.assertEqual(dict(zip(counts["classes"].tolist(), counts["images"].tolist())), images)
            for (c, name), value in expected.items():
                k = counts["classes"].tolist().index(c)
                numpy.testing.assert_array_equal(counts[name][k], value)
            edges = [name for name in counts.files if name.endswith(".edges")]
            self.assertEqual(bool(edges), "-edges" in options)
            for name in edges:
                self.assertLessEqual(int(counts[name].max()), max(images.values()))
                self.assertGreater(int(counts[name].sum()), 0)

    def test_any_split_adds_up(self):
        options = ("-method", "effective", "-edges", "channels")
        self.count("all", *self.photos, *options)
        for parts in ((3, 4), (1, 1, 5), (2, 2, 2, 1)):
            at, names = 0, []
            for k, size in enumerate(parts):
                self.count(f"part{k}", *self.photos[at:at + size], *options)
                names.append(f"part{k}.classpath.npz")
                at += size
            self.count("sum", *reversed(names))
            self.assertEqual(self.bytes("sum"), self.bytes("all"))

    def test_shards_add_up(self):
        self.count("all", *self.photos)
        for k in (1, 2, 3):
            self.done("classpath", *RESNET, *self.photos, "-shard", f"{k}/3", "-out", "s")
        parts = [name for name in self.files() if name.startswith("s.") and name.endswith(".npz")]
        self.assertEqual(len(parts), 3)
        self.count("sum", *parts)
        self.assertEqual(self.bytes("sum"), self.bytes("all"))

    def test_a_list_counts_what_the_command_line_does(self):
        write(self.path("photos.txt"), "".join(p + "\n" for p in self.photos))
        self.count("all", *self.photos)
        self.count("list", "-list", "photos.txt")
        self.assertEqual(self.bytes("list"), self.bytes("all"))
        for k in (1, 2):
            self.done("classpath", *RESNET, "-list", "photos.txt", "-shard", f"{k}/2", "-out", "s")
        self.count("sum", *(n for n in self.files() if n.startswith("s.") and n.endswith(".npz")))
        self.assertEqual(self.bytes("sum"), self.bytes("all"))
        self.count("half", *self.photos[:3])
        write(self.path("rest.txt"), "".join(p + "\n" for p in self.photos[3:]))
        self.count("both", "half.classpath.npz", "-list", "rest.txt")
        self.assertEqual(self.bytes("both"), self.bytes("all"))
        result = self.critpath("classpath", *RESNET, self.photos[0], "-list", "photos.txt", "-out", "c")
        self.assertEqual(result.code, 2)
        self.assertIn("-list", result.err)

    def test_no_image_is_counted_twice(self):
        """A photo twice, by its name or a copy's, is a note and counts once; parts that share a photo are refused, and it is named."""
        write(self.path("n.names"), "".join(f"kind{k}\n" for k in range(10)))
        shutil.copy(self.path(self.photos[0]), self.path("copy.png"))
        self.count("once", *self.photos[:2])
        result = self.critpath("classpath", *RESNET, *self.photos[:2], self.photos[0], "copy.png", "-names", "n.names", "-out", "twice")
        self.assertEqual(result.code, 0, result.err)
        self.assertRegex(result.err, rf"{self.photos[0]}: counted for kind\d already, as {self.photos[0]}")
        self.assertRegex(result.err, rf"copy.png: counted for kind\d already, as {self.photos[0]}")
        self.assertEqual(self.bytes("twice"), self.bytes("once"))
        self.count("other", *self.photos[1:4])
        result = self.critpath("classpath", *RESNET, "once.classpath.npz", "other.classpath.npz", "-names", "n.names", "-out", "c")
        self.assertEqual(result.code, 2)
        self.assertRegex(result.err, rf"other.classpath.npz: {self.photos[1]} is counted for kind\d already")
        self.count("more", "once.classpath.npz", *self.photos[:2])
        self.assertEqual(self.bytes("more"), self.bytes("once"))

    def test_answers_of_a_detector(self):
        done = self.done("classpath", *YOLO, "photo.png", "-thresh", ".7", "-box", "all", "-out", "c")
        self.assertRegex(done.out, r"class +answers +on any path")
        done = self.done("classpath", *YOLO, "photo.png", *ANSWER["yolov3-tiny"], "-out", "c")
        self.assertRegex(done.out, r"class +images +on any path")
        result = self.critpath("classpath", *YOLO, *self.photos[:2], "-thresh", ".9999", "-out", "none")
        self.assertEqual(result.code, 2)
        self.assertRegex(result.err, r"nothing was found to explain in 2 images.*-thresh")
        self.assertEqual([n for n in self.files() if n.startswith("none")], [])

    def test_refuses(self):
        self.count("a", *self.photos[:2])
        self.count("b", *self.photos[2:4], "-sparsity", ".9")
        for arguments, word in ((("a.classpath.npz", "a.classpath.npz"), "already"),
                                (("a.classpath.npz", "b.classpath.npz"), "other settings"),
                                ((self.photos[0], "-sparsity", ".9,.99"), "2 sparsities"),
                                ((self.photos[0], "-edges", "channels"), "effective")):
            result = self.critpath("classpath", *RESNET, *arguments, "-out", "c")
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(word, result.err)
        result = self.critpath("explain", *network("vgg"), "photo.png", "-typical", "a.classpath.npz", "-out", "e")
        self.assertEqual(result.code, 2)
        self.assertIn("made with another cfg", result.err)

    def test_typical(self):
        self.count("all", *self.photos, "photo.png", "-sparsity", ".9")
        counts = numpy.load(self.path("all.classpath.npz"))
        for usual in ("0", ".5", "1"):
            done = self.done("explain", *RESNET, "photo.png", "-sparsity", ".9", "-typical", "all.classpath.npz", "-usual", usual,
                             "-out", "e", "-json", "-no-picture")
            answer = json.loads(done.out)["responses"][0]
            typical = answer["paths"][0]["typical"]
            k = counts["classes"].tolist().index(answer["class"])
            path = numpy.load(self.path("e.path.npz"))
            both = own = 0
            for name in layers(path):
                on = (counts[name][k] > 0) & (counts[name][k] >= float(usual) * counts["images"][k])
                both += int((on & path[name]).sum())
                own += int(path[name].sum())
            self.assertAlmostEqual(typical["share"], both / own, places=6)
            if usual == "0":
                self.assertEqual(typical["share"], 1)


def area(positive, negative):
    """Of the ROC curve, by definition."""
    if not len(positive) or not len(negative):
        return None
    return float(numpy.mean([(p > n) + .5 * (p == n) for p in positive for n in negative]))


class Attack(FolderTest):
    def test_areas_follow_from_the_table(self):
        from harness import png
        photos = [os.path.basename(write(self.path(f"p{k}.png"), png(20 + 3 * k, 40 - 2 * k))) for k in range(6)]
        self.done("classpath", *RESNET, *photos, "-method", "effective", "-out", "c")
        done = self.done("attack", *RESNET, *photos, "-method", "effective", "-typical", "c.classpath.npz", "-strength", "4,64",
                         "-out", "a", "-json")
        result = json.loads(done.out)
        self.assertEqual((result["photos"], result["adaptive"], len(result["attacks"])), (6, False, 4))
        with open(self.path("a.csv")) as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 6 * 5)
        same = [name for name in rows[0] if name.startswith("same_")]

        def values(row):
            kept = [float(row[n]) for n in same if row[n]]
            less = [float(row[n.replace("same", "rival")]) for n in same if row[n]]
            return {"max-softmax": 1 - float(row["max_softmax"]), "energy": float(row["energy"]),
                    "path": 1 - numpy.mean(kept), "path less rival's": 1 - numpy.mean(less)}
        own = [values(r) for r in rows if r["attacked"] == "0"]
        for attack in result["attacks"]:
            changed = [values(r) for r in rows if r["attack"] == attack["attack"] and r["changed"] == "1" and
                       abs(float(r["epsilon"]) - attack["epsilon"]) < 1e-9]
            self.assertEqual(attack["changed"], len(changed))
            for name, got in attack["auc"].items():
                expected = area([round(v[name], 7) for v in changed], [round(v[name], 7) for v in own])
                if expected is None:
                    self.assertIsNone(got)
                else:
                    self.assertAlmostEqual(got, expected, places=2)
        self.assertGreater(sum(a["changed"] for a in result["attacks"]), 0)
        for r in rows:
            if r["attacked"] == "0":
                self.assertEqual(r["class"], r["class_of_photo"])

    def test_refuses(self):
        self.done("classpath", *RESNET, "photo.png", "-out", "c")
        for arguments, word in (((*RESNET, "photo.png"), "typical"),
                                ((*YOLO, "photo.png", "-typical", "c.classpath.npz"), "made with another cfg"),
                                ((*RESNET, "photo.png", "-typical", "c.classpath.npz", "-strength", "0"), "strength")):
            result = self.critpath("attack", *arguments, "-out", "a")
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(word, result.err)


class RankAndBaseline(FolderTest):
    def score(self, *options):
        self.done("score", *RESNET, "photo.png", "-out", "s", *options)
        npz = numpy.load(self.path("s.score.npz"))
        return {name: npz[name].astype(float) for name in layers(npz)}

    def path_of(self, *options):
        self.done("path", *RESNET, "photo.png", "-sparsity", ".95", "-out", "p", *options)
        npz = numpy.load(self.path("p.path.npz"))
        return {name: npz[name] for name in layers(npz)}

    def test_rank_layer_selects_by_shares_of_the_layers(self):
        for method in ("mct", "lrp"):
            score, path = self.score("-method", method), self.path_of("-method", method, "-rank", "layer")
            share = {name: score[name] / max(score[name].sum(), 1e-30) for name in score}
            on = numpy.concatenate([share[n][path[n]] for n in share])
            off = numpy.concatenate([share[n][~path[n]] for n in share])
            self.assertGreaterEqual(on.min() * (1 + 1e-5), off.max())
            self.assertEqual(on.size, round(.05 * (on.size + off.size)))

    def test_rank_changes_what_layers_keep(self):
        network_wide, by_layer = self.path_of(), self.path_of("-rank", "layer")
        self.assertNotEqual([int(v.sum()) for v in network_wide.values()], [int(v.sum()) for v in by_layer.values()])

    def test_baseline_of_the_photo_itself_leaves_nothing(self):
        for method in ("mct", "lrp"):
            same = self.score("-method", method, "-baseline", "image=photo.png")
            self.assertEqual(sum(v.sum() for v in same.values()), 0)

    def test_baselines(self):
        zero = self.score("-baseline", "zero")
        plain = self.score()
        for name in plain:
            numpy.testing.assert_array_equal(zero[name], plain[name])
        from harness import png
        write(self.path("other.png"), png(30, 40))
        write(self.path("list.txt"), "other.png\nphoto.png\n")
        mean = self.score("-baseline", "mean=list.txt")
        image = self.score("-baseline", "image=other.png")
        for name in mean: # half way between the photo and the other picture
            numpy.testing.assert_allclose(mean[name], image[name] / 2, rtol=1e-3, atol=1e-5)
        for bad in ("mean=missing.txt", "image=missing.png", "grey"):
            self.assertEqual(self.critpath("score", *RESNET, "photo.png", "-out", "s", "-baseline", bad).code, 2, bad)


if __name__ == "__main__":
    main()
