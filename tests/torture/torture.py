"""Lets the Nth allocation, or the Nth call that touches a file, of a command fail, for every N or for every STEPth, and judges
what the command makes of it. Right is: exit 3 with one line of reasons and either not one file of the result or the whole; or exit 0 with the
result that the command gives when nothing fails, where the call was one that a library or the program can do without.

usage: torture.py FAILING_LIBRARY DARKNET [--every STEP] [--only NAME] [--kills N] [--verbose]
prints a table: what, runs, outside, wrong; exits 1 where anything is wrong. Outside: the call was one of a library that
crashes or ends the program by itself when memory ends, which are listed here as OUTSIDE."""
import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESNET = [ROOT / "cfg/resnet8-cifar.cfg", ROOT / "weights/resnet8-cifar.weights"]
SIGNS = [ROOT / "cfg/tiny-yolo-signs.data", ROOT / "cfg/tiny-yolo-signs.cfg", ROOT / "weights/tiny-yolo-signs.weights"]
SCENE = ROOT / "examples/signs-two.png"
TIMES = re.compile(rb'"(read|forward|score|select|map|write|seconds|memory_peak_bytes)": [-0-9.e]+|(?<=,)[0-9.e-]+(?=\n)')

# libgomp says "Out of memory" and exits with 1; oneDNN writes its generated code into memory that it did not get.
OUTSIDE = re.compile(r" in lib(gomp|dnnl)\.so")

# name: (arguments behind `critpath`, commands that make the inputs)
CASES = {
    "explain, classifier": (["explain", *RESNET, SCENE, "-out", "out/x"], []),
    "explain, detector": (["explain", *SIGNS, SCENE, "-out", "out/x"], []),
    "insert": (["insert", RESNET[0], "photo.path.npz", RESNET[1], SCENE, "-out", "out/x.cfg"],
               [["path", *RESNET, SCENE, "-quiet", "-out", "photo"]]),
    "prune": (["prune", *RESNET, "photo.path.npz", "-out", "out/x"],
              [["path", *RESNET, SCENE, "-quiet", "-out", "photo"]]),
    "eval": (["eval", *SIGNS, SCENE, "-methods", "contribution,gradient", "-metrics", "deletion,gini", "-out", "out/x"], []),
}


def run(darknet, folder, arguments, environment):
    settings = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
    try:
        done = subprocess.run([darknet, "critpath", *map(str, arguments)], cwd=folder, env=settings, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        return "hang", late.stdout or b"", late.stderr or b""


def files(folder):
    return {str(p.relative_to(folder)): TIMES.sub(b"", p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def judge(code, out, err, made, wanted):
    """'' where the run is right, else what is wrong with it."""
    if code == "hang":
        return "hangs"
    if code == 0:
        return "" if made == wanted else "exit 0, other or missing files"
    if code == 3:
        if made != wanted and [name for name in made if not name.endswith(".jsonl")]: # a ledger keeps what is done, for -resume
            return "exit 3, files of a result that is not whole"
        return "" if re.fullmatch(rb"(?s).*?(critpath|darknet): [^\n]+\n", err) else "exit 3, no reason said"
    return f"exit {code}" if code > 0 else f"signal {-code}"


class Torture:
    def __init__(self, options):
        self.options = options
        options.library, options.darknet = os.path.abspath(options.library), os.path.abspath(options.darknet)
        self.wrong = collections.Counter()

    def one(self, name, kind, number):
        """Runs a case with one failing call; the files left of the result are judged."""
        arguments, _ = CASES[name]
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        code, text, err = run(self.options.darknet, self.folder, arguments,
                              {"LD_PRELOAD": self.options.library, "FAIL_LOG": str(log), kind: str(number)})
        return code, text, err, files(out), log.read_text() if log.exists() else ""

    def case(self, name):
        with tempfile.TemporaryDirectory() as folder:
            self.folder = pathlib.Path(folder)
            for arguments in CASES[name][1]:
                code, _, err = run(self.options.darknet, folder, arguments, {})
                assert code == 0, err
            code, _, err, wanted, log = self.one(name, "FAIL_ALLOCATION", 0)
            assert code == 0 and wanted, (name, code, err)
            counts = re.search(r"calls (\d+) allocations (\d+) io", log.splitlines()[-1])
            for kind, total, title in (("FAIL_ALLOCATION", int(counts[1]), "allocations"), ("FAIL_IO", int(counts[2]), "calls of files")):
                self.series(name, kind, total, title, wanted)

    def series(self, name, kind, total, title, wanted):
        runs, wrong, outside, step = 0, 0, 0, self.options.every
        for number in range(1 + (total // 2) % step, total + 1, step):
            code, out, err, made, log = self.one(name, kind, number)
            runs += 1
            fault = judge(code, out, err, made, wanted)
            where = log.splitlines()[0] if log else "?"
            if fault and OUTSIDE.search(where):
                outside += 1
            elif fault:
                wrong += 1
                self.wrong[(fault, re.sub(r"^failed (\w+) \d+ in ", r"\1 of ", where))] += 1
                if self.options.verbose:
                    print(f"  {name}, {kind} {number}: {fault}; {where}; {err[-200:]!r}", flush=True)
        print(f"{name + ', ' + title + ' failing':48} {runs:6} of {total:6} {outside:8} {wrong:6}", flush=True)

    def row(self, what, runs, outside, wrong):
        print(f"{what:48} {runs:6}           {outside:8} {wrong:6}", flush=True)

    def kills(self):
        """Killed anywhere: each file of the result is whole or not there, and the next run leaves nothing else."""
        name, wrong = "explain, classifier", 0
        command = [self.options.darknet, "critpath", *map(str, CASES[name][0])]
        settings = {**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
        with tempfile.TemporaryDirectory() as folder:
            self.folder, out = pathlib.Path(folder), pathlib.Path(folder, "out")
            out.mkdir()
            started = time.monotonic()
            assert run(self.options.darknet, folder, CASES[name][0], {})[0] == 0
            length, wanted = time.monotonic() - started, files(out)
            for number in range(self.options.kills):
                shutil.rmtree(out)
                out.mkdir()
                process = subprocess.Popen(command, cwd=folder, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                # From the middle on more of them: that is where files are written.
                time.sleep(length * ((number + 1) / self.options.kills) ** .5)
                process.kill()
                process.wait()
                made = {n: c for n, c in files(out).items() if not pathlib.Path(n).name.startswith(".cp-")}
                left = len(files(out)) - len(made)
                fault = "a file that is not whole" if any(wanted.get(n) != c for n, c in made.items()) else ""
                if left and (run(self.options.darknet, folder, CASES[name][0], {})[0] or files(out) != wanted):
                    fault = "what it left is not removed"
                if fault:
                    wrong += 1
                    self.wrong[(fault, "kill -9")] += 1
        self.row("explain, killed", self.options.kills, 0, wrong)

    def all(self):
        print(f"{'what':48} {'runs':>6}           {'outside':>8} {'wrong':>6}")
        for name in CASES:
            if self.options.only in name:
                self.case(name)
        if self.options.kills:
            self.kills()
        for (fault, where), n in self.wrong.most_common():
            print(f"wrong: {n} x {fault}: {where}")
        return 1 if self.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("darknet")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    sys.exit(Torture(parser.parse_args()).all())
