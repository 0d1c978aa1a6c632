"""Help of every command against what the command does: what is listed is taken, and the defaults are those in use."""
import json
import os
import re
import shlex
import shutil
import subprocess

from harness import DARKNET, ROOT, FolderTest, critpath, main, network

RESNET = network("resnet")
YOLO = network("yolov3")
TIMES = ("seconds", "memory", "peak")
# A value for options whose help shows none to choose from, by what stands for it there.
VALUES = {"NAME|N": "1", "K|all": "all", "LAYER:INDEX": "1:2", "P": ".5", "IOU": ".4", "K": "3", "FILE": "x",
          "F": ".1", "B": ".1", "N": "4", "S[,S...]": ".5,.9", "F[,F...]": ".1,.5", "S": ".5", "M,M...": "mct,intgrad", "SEED": "3",
          "SHARE": ".5", "LIST": "x", "E": ".5", "A": ".5", "auto|N": "7", "T": ".1", "R": ".1", "M": ".5", "G": ".1",
          "C": "2", "PREFIX": "x", "CFG": "x.cfg", "SIZE": "1G", "N[,N...]": "0", "auto|S[,S...]": "auto,.9",
          "auto|S": "auto", "METHOD": "gradcam", "L": "2", "T,T...": "deletion,energy",
          "channels|LAYER:INDEX": "channels", "channels": "channels", "NODES": "40", "E[,E...]": "2,4"}


def options(text):
    """(name, value as shown or None, default or None) of each option in a help text."""
    found = []
    for entry in re.split(r"\n(?=  -|\S|\n)", text):
        match = re.match(r"  -(\S+)(?: ([^ \n]+))?(.*)", entry, re.S)
        if match:
            meaning = " ".join(match[3].split())
            default = re.search(r"\(default ([^()]*)\)$", meaning)
            found.append((match[1], match[2], default and default[1]))
    return found


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not any(word in k for word in TIMES)}
    return [without_times(v) for v in value] if isinstance(value, list) else value


COMMANDS = re.findall(r"(?m)^  (\w+) ", critpath("help").out.split("Options may stand")[0])
METHODS = re.findall(r"(?m)^  ([\w-]+) ", critpath("grad", "-h").out.split("\nmethods;")[1].split("\n\n")[0])


