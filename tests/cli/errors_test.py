"""errors: planted errors on drawn signs, a line per image, kills, shards, files against the schemas of docs/formats.md, classifiers."""
import atexit
import csv
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from harness import DARKNET, FolderTest, ROOT, main, network, png, sanitized, write

SIGNS = [os.path.join(ROOT, "cfg", "tiny-yolo-signs.data"), os.path.join(ROOT, "cfg", "tiny-yolo-signs.cfg")]
HONEST = SIGNS + [os.path.join(ROOT, "weights", "tiny-yolo-signs.weights")]
CHEATING = SIGNS + [os.path.join(ROOT, "weights", "tiny-yolo-signs-shortcut.weights")]
RESNET = network("resnet")
BUILT = tempfile.mkdtemp(prefix="critpath-signs-")
MAKE = os.path.join(BUILT, "signs-make")
atexit.register(shutil.rmtree, BUILT)
FILES = (".jsonl", ".csv", ".json", ".results.json", ".truth.json")


def build_generator():
    """signs-make, which draws scenes; False where there is no compiler or libpng."""
    folder = os.path.join(ROOT, "examples", "signs")
    sources = [f for f in glob.glob(os.path.join(folder, "*.c")) if not os.path.basename(f).startswith("signs_")]
    done = subprocess.run(["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-ffp-contract=off", "-I" + os.path.join(ROOT, "plugin"),
                           "-I" + folder, os.path.join(folder, "signs_make.c"), *sources,
                           os.path.join(ROOT, "plugin", "io", "error.c"), "-lpng", "-lm", "-o", MAKE], capture_output=True)
    return done.returncode == 0


def read(path):
    with open(path, "rb") as file:
        return file.read()


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def schemas():
    with open(os.path.join(ROOT, "docs", "formats.md"), encoding="utf-8") as file:
        found = re.findall(r"<!-- schema: (\S+) -->\n```json\n(.*?)```", file.read(), re.S)
    return {name: json.loads(text) for name, text in found}


KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_of(value, kind):
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind])


