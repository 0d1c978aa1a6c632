"""Bad input of every kind: exit code 2, one line on stderr that names the thing, the value and the limit, nothing on
stdout, nothing written. The files are made here, from a small sound network. Under AddressSanitizer a leak changes the
exit code."""
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from harness import DARKNET, FolderTest, chunk, main, png, sanitized, write  # noqa: E402

NET = "[net]\nbatch=1\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
NORM = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
LAST = "[convolutional]\nfilters=5\nsize=1\nstride=1\nactivation=linear\n[avgpool]\n[softmax]\n"
GOOD = NET + CONV + LAST
YOLO = (NET + CONV + "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
        "[yolo]\nmask=0,1\nanchors=4,4, 8,8\nclasses=2\nnum=2\n")
FLOATS = 4 + 4 * 3 * 9 + 5 + 5 * 4  # of GOOD
HEADER = struct.pack("<iiiQ", 0, 2, 0, 64)


def floats(count, seed=1):
    state, values = seed, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        values.append((state / 0x7fffffff - .5) * .8)
    return struct.pack(f"<{count}f", *values)


def with_float(position, bits, count=FLOATS):
    data = bytearray(HEADER + floats(count))
    data[20 + 4 * position:24 + 4 * position] = struct.pack("<I", bits)
    return bytes(data)


GOOD_WEIGHTS = HEADER + floats(FLOATS)

# Bad cfg: the text, and what the message must hold beside the file's name.
CFG = {
    "empty": ("", ["empty"]),
    "blank": ("\n\n# nothing\n", ["no section", "[net]"]),
    "no net": (CONV + LAST, ["convolutional", "[net]"]),
    "net alone": (NET, ["no layer"]),
    "key before a section": ("width=16\n" + GOOD, ["line 1", "width=16"]),
    "line without =": (GOOD.replace("filters=4", "filters 4"), ["line 7", "filters"]),
    "unknown section": (GOOD.replace("[avgpool]", "[avgpoool]"), ["layer 2", "avgpoool"]),
    "unsupported lrn": (NET + CONV + "[lrn]\n" + LAST, ["layer 1", "lrn", "not supported"]),
    "unsupported rnn": (NET + "[rnn]\noutput=4\n", ["layer 0", "rnn", "not supported"]),
    "unsupported iseg": (NET + CONV + "[iseg]\n", ["layer 1", "iseg", "not supported"]),
    "unknown activation": (GOOD.replace("relu", "rleu"), ["layer 0", "rleu"]),
    "negative filters": (GOOD.replace("filters=4", "filters=-4"), ["layer 0", "filters", "-4", "1"]),
    "no number": (GOOD.replace("filters=4", "filters=four"), ["layer 0", "filters", "four"]),
    "number too large": (GOOD.replace("filters=4", "filters=99999999999999"), ["layer 0", "filters", "99999999999999"]),
    "stride 0": (GOOD.replace("stride=1", "stride=0", 1), ["layer 0", "stride", "0", "1"]),
    "size 0": (GOOD.replace("size=3", "size=0"), ["layer 0", "size", "0", "1"]),
    "size above the input": (GOOD.replace("size=3", "size=99").replace("pad=1", "pad=0"), ["layer 0", "99", "16"]),
    "groups 0": (GOOD.replace("size=3", "size=3\ngroups=0"), ["layer 0", "groups", "0"]),
    "groups that do not divide": (GOOD.replace("size=3", "size=3\ngroups=2"), ["layer 0", "groups", "2", "3"]),
    "width 0": (GOOD.replace("width=16", "width=0"), ["width=0"]),
    "negative height": (GOOD.replace("height=16", "height=-16"), ["height", "-16"]),
    "subdivisions 0": (GOOD.replace("batch=1", "batch=1\nsubdivisions=0"), ["subdivisions", "0", "1"]),
    "batch 0": (GOOD.replace("batch=1", "batch=0"), ["batch", "0", "1"]),
    "route without layers": (NET + CONV + "[route]\n" + LAST, ["layer 1", "layers"]),
    "route forward": (NET + CONV + "[route]\nlayers=3\n" + LAST, ["layer 1", "3", "0"]),
    "route too far back": (NET + CONV + "[route]\nlayers=-5\n" + LAST, ["layer 1", "-5"]),
    "shortcut without from": (NET + CONV + "[shortcut]\nactivation=linear\n" + LAST, ["layer 1", "from"]),
    "shortcut out of range": (NET + CONV + "[shortcut]\nfrom=99\nactivation=linear\n" + LAST, ["layer 1", "99"]),
    "huge network": (GOOD.replace("width=16", "width=60000").replace("height=16", "height=60000"),
                     ["60000x60000", "2147483647"]),
    "huge connected": (NET + "[connected]\noutput=2000000000\nactivation=relu\n[softmax]\n", ["layer 0", "2000000000"]),
    "yolo that does not fit": (YOLO.replace("filters=14", "filters=13"), ["layer 2", "13", "14"]),
    "anchors of the mask missing": (YOLO.replace("4,4, 8,8", "4,4"), ["layer 2", "anchors", "2", "4"]),
    "mask out of range": (YOLO.replace("mask=0,1", "mask=0,7"), ["layer 2", "mask", "7"]),
    "head read on": (YOLO + CONV, ["layer 3", "layer 2", "head"]),
    "key not supported": (GOOD.replace("size=3", "size=3\nxnor=1"), ["layer 0", "xnor=1", "gradient"]),
    "unknown key": (GOOD.replace("size=3", "size=3\nfiltres=1"), ["layer 0", "filtres", "filters"]),
    "very long line": ("[net]\nwidth=" + "1" * 100000 + "\n", ["line 2", "65535"]),
    "binary": (bytes(range(256)) * 4, ["line 1"]),
    "a picture": (png(20, 20), ["is a PNG picture, a cfg is needed"]),
    "many sections": (NET + "[dropout]\n" * 10001, ["10000"]),
}