class Help(FolderTest):
    def test_there_is_something_to_test(self):
        self.assertGreaterEqual(len(COMMANDS), 13)
        self.assertGreaterEqual(len(METHODS), 10)

    def test_every_option_listed_is_taken(self):
        for command in COMMANDS:
            text = self.done(command, "-h").out
            listed = options(text)
            self.assertGreaterEqual(len(listed), 7, command)
            self.assertEqual(len({name for name, _, _ in listed}), len(listed), command)
            # All of them at once, each value in its turn; a refusal would name the option.
            for turn in range(12):
                words = ["-h"]
                for name, value, default in listed:
                    words.append("-" + name)
                    if value is not None:
                        samples = [VALUES[value]] if value in VALUES else value.split("|")
                        if default and re.fullmatch(r"[\w.]+", default) and (value, default) != ("N", "all"):
                            samples.append(default)
                        words.append(samples[turn % len(samples)])
                with self.subTest(command=command, words=words):
                    self.assertEqual(self.done(command, *words).out, text)
            name = next(name for name, value, _ in listed if value is not None)
            refused = self.critpath(command, "-" + name)
            self.assertEqual((refused.code, f"option -{name} needs a value" in refused.err), (2, True))

    def test_options_of_a_method(self):
        for command in ("explain", "score", "prune"):
            general = {name for name, _, _ in options(self.done(command, "-h").out)}
            for method in METHODS[:-1]: # without the plain gradient
                listed = options(self.done(command, "-h", method).out)
                self.assertEqual(self.done("help", command, method).out, self.done(command, "-h", method).out)
                for name, value, default in listed:
                    with self.subTest(command=command, method=method, option=name):
                        self.assertNotIn(name, general)
                        sample = VALUES[value] if value in VALUES else value.split("|")[0]
                        self.done(command, "-method", method, "-" + name, sample, "-h")
                        other = self.critpath(command, *RESNET, "photo.png", "-method", "active", "-" + name, sample)
                        self.assertEqual(other.code, 2)
                        self.assertIn(f"-{name} does nothing with method active", other.err)

    def defaults(self, text):
        return [word for name, value, default in options(text)
                if default and " " not in default and "STEM" not in default for word in ("-" + name, default)]

    def test_help_of_a_map(self):
        """A map's own help, of the command that takes it; of `grad`'s where the command does not."""
        for command in ("grad", "eval", "sanity"):
            text = self.done(command, "-h", "gradcam").out
            self.assertRegex(text, rf"^usage: .* {command} .* -methods? gradcam ")
            self.assertIn("Selvaraju", text)
        text = self.done("explain", "-h", "gradcam").out
        self.assertTrue(text.startswith("explain has no method gradcam; grad has:"))
        self.assertIn("Selvaraju", text)
        self.assertIn("-theta", self.done("explain", "-h", "effective").out)

    def test_defaults_are_those_in_use(self):
        """A run with every default spelt out prints what a run without any prints."""
        for command, files in (("explain", YOLO), ("score", RESNET), ("path", RESNET), ("grad", YOLO),
                               ("faithful", RESNET), ("linearity", RESNET), ("gates", RESNET)):
            spelt = self.defaults(self.done(command, "-h").out)
            least = ["-thresh", ".005"] if files is YOLO else [] # nothing reaches more there
            self.assertGreater(len(spelt), 3)
            with self.subTest(command=command, defaults=spelt):
                runs = [self.done(command, *files, "photo.png", "-json", "-quiet", *more).out
                        for more in (least, spelt + least)]
                self.assertEqual(*(without_times(json.loads(run)) for run in runs))

    def test_defaults_of_methods_are_those_in_use(self):
        for method in ("intgrad", "shapley", "greedy", "dgr"):
            spelt = self.defaults(self.done("score", "-h", method).out)
            self.assertGreater(len(spelt), 1)
            short = {"dgr": ["-iterations", 3], "shapley": ["-granularity", "channel"]}.get(method, [])
            with self.subTest(method=method, defaults=spelt):
                same = ("score", *RESNET, "photo.png", "-json", "-quiet", "-method", method, *short)
                runs = [self.done(*same, *more).out for more in ([], spelt)]
                self.assertEqual(*(without_times(json.loads(run)) for run in runs))

    def test_where_results_go(self):
        self.done("score", *RESNET, "photo.png", "-quiet")
        self.assertEqual(self.files(), ["photo.critpath.score.npz", "photo.png"])
        for command, arguments in (("prune", (*RESNET, "photo.png")), ("insert", (RESNET[0], "x.npz", "-mode", "zero")),
                                   ("strip", (RESNET[0],))):
            text = self.done(command, "-h").out
            self.assertRegex(" ".join(text.split()), r"-out (PREFIX|CFG) [^()]*\(needed\)")
            refused = self.critpath(command, *arguments)
            self.assertEqual(refused.code, 2)
            self.assertIn("-out is missing", refused.err)

    def test_score_has_no_sparsity_but_greedy_s(self):
        self.assertNotIn("-sparsity S", self.done("score", "-h").out)
        self.assertIn("-sparsity S", self.done("score", "-h", "greedy").out)
        refused = self.critpath("score", *RESNET, "photo.png", "-sparsity", ".5")
        self.assertEqual(refused.code, 2)
        self.assertIn("-sparsity does nothing with method mct; it is of greedy", refused.err)

    def test_examples_work(self):
        """Of every command, one after the other in a copy of the files that they name; that of `roar` needs CIFAR-10 and hours."""
        for folder in ("cfg", "weights", "examples"):
            shutil.copytree(os.path.join(ROOT, folder), self.path(folder))
        for command in COMMANDS:
            if command == "roar":
                continue
            text = self.done(command, "-h").out.split("\nexample: ")[1]
            words = shlex.split(text.replace("\\\n", " "))
            with self.subTest(command=command, example=words):
                self.assertEqual(words[:3], ["darknet", "critpath", command])
                done = subprocess.run([DARKNET, *words[1:]], cwd=self.folder, capture_output=True, timeout=300)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    main()