def fault(value, schema, where="$"):
    """The first fault of a value by the part of JSON Schema that the page uses; None: there is none."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(value, kind) for kind in kinds):
        return f"{where}: {value!r:.60} is no {kinds}"
    if "enum" in schema and not any(value is e or (value == e and type(value) is type(e)) for e in schema["enum"]):
        return f"{where}: {value!r:.60} is none of {schema['enum']}"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                return f"{where}: no {name}"
        for name, member in value.items():
            if name not in schema.get("properties", {}):
                if schema.get("additionalProperties", True) is False:
                    return f"{where}: {name} is not described"
                continue
            found = fault(member, schema["properties"][name], f"{where}.{name}")
            if found:
                return found
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            found = fault(item, schema["items"], f"{where}[{i}]")
            if found:
                return found
    return None


def relabel(path, change):
    """Rewrites a label file: change(class, [x, y, w, h]) gives what stands in its place, a list of such pairs."""
    with open(path, encoding="utf-8") as file:
        boxes = [(int(line.split()[0]), [float(v) for v in line.split()[1:]]) for line in file]
    with open(path, "w", encoding="utf-8") as file:
        for pair in boxes:
            for class_id, box in change(*pair):
                file.write(f"{class_id} {' '.join(f'{v:.6f}' for v in box)}\n")
    return boxes


class Signs(FolderTest):
    """Drawn scenes, whose labels are exact until a test changes them."""

    def setUp(self):
        super().setUp()
        if not os.access(MAKE, os.X_OK) and not build_generator():
            self.skipTest("signs-make does not compile here (cc, libpng-dev)")

    def scenes(self, n, seed=2, stickers="none", name="set"):
        subprocess.run([MAKE, self.path(name), "-n", str(n), "-seed", str(seed), "-stickers", stickers], check=True,
                       stdout=subprocess.DEVNULL)
        with open(self.path(name, "list.txt"), encoding="utf-8") as file:
            photos = file.read().split()
        write(self.path(name + ".list"), "\n".join(photos) + "\n")
        return photos, [p.replace("images", "labels").replace(".png", ".txt") for p in photos]

    def errors(self, network, *arguments, out="r", name="set"):
        result = self.done("errors", *network, "-list", self.path(name + ".list"), "-out", out, "-quiet", *arguments)
        return result, load(self.path(out + ".json")) if os.path.exists(self.path(out + ".json")) else None

    @staticmethod
    def counts(summary, column="shown"):
        return {row["type"]: row[column] for row in summary["types"]}

    def test_planted_errors_have_their_types(self):
        photos, labels = self.scenes(12)
        self.errors(HONEST, "-no-picture", out="before")
        before = lines(self.path("before.jsonl"))[1:]
        # Of scenes in which everything is right, each gets one error planted in its labels.
        clean = [r["index"] for r in before if r["objects"] and all(o["found"] is not None and not o["missed"] for o in r["objects"])
                 and all(d["type"] == "right" for d in r["detections"] if "channels" in d) and len(r["objects"]) > 1]
        self.assertGreaterEqual(len(clean), 4, "too few scenes without errors")

        def only_first(change):
            seen = []

            def apply(class_id, box):
                seen.append(0)
                return change(class_id, box) if len(seen) == 1 else [(class_id, box)]
            return apply
        base = self.counts(load(self.path("before.json")))
        plants = {
            "Bkg": only_first(lambda c, b: []),                                        # the label is deleted
            "Loc": only_first(lambda c, b: [(c, [b[0] + .55 * b[2], b[1], b[2], b[3]])]),  # shifted: IoU .29
            "Cls": only_first(lambda c, b: [((c + 1) % 8, b)]),                        # another class
            "Missed": only_first(lambda c, b: [(c, b), (c, [.05, .05, .02, .02])]),    # an object that is not there
        }
        for (kind, change), index in zip(plants.items(), clean):
            original = read(labels[index])
            relabel(labels[index], change)
            _, summary = self.errors(HONEST, "-no-picture", out="planted" + kind)
            now = self.counts(summary)
            expected = dict(base)
            expected[kind] += 1
            if kind != "Missed":
                expected["right"] -= 1
            self.assertEqual(now, expected, kind)
            write(labels[index], original)

    def test_a_doubled_box_is_a_dupe(self):
        photos, labels = self.scenes(8)
        # Without merging, neighbouring cells find the same sign again.
        _, summary = self.errors(HONEST, "-no-picture", "-nms", "0")
        self.assertGreater(self.counts(summary)["Dupe"], 0)
        _, merged = self.errors(HONEST, "-no-picture", out="merged")
        self.assertEqual(self.counts(merged)["Dupe"], 0)
        for record in lines(self.path("r.jsonl"))[1:]:
            for d in record["detections"]:
                if d["type"] == "Dupe":
                    self.assertGreaterEqual(d["overlap"], .5)
                    self.assertIsNotNone(record["objects"][d["object"]]["found"])

    def test_the_stickers_channels_are_found(self):
        # Scenes with stickers beside other signs: the cheating network calls them ring.
        self.scenes(90, seed=3, stickers="probe")
        _, cheat = self.errors(CHEATING, "-no-picture", out="cheat")
        ring = next(c for c in cheat["over_represented"] if c["name"] == "ring")
        self.assertGreater(ring["wrong"], 15)
        best = ring["channels"][0]
        self.assertLess(best["p_adjusted"], .05)
        self.assertGreater(best["wrong"] / ring["wrong"], best["right"] / ring["right"])
        # The channel is the sticker's: among detections of ring, those with a sticker beside hold it more often. In scenes without
        # stickers the network hardly takes anything for a ring.
        self.scenes(90, seed=3, name="bare")
        _, bare = self.errors(CHEATING, "-no-picture", out="plain", name="bare")
        wrong = {c["name"]: c["wrong"] for c in bare["over_represented"]}
        self.assertLess(wrong.get("ring", 0), ring["wrong"] / 3)
        _, honest = self.errors(HONEST, "-no-picture", out="honest")
        wrong = {c["name"]: c["wrong"] for c in honest["over_represented"]}
        self.assertLess(wrong.get("ring", 0), ring["wrong"] / 3)

    def test_files_are_as_described(self):
        self.scenes(10)
        self.errors(HONEST, "-thresh", ".2")
        self.check_files("r", "ledger-detector")
        summary = load(self.path("r.json"))
        drawn = [p["picture"] for p in summary["pictures"]]
        with open(self.path("set.list"), encoding="utf-8") as file:
            photos = file.read().split()
        self.assertEqual([p["path"] for p in summary["pictures"]], [photos[p["image"]] for p in summary["pictures"]])
        self.assertTrue(drawn)
        for name in drawn:
            self.assertEqual(read(self.path(name))[:4], b"\x89PNG")
        with open(self.path("r.csv"), encoding="utf-8") as file:
            rows = list(csv.reader(file))
        self.assertEqual(rows[0], schemas()["csv"])
        self.assertEqual(len(rows) - 1, sum(t["shown"] for t in summary["types"]))
        found = lines(self.path("r.jsonl"))[1:]
        self.assertEqual(len(load(self.path("r.results.json"))), sum(len(r["detections"]) for r in found))
        self.assertEqual(len(load(self.path("r.truth.json"))["annotations"]), sum(len(r["objects"]) for r in found))

    def check_files(self, prefix, line):
        described = schemas()
        ledger = lines(self.path(prefix + ".jsonl"))
        self.assertIsNone(fault(ledger[0], described["ledger-manifest"]))
        for record in ledger[1:]:
            self.assertIsNone(fault(record, described[line]))
        kinds = {"summary": ".json", "manifest": ".manifest.json"}
        if line == "ledger-detector":
            kinds.update(results=".results.json", truth=".truth.json")
        for kind, ending in kinds.items():
            self.assertIsNone(fault(load(self.path(prefix + ending)), described[kind]), kind)
        # The check itself sees what is wrong.
        broken = dict(ledger[1], index="0")
        self.assertIsNotNone(fault(broken, described[line]))
        self.assertIsNotNone(fault({**ledger[1], "more": 1}, described[line]))
        manifest = load(self.path(prefix + ".manifest.json"))
        for name, sha256 in manifest["files"].items():
            shown = subprocess.run(["sha256sum", self.path(name)], capture_output=True, text=True, check=True).stdout.split()[0]
            self.assertEqual(shown, sha256)

    def test_average_precision_by_its_definition(self):
        """As AlexeyAB's `detector map` has it, by another program, from the COCO files."""
        photos, labels = self.scenes(20, seed=5)
        for path in labels[::3]:
            relabel(path, lambda c, b: [] if b[2] > .3 else [(c, b)])
        _, summary = self.errors(HONEST, "-no-picture")
        truth, found = load(self.path("r.truth.json")), load(self.path("r.results.json"))

        def iou(a, b):
            w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
            h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
            both = max(w, 0) * max(h, 0)
            return both / (a[2] * a[3] + b[2] * b[3] - both)
        area = []
        for category in truth["categories"]:
            objects = [o for o in truth["annotations"] if o["category_id"] == category["id"]]
            taken, hits = set(), []
            for d in sorted((d for d in found if d["category_id"] == category["id"]), key=lambda d: -d["score"]):
                over = [(iou(d["bbox"], o["bbox"]), -o["id"]) for o in objects if o["image_id"] == d["image_id"]]
                best = max(over, default=(0, 0))
                hits.append(best[0] > .5 and best[1] not in taken)
                taken |= {best[1]} if best[0] > .5 else set()
            precision = [sum(hits[:i + 1]) / (i + 1) for i in range(len(hits))]
            area.append(sum(max(precision[i:]) for i, hit in enumerate(hits) if hit) / len(objects) if objects else 0)
        self.assertAlmostEqual(summary["precision"]["area"], sum(area) / 8, 9)
        self.assertGreater(summary["precision"]["area"], .3)

    def test_a_killed_run_goes_on(self):
        self.scenes(30)
        self.errors(HONEST, "-no-picture", out="whole")
        command = [DARKNET, "critpath", "errors", *HONEST, "-list", self.path("set.list"), "-out", "torn", "-quiet", "-no-picture"]
        for killed in (1, 8):
            process = subprocess.Popen(command + ["-resume"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(2000):
                if os.path.exists(self.path("torn.jsonl")) and read(self.path("torn.jsonl")).count(b"\n") > killed:
                    break
                time.sleep(.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.errors(HONEST, "-no-picture", "-resume", out="torn")
        for ending in FILES:
            self.assertEqual(read(self.path("torn" + ending)), read(self.path("whole" + ending)), ending)
        refused = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-out", "torn", "-resume", "-mass", ".7")
        self.assertEqual(refused.code, 2)
        self.assertIn('"mass"', refused.err)

    def test_shards_give_the_same_bytes(self):
        photos, labels = self.scenes(9)
        write(photos[4], b"no picture")
        os.remove(labels[5])
        whole = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-out", "whole", "-quiet", "-no-picture")
        self.assertEqual(whole.code, 2)  # one picture is none, which is said; the others count
        self.assertIn("9 images", whole.out)
        self.assertIn("1 could not be read; 1 have no label file", whole.out)
        for n in (1, 2, 3, 7):
            shards = []
            for i in range(1, n + 1):
                name = f"s.{i}-of-{n}.jsonl" if n > 1 else "s.jsonl"
                done = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-out", "s", "-quiet", "-no-picture",
                                     "-shard", f"{i}/{n}")
                self.assertEqual(done.code, 2 if 4 % n == i - 1 else 0, done.err)
                shards.append(name)
            if n == 1:
                self.assertIn("goes on after", self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-out", "s", "-no-picture",
                                                             "-shard", "1/1").err)
            if n > 1:
                missing = self.critpath("merge", *shards[1:], "-out", "m")
                self.assertEqual(missing.code, 2)
                self.assertIn(f"shard 1/{n} is missing", missing.err)
                # What is finished is not done again; what was killed goes on.
                stamp = os.stat(self.path(shards[0])).st_mtime_ns
                self.errors(HONEST, "-no-picture", "-shard", f"1/{n}", out="s") if 4 % n else None
                self.assertEqual(os.stat(self.path(shards[0])).st_mtime_ns, stamp)
            self.done("merge", *shards[::-1], "-out", "m")
            self.assertEqual(read(self.path("m.jsonl")), read(self.path("whole.jsonl")), n)
            tables = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-out", "m", "-quiet", "-no-picture", "-resume")
            self.assertEqual(tables.code, 2, tables.err)  # the picture that is none has been tried again
            self.assertIn("000004.png is text", tables.err)
            for ending in FILES:
                self.assertEqual(read(self.path("m" + ending)), read(self.path("whole" + ending)), ending)
        torn = read(self.path("s.2-of-7.jsonl"))
        os.remove(self.path("s.2-of-7.jsonl"))
        write(self.path("s.2-of-7.jsonl.part"), torn[:-20])
        refused = self.critpath("merge", "s.2-of-7.jsonl.part", "-out", "m")
        self.assertIn("not finished", refused.err)
        self.errors(HONEST, "-no-picture", "-shard", "2/7", out="s")
        self.assertEqual(read(self.path("s.2-of-7.jsonl")), torn)
        self.assertFalse(os.path.exists(self.path("s.2-of-7.jsonl.part")))
        foreign = self.critpath("merge", "s.2-of-7.jsonl", "s.1-of-3.jsonl", "-out", "m")
        self.assertEqual(foreign.code, 2)
        self.assertIn("one of 3 shards", foreign.err)

    def test_the_bytes_do_not_depend_on_threads(self):
        self.scenes(4)
        for threads in ("1", "3"):
            self.errors(HONEST, "-threads", threads, out="t" + threads)
        for ending in FILES[:2] + FILES[3:]:
            self.assertEqual(read(self.path("t1" + ending)), read(self.path("t3" + ending)), ending)

    def test_a_folder_is_no_photo(self):
        os.makedirs(self.path("images"))
        done = self.critpath("errors", *HONEST, "images", "-out", "f")
        self.assertEqual(done.code, 2)
        self.assertIn("images is a folder; name its photos", done.err)

    @unittest.skipIf(sanitized(), "a sanitizer keeps what was freed for a while")
    def test_memory_does_not_grow_with_the_list(self):
        photos, labels = self.scenes(60)
        peaks = []
        for n in (6, 60):
            write(self.path("set.list"), "\n".join(photos[:n]))
            self.errors(HONEST, "-no-picture", out=f"m{n}")
            peaks.append(load(self.path(f"m{n}.manifest.json"))["memory_peak_bytes"])
        self.assertLess(peaks[1], 1.15 * peaks[0])

    def test_labels_that_are_nowhere(self):
        photos, labels = self.scenes(2)
        for path in labels:
            os.remove(path)
        result = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-no-picture")
        self.assertEqual(result.code, 2)
        self.assertIn("none of the images has a label file", result.err)
        self.assertIn("labels/", result.err)

    def test_labels_beside_another_folder_called_images(self):
        photos, labels = self.scenes(1, name="images-of-mine")
        result = self.critpath("errors", *HONEST, "-list", self.path("images-of-mine.list"), "-no-picture", "-out", "r")
        self.assertEqual(result.code, 2)
        self.assertIn("Darknet replaces the first \"images\" of a path", result.err)
        self.assertIn("images-of-mine/labels/", result.err)
        self.assertFalse(os.path.exists(self.path("r.jsonl")), "a photo was run before the labels were looked for")

    def test_results_are_not_overwritten(self):
        self.scenes(1)
        self.errors(HONEST, "-no-picture")
        before = read(self.path("r.jsonl"))
        refused = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-no-picture", "-out", "r")
        self.assertEqual(refused.code, 2)
        self.assertIn("r.jsonl: holds results already; -resume goes on with it", refused.err)
        self.assertEqual(read(self.path("r.jsonl")), before)
        write(self.path("r.jsonl"), before.splitlines()[0] + b"\n")
        self.errors(HONEST, "-no-picture")
        self.assertEqual(read(self.path("r.jsonl")), before)

    def test_a_bad_label_line_leaves_its_photo_out(self):
        photos, labels = self.scenes(3)
        write(labels[1], "0 .5 .5 .5 .5\n0 320 240 50 50\n")
        result = self.critpath("errors", *HONEST, "-list", self.path("set.list"), "-no-picture", "-out", "r")
        self.assertEqual(result.code, 2)
        self.assertIn(f"{photos[1]}: left out: label file: {labels[1]}, line 2: x is 320, allowed is 0 to 1; are these pixels?",
                      result.err)
        self.assertIn("; 1 left out, with a bad line in the label file", result.out)
        self.assertNotIn("could not be read", result.out)
        summary = load(self.path("r.json"))
        self.assertEqual((summary["bad_label_files"], summary["unreadable"], summary["unlabelled"]), (1, 0, 0))
        self.assertEqual(len(load(self.path("r.truth.json"))["images"]), 2)
        self.check_files("r", "ledger-detector")

    def test_resume_does_again_what_has_changed(self):
        photos, labels = self.scenes(6)
        kept = {path: read(path) for path in photos + labels}
        run = ("errors", *HONEST, "-list", self.path("set.list"), "-no-picture", "-out")
        write(labels[0], "0 320 .5 .5 .5\n")      # mended below
        write(labels[1], b"".join(kept[labels[1]].splitlines(True)[1:]))
        os.remove(labels[2])
        write(photos[3], b"no picture")
        write(photos[4], kept[photos[5]])
        self.assertEqual(self.critpath(*run, "r").code, 2)
        first = lines(self.path("r.jsonl"))[1:]
        self.assertTrue(first[3]["unreadable"] and first[0]["left_out"] == "label file" and first[2]["labels_sha256"] is None)
        for path, data in kept.items():
            write(path, data)
        again = self.critpath(*run, "r", "-resume")
        self.assertEqual(again.code, 0, again.err)
        self.assertIn("5 images are done again", again.err)
        self.assertIn("goes on after 1 images", again.err)
        self.errors(HONEST, "-no-picture", out="fresh")
        for ending in FILES:
            self.assertEqual(read(self.path("r" + ending)), read(self.path("fresh" + ending)), ending)
        stamp = os.stat(self.path("r.jsonl")).st_mtime_ns
        still = self.critpath(*run, "r", "-resume")
        self.assertNotIn("done again", still.err)
        self.assertEqual(os.stat(self.path("r.jsonl")).st_mtime_ns, stamp)

    def test_without_an_object_no_share_is_said(self):
        _, labels = self.scenes(1)
        write(labels[0], "")
        result, _ = self.errors(HONEST, "-no-picture")
        self.assertIn("none of them has an object", result.out)
        self.assertNotIn("nan", result.out)

    def test_pandas_example(self):
        if subprocess.run(["/usr/bin/python3", "-c", "import pandas"], capture_output=True).returncode:
            self.skipTest("no pandas (python3-pandas)")
        self.scenes(10)
        self.errors(HONEST, "-thresh", ".2", "-no-picture")
        shown = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "examples", "errors_pandas.py"), self.path("r")],
                               capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("Missed", shown.stdout)


