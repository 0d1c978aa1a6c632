"""sanity: maps that never ask the network are named, stages in each order, files, the same results every time."""
import csv
import hashlib
import json
import os
import unittest

from harness import ROOT, FolderTest, main, network

SIGNS = tuple(os.path.join(ROOT, name) for name in
              ("cfg/tiny-yolo-signs.data", "cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights"))
SCENE = os.path.join(ROOT, "examples/signs-two.png")
RESNET = network("resnet")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Sanity(FolderTest):
    def report(self, *arguments):
        return json.loads(self.done("sanity", *arguments, "-json", "-no-picture", "-out", "s").out)

    def rows(self):
        with open(self.path("s.csv"), encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_a_map_that_ignores_the_network_is_named(self):
        before = digest(SIGNS[2])
        result = self.done("sanity", *SIGNS, SCENE, "-methods", "contribution,gradcam,edges", "-stages", "2", "-out", "s")
        self.assertIn("\n  controls that ignore the network, as all must: 5 of 5\n", result.out)
        self.assertNotIn("ignores the network", result.out) # a finding would be of a map that claims to explain it
        above, below = result.out.split("  controls, which never ask the network about the photo:\n")
        for name in ("contribution", "gradcam"):
            self.assertRegex(above, rf"\n  {name} ")
        for name in ("edges", "box", "cell", "centre", "random"):
            self.assertRegex(below, rf"(^|\n)  {name}  ")
            self.assertNotRegex(above, rf"\n  {name} ")
        self.assertEqual(before, digest(SIGNS[2]))
        with open(self.path("s.json"), encoding="utf-8") as file:
            maps = json.load(file)["maps"]
        self.assertEqual(maps["edges"]["verdict"], "ignores the network")
        self.assertIsNone(maps["gradcam"]["verdict"])
        self.assertEqual({name: maps[name]["control"] for name in maps}, {
            "contribution": False, "gradcam": False, "edges": True, "box": True, "cell": True, "centre": True, "random": True})
        *stages, shifted = maps["edges"]["stages"]
        for stage in stages:
            self.assertEqual([stage[m] for m in ("ssim", "spearman", "spearman_abs", "entropy_change")], [1, 1, 1, 0])
        self.assertAlmostEqual(shifted["spearman"], 1, 4) # up to the rounding of a shifted photo
        self.assertLess(maps["gradcam"]["stages"][1]["spearman_abs"], .4)
        with open(self.path("s.png"), "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")

    def test_layers_that_no_response_reads_keep_their_weights(self):
        """The cross of the scene is found by the fine head: the coarse head's layers do not matter to it."""
        run = ("sanity", *SIGNS, SCENE, "-methods", "gradient", "-order", "independent", "-no-picture", "-out", "s")
        text = self.done(*run).out
        with open(self.path("s.json"), encoding="utf-8") as file:
            found = json.load(file)
        unread = found["unread_layers"]
        self.assertTrue(unread)
        self.assertIn("layers that no response reads keep their weights: " + ", ".join(map(str, unread)) + "\n", text)
        layers = [int(s["test"].split()[1]) for s in found["maps"]["gradient"]["stages"] if s["test"].startswith("layer")]
        self.assertTrue(layers and not set(layers) & set(unread))
        for stage in found["maps"]["gradient"]["stages"][:len(layers)]:
            self.assertLess(stage["ssim"], 1)
        # A sign that the coarse head finds reads its layers; the map of the other one has no value there.
        both = self.report(*SIGNS, SCENE, SCENE.replace("two", "bare"), "-methods", "gradient", "-order", "independent")
        self.assertEqual(both["unread_layers"], [])
        rows = [row for row in self.rows() if row["map"] == "gradient" and row["test"] == "random" and row["layer"] == str(unread[0])]
        self.assertEqual([row["ssim"] == "" for row in rows], [True, False])

    def test_stages_in_each_order(self):
        run = (*RESNET, "photo.png", "-methods", "gradient")
        found = self.report(*run)["maps"]["gradient"]["stages"]
        layers = [int(s["test"].split()[1]) for s in found[:-2]]
        self.assertEqual(layers, sorted(layers, reverse=True))
        self.assertGreater(len(layers), 3)
        self.assertEqual([s["test"] for s in found[-2:]], ["other class", "shifted input"])
        self.assertEqual(len(self.rows()), 3 * len(found))
        up = self.report(*run, "-order", "bottom-up")["maps"]["gradient"]["stages"]
        self.assertEqual([int(s["test"].split()[1]) for s in up[:-2]], layers[::-1])
        for measure in ("ssim", "spearman"): # all layers random, the same draws
            self.assertEqual(up[len(layers) - 1][measure], found[len(layers) - 1][measure])
        alone = self.report(*run, "-order", "independent")["maps"]["gradient"]["stages"]
        self.assertEqual([s["test"] for s in alone[:-2]], [f"layer {n}" for n in layers] + ["all layers"])
        self.assertEqual(alone[0]["spearman"], found[0]["spearman"])
        self.assertEqual(alone[len(layers)]["spearman"], found[len(layers) - 1]["spearman"])
        few = self.report(*run, "-stages", "2")["maps"]["gradient"]["stages"]
        self.assertEqual(len(few), 2 + 2)
        self.assertEqual(few[1]["test"], f"layer {layers[-1]}")
        self.assertEqual(few[1]["spearman"], found[len(layers) - 1]["spearman"])

    def test_the_same_each_time_and_by_seed(self):
        run = (*RESNET, "photo.png", "-methods", "gradient,contribution", "-stages", "2")
        first = self.report(*run, "-threads", "1")
        self.assertEqual(first, self.report(*run, "-threads", "2"))
        self.assertNotEqual(first, self.report(*run, "-seed", "5"))
        self.assertNotEqual(first, self.report(*run, "-initialiser", "darknet"))

    def test_smooth_maps_and_histograms(self):
        run = (*RESNET, "photo.png", "-methods", "gradient", "-stages", "1")
        plain, smooth = self.report(*run), self.report(*run, "-noisy", "3", "-hog")
        self.assertIsNone(plain["maps"]["gradient"]["stages"][0]["hog"])
        self.assertIsNotNone(smooth["maps"]["gradient"]["stages"][0]["hog"])
        self.assertNotEqual(plain["maps"]["gradient"]["stages"][0]["ssim"], smooth["maps"]["gradient"]["stages"][0]["ssim"])
        self.assertEqual(smooth["maps"]["centre"]["stages"][0]["ssim"], 1)

    def test_integrated_gradients_are_complete(self):
        found = self.report(*SIGNS, SCENE, "-methods", "inputintgrad,inputmct", "-stages", "1")["maps"]
        self.assertAlmostEqual(found["inputintgrad"]["completeness"], 1, delta=.1)
        self.assertGreater(abs(found["inputmct"]["completeness"] - 1), .1)

    def test_a_list_and_what_is_wrong(self):
        found = self.report(*SIGNS, SCENE, SCENE.replace("two", "bare"), "-methods", "edges", "-stages", "1")
        self.assertEqual(found["responses"], 2)
        self.assertEqual(len({row["image"] for row in self.rows()}), 2)
        for row in self.rows(): # each image against itself, not against another one
            self.assertEqual(float(row["ssim"]), 1)
        for arguments, words in ((("-order", "sideways"), "top-down"), (("-methods", "edge"), "edges"),
                                 (("-target", "objectness"), "allowed are classes"), (("-thresh", ".9999"), "no image has a response")):
            result = self.critpath("sanity", *SIGNS, SCENE, *arguments)
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(words, result.err)


if __name__ == "__main__":
    main()