# Bad weights for GOOD.
WEIGHTS = {
    "empty": (b"", ["empty"]),
    "header alone": (HEADER, ["20 bytes", str(20 + 4 * FLOATS)]),
    "half a header": (HEADER[:7], ["7", str(20 + 4 * FLOATS)]),
    "one float short": (GOOD_WEIGHTS[:-4], [str(len(GOOD_WEIGHTS) - 4), str(len(GOOD_WEIGHTS))]),
    "one float long": (GOOD_WEIGHTS + b"\0\0\0\0", [str(len(GOOD_WEIGHTS) + 4), str(len(GOOD_WEIGHTS))]),
    "NaN": (with_float(10, 0x7fc00000), ["layer 0", "weights", "NaN"]),
    "infinity": (with_float(2, 0xff800000), ["layer 0", "biases", "inf"]),
    "random bytes": (zlib.compress(bytes(range(256)) * 99, 9).ljust(len(GOOD_WEIGHTS), b"\xff")[:len(GOOD_WEIGHTS)],
                     ["bad.weights"]),
    "a cfg": (GOOD.encode(), ["is a cfg, weights that Darknet has written are needed"]),
}

GOOD_PNG = png(20, 16)
IMAGES = {
    "empty": (b"", ["empty"]),
    "text": (b"this is no picture\n", ["picture"]),
    "truncated": (GOOD_PNG[:len(GOOD_PNG) // 2], []),
    "PNG header alone": (GOOD_PNG[:33], []),
    "damaged": (GOOD_PNG[:41] + b"\xff" * 40 + GOOD_PNG[81:], []),
    "no width": (png(20, 16, claimed=(0, 16)), []),
    "side too large": (png(2, 2, claimed=(70000, 2)), ["70000", "65535"]),
    "too many pixels": (png(2, 2, claimed=(60000, 60000)), ["60000"]),
    "claims more rows than it has": (png(2, 2, claimed=(2, 20000)), []),
    "JPEG of nothing": (b"\xff\xd8\xff\xe0" + b"\0" * 50, []),
    "too narrow": (png(1, 5000), ["1x5000", "16x16"]),
    "shell": (b"$(touch hacked)", []),
}

# Arguments after `critpath`, where {cfg} {weights} {image} {yolo} {yolo_weights} {score} {path} stand for sound files.
OPTIONS = {
    "unknown command": ("explian {cfg} {weights} {image}", ["explian", "did you mean explain?"]),
    "nonsense command": ("frobnicate", ["frobnicate", "help"]),
    "help of no command": ("help frobnicate", ["frobnicate"]),
    "unknown option": ("explain {cfg} {weights} {image} -sparcity .9", ["-sparcity", "did you mean -sparsity?"]),
    "option of another command": ("score {cfg} {weights} {image} -offpath zeroed", ["-offpath", "explain, grad"]),
    "option without value": ("explain {cfg} {weights} {image} -out", ["-out", "value"]),
    "flag with value": ("explain {cfg} {weights} {image} -json=yes", ["-json", "no value"]),
    "ambiguous option": ("explain {cfg} {weights} {image} -th .5", ["-th", "-thresh, ", "-threads"]),
    "sparsity 1": ("explain {cfg} {weights} {image} -sparsity 1", ["-sparsity", "1", "0 to below 1"]),
    "negative sparsity": ("explain {cfg} {weights} {image} -sparsity -.1", ["-sparsity", "-.1", "0 to below 1"]),
    "sparsity no number": ("explain {cfg} {weights} {image} -sparsity .9,high", ["-sparsity", "high", "number"]),
    "sparsity NaN": ("explain {cfg} {weights} {image} -sparsity nan", ["-sparsity", "nan", "number"]),
    "empty sparsity": ("explain {cfg} {weights} {image} -sparsity=", ["-sparsity", "number"]),
    "thresh above 1": ("explain {yolo} {yolo_weights} {image} -thresh 50", ["-thresh", "50", "0 to 1"]),
    "unknown method": ("explain {cfg} {weights} {image} -method mtc", ["-method", "mtc", "mct"]),
    "unknown offpath": ("explain {cfg} {weights} {image} -offpath zero", ["-offpath", "zero", "frozen|zeroed"]),
    "bad memory": ("explain {cfg} {weights} {image} -mem lots", ["-mem", "lots", "2G"]),
    "bad threads": ("explain {cfg} {weights} {image} -threads -1", ["-threads", "-1", "0 to 1024"]),
    "class out of range": ("explain {cfg} {weights} {image} -class 5", ["-class", "5", "0 to 4"]),
    "class without names": ("explain {cfg} {weights} {image} -class dog", ["-class", "dog", "names"]),
    "class of no name": ("explain {cfg} {weights} {image} -class unicorn -names {names}", ["-class", "unicorn", "5"]),
    "class misspelt": ("explain {cfg} {weights} {image} -class seep -names {names}", ["-class", "seep", "sheep"]),
    "box of a classifier": ("explain {cfg} {weights} {image} -box 1", ["-box", "classifier"]),
    "target of a classifier": ("explain {cfg} {weights} {image} -target x", ["-target", "classifier"]),
    "box 0": ("explain {yolo} {yolo_weights} {image} -box 0", ["-box", "0", "1 to"]),
    "box some": ("explain {yolo} {yolo_weights} {image} -box some", ["-box", "some", "number"]),
    "box of a missing one": ("explain {yolo} {yolo_weights} {image} -thresh .01 -box 99999", ["-box 99999"]),
    "unit without index": ("explain {cfg} {weights} {image} -unit 1", ["-unit", "1", "LAYER:INDEX"]),
    "unit of no layer": ("explain {cfg} {weights} {image} -unit 99:0", ["99", "3"]),
    "unit out of range": ("explain {cfg} {weights} {image} -unit 0:1024", ["1024", "layer 0"]),
    "unit of a head": ("explain {cfg} {weights} {image} -unit 3:0", ["layer 3", "softmax"]),
    "unit and class": ("explain {cfg} {weights} {image} -unit 0:0 -class 1", ["-unit", "-class"]),
    "no arguments": ("explain", ["<cfg>", "missing"]),
    "no weights": ("explain {cfg}", ["<weights>", "missing"]),
    "no image": ("explain {cfg} {weights}", ["no image", "stdin"]),
    "cfg and weights swapped": ("explain {weights} {cfg} {image}", ["good.weights", "<cfg>"]),
    "missing cfg": ("explain gone.cfg {weights} {image}", ["gone.cfg", "No such file"]),
    "missing weights": ("explain {cfg} gone.weights {image}", ["gone.weights", "No such file"]),
    "missing image": ("explain {cfg} {weights} gone.png", ["gone.png", "No such file"]),
    "missing names": ("explain {cfg} {weights} {image} -names gone.names", ["gone.names", "No such file"]),
    "missing data": ("explain gone.data {cfg} {weights} {image}", ["gone.data", "No such file"]),
    "shell in an image's name": ("explain {cfg} {weights} $(touch${{IFS}}hacked).png", ["hacked", "No such file"]),
    "folder as cfg": ("explain folder {weights} {image}", ["folder"]),
    "folder as weights": ("explain {cfg} folder {image}", ["folder"]),
    "folder as image": ("explain {cfg} {weights} folder", ["folder"]),
    "device as image": ("explain {cfg} {weights} /dev/zero", ["/dev/zero", "regular file"]),
    "output folder missing": ("explain {cfg} {weights} {image} -out gone/x", ["-out", "gone", "does not exist"]),
    "output over a file": ("explain {cfg} {weights} {image} -out {image}/x", ["-out", "photo.png", "is no folder"]),
    "output prefix too long": ("explain {cfg} {weights} {image} -out " + "x" * 5000, ["-out", "5000"]),
    "layers with an image": ("layers {cfg} {weights} {image}", ["image", "photo.png"]),
    "score file and image": ("path {cfg} {weights} {image} -score {score}", ["-score", "photo.png"]),
    "score file and class": ("path {cfg} {weights} -score {score} -class 1", ["-score", "-class"]),
    "path file and sparsity": ("grad {cfg} {weights} {image} -path {path} -sparsity .5", ["-path", "-sparsity"]),
    "gradient and sparsity": ("grad {cfg} {weights} {image} -method gradient -sparsity .5", ["gradient", "-sparsity"]),
    "path file as score file": ("path {cfg} {weights} -score {path}", ["photo.path.npz"]),
    "score file as path file": ("grad {cfg} {weights} {image} -path {score}", ["photo.score.npz"]),
    "path of another network": ("grad {yolo} {yolo_weights} {image} -path {path}", ["photo.path.npz", "cfg"]),
}

# Files in places that are not theirs: what the message says that they are.
ARRAY = b"\x93NUMPY\1\0" + struct.pack("<H", 54) + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".ljust(53) + b"\n\0\0\0\0"
KINDS = {
    "picture": (png(20, 16), "a PNG picture"),
    "JPEG": (b"\xff\xd8\xff\xe0" + b"\0" * 50, "a JPEG picture"),
    "cfg": (GOOD.encode(), "a cfg"),
    "weights": (GOOD_WEIGHTS, "a weights file of Darknet"),
    "data": (b"# of the farm\nclasses = 5\nnames=good.names\n", "a .data file"),
    "names": (b"cow\nsheep\nhorse\ngoat\npig\n", "text"),
    "npz": (b"PK\3\4" + b"\0" * 60, "a zip archive"),
    "npy": (ARRAY, "a NumPy array"),
    "json": (b'{"a": 1}\n', "a JSON file"),
    "web page": (b"<!DOCTYPE html>\n<html></html>\n", "a web page"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
}
# The place of `wrong`, what belongs there, and what the message says that is needed.
PLACES = {
    "cfg": ("explain wrong {weights} {image}", ["cfg"], "a cfg is needed"),
    "weights": ("explain {cfg} wrong {image}", ["weights"], "weights that Darknet has written are needed"),
    "image": ("explain {cfg} {weights} wrong", ["picture", "JPEG"], "a picture (or, on stdin, a list of pictures) is needed"),
    "cfg of layers": ("layers wrong", ["cfg"], "a cfg is needed"),
    "names": ("explain {cfg} {weights} {image} -names wrong", ["names"], "a list of class names is needed"),
    "names in the place of data": ("explain wrong {cfg} {weights} {image}", ["names", "data"], "a list of class names is needed"),
    "path file": ("grad {cfg} {weights} {image} -path wrong", ["npz"], "an .npz file is needed"),
    "score file": ("path {cfg} {weights} -score wrong", ["npz"], "an .npz file is needed"),
    "array": ("picture wrong {image}", ["npy"], "an .npy array is needed"),
    "log": ("watch wrong", ["json"], "a log of a training is needed"),
    "list": ("gates {cfg} {weights} -list wrong -iterations 1", ["names"], "a list of pictures is needed"),
    "cfg of insert": ("insert wrong {path} {weights} {image}", ["cfg"], "a cfg is needed"),
    "path of insert": ("insert {cfg} wrong {weights} {image}", ["npz"], "an .npz file is needed"),
    "weights of insert": ("insert {cfg} {path} wrong {image}", ["weights"], "weights that Darknet has written are needed"),
    "cfg of prune": ("prune wrong {weights} {path}", ["cfg"], "a cfg is needed"),
    "weights of prune": ("prune {cfg} wrong {path}", ["weights"], "weights that Darknet has written are needed"),
    "picture of prune": ("prune {cfg} {weights} wrong", ["picture", "JPEG"], "a picture (or, on stdin, a list of pictures) is needed"),
}

NAMES = {
    "too few": ("a\nb\nc\n", ["3", "5"]),
    "empty": ("", ["empty"]),
    "very long line": ("x" * 5000 + "\nb\nc\nd\ne\n", ["line 1", "1024"]),
}
DATA = {
    "names file missing": ("names=gone.names\n", ["gone.names"]),
    "bad classes": ("classes=-3\n", ["classes", "-3"]),
    "not key=value": ("just words\n", ["line 1"]),
}


def rewritten(source, target, change):
    """Copies a .npz; change(name, bytes) gives the new bytes, or None to leave the member out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def meta_changed(**changes):
    def change(name, content):
        if name != "meta.json":
            return content
        return json.dumps({**json.loads(content), **changes}).encode()
    return change


def array_changed(old, new):
    return lambda name, content: content.replace(old, new) if name.startswith("layer_") else content


# Bad path files: how a sound one is changed, and what the message must hold.
PATH_FILES = {
    "no meta.json": (lambda name, content: None if name == "meta.json" else content, ["meta.json"]),
    "meta.json is no JSON": (lambda name, content: b"{" if name == "meta.json" else content, ["meta.json"]),
    "another version": (meta_changed(format_version=99, version=99), ["99", "1"]),
    "another cfg": (meta_changed(cfg_sha256="0" * 64), ["cfg"]),
    "other weights": (meta_changed(weights_sha256="0" * 64), ["weights"]),
    "no array": (lambda name, content: None if name.startswith("layer_") else content, ["layer_000_convolutional"]),
    "array too short": (lambda name, content: content[:-1] if name.startswith("layer_") else content,
                        ["layer_000_convolutional"]),
    "another shape": (array_changed(b"(4, 16, 16)", b"(4, 32, 8) "), ["(4, 32, 8)", "(4, 16, 16)"]),
    "larger shape": (array_changed(b"(4, 16, 16)", b"(4, 16, 17)"), ["1024", "1088"]),
    "another type": (array_changed(b"|b1", b"|u1"), ["layer_000_convolutional", "uint8", "bool"]),
    "pickled": (array_changed(b"|b1", b"|O "), ["layer_000_convolutional"]),
    "Fortran order": (array_changed(b"'fortran_order': False", b"'fortran_order': True "), ["layer_000_convolutional"]),
    "a bool of 7": (lambda name, content: content[:-1] + b"\7" if name.startswith("layer_") else content,
                    ["layer_000_convolutional", "7"]),
}


class Hostile(FolderTest):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("folder"))
        os.makedirs(self.path("out"))
        for name, content in {"good.cfg": GOOD, "good.weights": GOOD_WEIGHTS, "yolo.cfg": YOLO,
                              "yolo.weights": HEADER + floats(4 + 108 + 14 + 56), "good.names":
                              "cow\nsheep\nhorse\ngoat\npig\n"}.items():
            write(self.path(name), content)
        self.sound = {"cfg": "good.cfg", "weights": "good.weights", "image": "photo.png", "names": "good.names",
                      "yolo": "yolo.cfg", "yolo_weights": "yolo.weights", "score": "photo.score.npz",
                      "path": "photo.path.npz"}
        for command in ("score", "path"):
            made = self.critpath(command, "good.cfg", "good.weights", "photo.png", "-out", "photo")
            self.assertEqual(made.code, 0, made.err)

    def refused(self, arguments, needed, title, printed=False):
        before = self.files()
        result = self.critpath(*arguments, timeout=120)
        with self.subTest(title, message=result.err):
            self.assertEqual(result.code, 2, f"{result.out}{result.err}")
            if not printed:
                self.assertEqual(result.out, "")
            self.assertRegex(result.err, r"\Acritpath: [^\n]+\n\Z")
            self.assertLess(len(result.err), 1100)
            for part in needed:
                self.assertIn(part, result.err)
            self.assertEqual(os.listdir(self.path("out")), [])
            self.assertEqual(self.files(), before)
        if os.environ.get("SHOW"):
            print(f"{title:40} {result.err}", end="")

    def explain(self, *arguments):
        given = " ".join(arguments)
        return ["explain", *arguments] + (["-out", "out/x"] if " -out" not in given else [])

    def test_cfg(self):
        for title, (content, needed) in CFG.items():
            write(self.path("bad.cfg"), content)
            self.refused(self.explain("bad.cfg", "good.weights", "photo.png"), ["bad.cfg", *needed], "cfg: " + title)

    def test_weights(self):
        for title, (content, needed) in WEIGHTS.items():
            write(self.path("bad.weights"), content)
            self.refused(self.explain("good.cfg", "bad.weights", "photo.png"), ["bad.weights", *needed],
                         "weights: " + title)

    def test_network_for_other_than_photos(self):
        write(self.path("pair.cfg"), GOOD.replace("channels=3", "channels=2"))
        write(self.path("pair.weights"), HEADER + floats(FLOATS - 4 * 9))
        self.refused(self.explain("pair.cfg", "pair.weights", "photo.png"), ["pair.cfg", "2", "3"], "cfg: two channels")
        write(self.path("flat.cfg"), "[net]\ninputs=10\n[connected]\noutput=3\nactivation=relu\n[softmax]\n")
        write(self.path("flat.weights"), HEADER + floats(33))
        self.refused(self.explain("flat.cfg", "flat.weights", "photo.png"), ["flat.cfg"], "cfg: no image input")

    def test_negative_variance(self):
        write(self.path("norm.cfg"), NET + NORM + LAST)
        count = 4 * 4 + 108 + 25
        write(self.path("bad.weights"), with_float(4 * 3, 0xbf800000, count))
        self.refused(self.explain("norm.cfg", "bad.weights", "photo.png"),
                     ["bad.weights", "layer 0", "rolling_variance", "-1"], "weights: negative variance")

    def test_image(self):
        for title, (content, needed) in IMAGES.items():
            write(self.path("bad.png"), content)
            self.refused(self.explain("good.cfg", "good.weights", "bad.png"), ["bad.png", *needed], "image: " + title)
        self.assertNotIn("hacked", self.files())

    def test_names_and_data(self):
        for title, (content, needed) in NAMES.items():
            write(self.path("bad.names"), content)
            self.refused(self.explain("good.cfg", "good.weights", "photo.png", "-names", "bad.names"),
                         ["bad.names", *needed], "names: " + title)
        for title, (content, needed) in DATA.items():
            write(self.path("bad.data"), content)
            self.refused(self.explain("bad.data", "good.cfg", "good.weights", "photo.png"), needed, "data: " + title)

    def test_options(self):
        for title, (line, needed) in OPTIONS.items():
            arguments = [word.format(**self.sound) for word in line.split(" ")]
            # That a box is missing is known only after the prediction, which stays printed.
            self.refused(arguments, needed, "options: " + title, printed=title == "box of a missing one")
        self.assertNotIn("hacked", self.files())

    def test_files_in_the_place_of_others(self):
        for place, (line, right, needed) in PLACES.items():
            for kind, (content, name) in KINDS.items():
                if kind in right:
                    continue
                write(self.path("wrong"), content)
                arguments = [word.format(**self.sound) for word in line.split(" ")]
                out = [] if arguments[0] == "layers" else ["-out", "out/x"]
                said = [f"wrong is {name}", needed]
                if needed == "a cfg is needed" and kind == "names":  # may be a damaged cfg: its reader says which line is none of a cfg
                    said = ["wrong", "line 1"]
                if needed == "a cfg is needed" and kind == "data" and "insert" not in place:  # is right there; what follows is not
                    said = ["<cfg>"]
                self.refused(arguments + out, said, f"{kind} as {place}")

    def test_absurd_sum(self):
        """Every layer is legal, the last has 134 million values, and all of them a GB: nothing of that size is asked for."""
        write(self.path("doubling.cfg"), "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nactivation=relu\n" +
              "[route]\nlayers=-1,-1\n" * 22 + "[avgpool]\n[softmax]\n")
        limits = (["-mem", "500M"],) if sanitized() else (["-mem", "500M"], []) # a sanitizer reserves terabytes of addresses
        for limit, needed in ((["-mem", "500M"], "-mem: 500 MB is too little, one image of doubling.cfg needs 2593 MB"),
                              ([], "2717 MB of it for the values of one image, the machine has 2147 MB")):
            if limit not in limits:
                continue
            done = subprocess.run(["prlimit", *([] if limit else [f"--as={2 << 30}"]), DARKNET, "critpath", "explain", "doubling.cfg",
                                   "good.weights", "photo.png", *limit, "-threads", "1"], cwd=self.folder, stderr=subprocess.PIPE,
                                  env={**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"})
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(needed, done.stderr.decode())

    def test_path_files(self):
        for title, (change, needed) in PATH_FILES.items():
            rewritten(self.path("photo.path.npz"), self.path("bad.npz"), change)
            self.refused(["grad", "good.cfg", "good.weights", "photo.png", "-path", "bad.npz", "-out", "out/x"],
                         ["bad.npz", *needed], "path file: " + title)

    def test_path_files_that_are_no_archives(self):
        with open(self.path("photo.path.npz"), "rb") as file:
            sound = file.read()
        flipped = bytearray(sound)
        with zipfile.ZipFile(self.path("photo.path.npz")) as archive: # in the middle of an array's bytes
            largest = max(archive.infolist(), key=lambda member: member.compress_size)
        flipped[largest.header_offset + 30 + len(largest.filename) + largest.compress_size // 2] ^= 0x40
        for title, content in {"empty": b"", "text": b"a path, they say\n", "truncated": sound[:-30],
                               "half": sound[:len(sound) // 2], "one bit": bytes(flipped)}.items():
            write(self.path("bad.npz"), content)
            self.refused(["grad", "good.cfg", "good.weights", "photo.png", "-path", "bad.npz", "-out", "out/x"],
                         ["bad.npz"], "path file: " + title)

    def test_score_files(self):
        def score(bits):
            def change(name, content):
                return content[:-4] + struct.pack("<I", bits) if name.startswith("layer_") else content
            return change
        for title, change, needed in (("NaN", score(0x7fc00000), ["layer_000_convolutional", "nan"]),
                                      ("infinity", score(0x7f800000), ["layer_000_convolutional", "inf"]),
                                      ("negative", score(0xbf800000), ["layer_000_convolutional", "-1"]),
                                      ("other weights", meta_changed(weights_sha256="1" * 64), ["weights"])):
            rewritten(self.path("photo.score.npz"), self.path("bad.npz"), change)
            self.refused(["path", "good.cfg", "good.weights", "-score", "bad.npz", "-out", "out/x"],
                         ["bad.npz", *needed], "score file: " + title)

    def test_a_network_whose_output_is_not_finite(self):
        """Sound by the letter, but its logits overflow."""
        write(self.path("huge.weights"), HEADER + struct.pack(f"<{FLOATS}f", *[3e37] * FLOATS))
        self.refused(self.explain("good.cfg", "huge.weights", "photo.png"), ["photo.png", "finite"],
                     "weights: overflow")

    def test_a_picture_that_claims_what_it_has_not(self):
        """A PNG of a few hundred bytes that claims 40000 x 3000 pixels, which is within the limits."""
        rows = zlib.compress(b"\0" * 1000, 9)
        content = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 40000, 3000, 8, 0, 0, 0, 0)) +
                   chunk(b"IDAT", rows) + chunk(b"IEND", b""))
        write(self.path("bad.png"), content)
        self.refused(self.explain("good.cfg", "good.weights", "bad.png"), ["bad.png"], "image: claims what it has not")


if __name__ == "__main__":
    main()