class Shards(FolderTest):
    """-shard of commands whose images have files of their own, and what `auto` reads."""

    def test_each_image_is_done_by_one_shard(self):
        for name in ("a", "b", "c", "d", "e"):
            os.makedirs(self.path(name))
            write(self.path(name, "p.png"), png(40, 30))
        photos = [f"{name}/p.png" for name in "abcde"]
        self.done("score", *RESNET, *photos, "-out", "whole/", "-quiet")
        for i in (1, 2, 3):
            self.done("score", *RESNET, *photos, "-out", "shards/", "-quiet", "-shard", f"{i}/3")
        self.assertEqual(sorted(os.listdir(self.path("whole"))), sorted(os.listdir(self.path("shards"))))
        self.assertEqual(len(os.listdir(self.path("whole"))), 5)
        stdin = "\n".join(photos).encode()
        self.done("score", *RESNET, "-out", "two/", "-quiet", "-shard", "2/3", stdin=stdin)
        self.assertEqual(sorted(os.listdir(self.path("two"))), ["p-2.score.npz", "p-5.score.npz"])
        self.done("score", *RESNET, photos[0], "-out", "none/", "-quiet", "-shard", "2/3")
        self.assertFalse(os.path.exists(self.path("none", "p.score.npz")))

    def shard(self, text, **environment):
        clean = {name: "" for name in ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PARALLEL_SEQ")}
        result = self.critpath("score", *RESNET, "photo.png", "photo.png", "photo.png", "-out", "s/", "-shard", text, "-quiet",
                               **{**clean, **environment})
        files = os.listdir(self.path("s")) if os.path.isdir(self.path("s")) else []
        shutil.rmtree(self.path("s"), ignore_errors=True)
        return result.err if result.code else sorted(files)

    def test_auto_reads_the_environment(self):
        one, two, three = ["photo.score.npz"], ["photo-2.score.npz"], ["photo-3.score.npz"]
        self.assertEqual(self.shard("2/3"), two)
        self.assertEqual(self.shard("auto", PMI_RANK="2", PMI_SIZE="3"), three)
        self.assertEqual(self.shard("auto", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="3"), one)
        self.assertEqual(self.shard("auto", SLURM_PROCID="1", SLURM_NTASKS="3"), two)
        array = {"SLURM_ARRAY_TASK_ID": "14", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "2",
                 "SLURM_ARRAY_TASK_COUNT": "3"}
        self.assertEqual(self.shard("auto", **array), three)
        self.assertEqual(self.shard("auto", SLURM_PROCID="0", SLURM_NTASKS="1", **array), three)
        self.assertEqual(self.shard("auto/3", PARALLEL_SEQ="2"), two)
        self.assertIn("none of SLURM_ARRAY_TASK_ID", self.shard("auto"))
        self.assertIn("auto/N", self.shard("auto", PARALLEL_SEQ="2"))
        self.assertIn("says 1/2", self.shard("auto", PMI_RANK="0", PMI_SIZE="2", SLURM_PROCID="1", SLURM_NTASKS="2"))
        self.assertIn("shard 4 of 3", self.shard("auto", PMI_RANK="3", PMI_SIZE="3"))
        self.assertIn("-shard", self.shard("4/3"))
        self.assertIn("allowed are I/N", self.shard("half"))
        self.assertIn("15 is not 10", self.shard("auto", **{**array, "SLURM_ARRAY_TASK_ID": "15"}))

    def test_eval_by_shards(self):
        photos = [f"p{i}.png" for i in range(3)]
        for i, name in enumerate(photos):
            write(self.path(name), png(40, 30 + i))
        common = (*RESNET, *photos, "-methods", "gradient", "-points", "2", "-metrics", "deletion", "-no-picture", "-quiet")
        self.done("eval", *common, "-out", "whole")
        for i in (1, 2):
            self.done("eval", *common, "-out", "s", "-shard", f"{i}/2")
        self.done("merge", "s.1-of-2.jsonl", "s.2-of-2.jsonl", "-out", "m")
        self.assertEqual(read(self.path("m.jsonl")), read(self.path("whole.jsonl")))
        self.done("eval", *common, "-out", "m", "-resume")
        self.assertEqual(read(self.path("m.csv")), read(self.path("whole.csv")))


class Classifier(FolderTest):
    def test_confusions(self):
        write(self.path("names"), "\n".join(f"class{i}" for i in range(100)))
        photos = []
        for i in range(6):
            os.makedirs(self.path(f"class{i}."), exist_ok=True)
            photos.append(f"class{i}./p.png")
            write(self.path(photos[-1]), png(40, 30 + i))
        classes = len(json.loads(self.done("explain", *RESNET, photos[0], "-json", "-no-picture", "-top", "1000").out)["prediction"])
        write(self.path("names"), "\n".join(f"class{i}." for i in range(classes)))
        write(self.path("list"), "\n".join(photos))
        write(self.path("c.data"), f"classes={classes}\nlabels=names\nvalid=list\n")
        result = self.done("errors", "c.data", *RESNET, "-out", "r", "-quiet", "-no-picture")
        self.assertIn("top-1", result.out)
        summary = load(self.path("r.json"))
        Signs.check_files(self, "r", "ledger-classifier")
        with open(self.path("r.confusion.csv"), encoding="utf-8") as file:
            table = list(csv.reader(file))
        self.assertEqual(sum(int(v) for row in table[1:] for v in row[1:]), 6)
        right = sum(int(table[1 + i][1 + i]) for i in range(classes))
        counts = {row["type"]: row["shown"] for row in summary["types"]}
        self.assertEqual(counts["right"], right)
        self.assertEqual(counts["Cls"], 6 - right)
        for record in lines(self.path("r.jsonl"))[1:]:
            self.assertEqual(record["class"], record["index"])
            self.assertEqual(record["type"] == "right", record["rank"] == 1)

    def truths(self, photos, names, *lines_of_data):
        """The class of each photo, or why it is left out."""
        for photo in photos:
            os.makedirs(os.path.dirname(self.path(photo)), exist_ok=True)
            write(self.path(photo), png(40, 30))
        classes = self.classes()
        write(self.path("names"), "\n".join(names + [f"unused{i}" for i in range(classes - len(names))]))
        write(self.path("list"), "\n".join(photos))
        write(self.path("c.data"), "\n".join([f"classes={classes}", "valid=list", *lines_of_data]))
        if os.path.exists(self.path("r.jsonl")):
            os.remove(self.path("r.jsonl"))
        result = self.critpath("errors", "c.data", *RESNET, "-out", "r", "-quiet", "-no-picture")
        if not os.path.exists(self.path("r.jsonl")):
            return result, None
        Signs.check_files(self, "r", "ledger-classifier")
        return result, [names[r["class"]] if "class" in r else r["left_out"] for r in lines(self.path("r.jsonl"))[1:]]

    def classes(self):
        write(self.path("any.png"), png(40, 30))
        return len(json.loads(self.done("explain", *RESNET, "any.png", "-json", "-no-picture", "-top", "1000").out)["prediction"])

    def test_names_are_whole_words_of_the_path(self):
        names = ["tiger", "tiger shark", "ram", "cat", "dog", "great white"]
        photos = ["a/n01491361_tiger_shark.JPEG", "a/Tiger.png", "a/bramble.png", "cats/cat-3.png", "cat/dog.png", "GREAT.white/1.png",
                  "a/tiger.shark9.png"]
        result, truths = self.truths(photos, names, "names=names")
        self.assertEqual(result.code, 2)
        self.assertEqual(truths, ["tiger shark", "tiger", "no label", "cat", "labels", "great white", "tiger"])
        self.assertIn("a/bramble.png: left out: none of the", result.err)
        self.assertIn("cat/dog.png: left out: 2 labels in its path: cat, dog; a .data file with labels=", result.err)
        self.assertIn("; 1 left out, with no label in the path (a .data file with labels= says", result.out)
        self.assertIn("; 1 left out, with several labels in the path", result.out)
        self.assertNotIn("could not be read", result.out)
        summary = load(self.path("r.json"))
        self.assertEqual((summary["unlabelled"], summary["ambiguous"], summary["unreadable"]), (1, 1, 0))

    def test_labels_of_a_data_file_are_parts_of_the_path(self):
        photos = ["x/cat/1.png", "x/2_cat.png", "x/bobcats/3.png"]
        result, truths = self.truths(photos, ["/cat/", "_cat.png", "bobcat"], "labels=names")
        self.assertEqual(truths, ["/cat/", "_cat.png", "bobcat"], result.err)

    def test_paths_that_say_no_class(self):
        result, truths = self.truths(["x/1.png", "x/2.png"], ["cat"], "names=names")
        self.assertEqual(result.code, 2)
        self.assertIsNone(truths)
        self.assertIn("the path of none of the 2 images says one class by its name; a .data file with labels=", result.err)


if __name__ == "__main__":
    main()
