"""make check-gpu: every test on the device, each network on the device against the CPU, then times; one table last.

Where there is no usable device every device test is a row that says `skipped`. --data names a folder of further networks: every
NAME.cfg with a NAME.weights beside it."""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SPARSITIES = 5  # of bench_engine's sweep
LIST_FIRST, LIST_IMAGES = 4, 36
SANITIZED = ("resnet", "yolov3-tiny")  # of tests/oracle


def networks(data):
    found = [("cfg/resnet8-cifar.cfg", "weights/resnet8-cifar.weights"),
             ("cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights")]
    for cfg in sorted(glob.glob(os.path.join(data, "*.cfg"))) if data else []:
        if os.path.exists(cfg[:-4] + ".weights"):
            found.append((cfg, cfg[:-4] + ".weights"))
    return found


def run_tests(build, work, env, timeout):
    """ctest on the device; how many passed, failed and were skipped."""
    log = os.path.join(work, "ctest.log")
    begin = time.time()
    with open(log, "w") as file:
        # test_make and the fuzzers build or run nothing of the device's.
        subprocess.call(["ctest", "--output-on-failure", "--timeout", str(timeout), "-j", str(os.cpu_count() or 1),
                         "-E", "test_make|fuzz"], cwd=os.path.join(build, "cmake"), env=env, stdout=file, stderr=file)
    with open(log) as file:
        text = file.read()
    rows = re.findall(r"Test +#\d+: (\S+) \.+ *(\*\*\*)?(\w+)", text)
    failed = [name for name, _, how in rows if how not in ("Passed", "Skipped")]
    skipped = [name for name, _, how in rows if how == "Skipped"]
    return {"run": len(rows), "failed": failed, "skipped": skipped, "seconds": time.time() - begin, "log": log}


class Engine:
    """bench_engine on the device or the CPU, one question a line."""
    def __init__(self, build, cfg, weights, env):
        self.process = subprocess.Popen([os.path.join(build, "cmake/tests/bench/bench_engine"), cfg, weights, "0"], env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.neurons = int(self.process.stdout.readline().split()[1])

    def ask(self, question, turns):
        best = float("inf")
        for _ in range(turns):
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
            best = min(best, float(self.process.stdout.readline()))
        return best

    def close(self):
        self.process.stdin.close()
        self.process.wait()


TORCH = """
import sys, time
sys.path.insert(0, %r)
import torch
from torch_peer import Net
if not torch.cuda.is_available():
    sys.exit(3)
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
net = Net(sys.argv[1], sys.argv[2])
first = net.net.layers[0]
for l in net.net.layers:
    for name, value in list(vars(l).items()):
        if torch.is_tensor(value):
            setattr(l, name, value.cuda())
x = torch.rand(1, first.c, first.h, first.w, device="cuda")
best = [9e9, 9e9]
for turn in range(12):
    leaf = x.clone().requires_grad_()
    torch.cuda.synchronize()
    t = time.perf_counter()
    with torch.no_grad():
        net.forward(x)
    torch.cuda.synchronize()
    best[0] = min(best[0], time.perf_counter() - t)
    unit = net.forward(leaf)[0].max()
    torch.cuda.synchronize()
    t = time.perf_counter()
    unit.backward()
    torch.cuda.synchronize()
    best[1] = min(best[1], time.perf_counter() - t)
print(best[0], best[1])
"""


def torch_times(cfg, weights):
    """PyTorch eager on the same card, or None."""
    code = TORCH % os.path.join(HERE, "..", "bench")
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    done = subprocess.run([python, "-c", code, cfg, weights], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return [float(word) for word in done.stdout.split()[-2:]] if done.returncode == 0 else None


def list_rate(args, cfg, weights, env, work):
    """Images per second of `explain -no-picture` over a list: what more images cost, so that opening does not count."""
    def run(n):
        folder = tempfile.mkdtemp(dir=work)
        begin = time.time()
        subprocess.run([os.path.join(args.build, "darknet"), "critpath", "explain", cfg, weights, "-sparsity", ".99", "-i",
                        args.device, "-thresh", "0", "-no-picture", "-quiet", "-out", folder + "/"], env=env, check=True,
                       input="examples/signs-two.png\n" * n, text=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)
        return time.time() - begin
    first = min(run(LIST_FIRST) for _ in range(2))
    return (LIST_IMAGES - LIST_FIRST) / max(min(run(LIST_IMAGES) for _ in range(2)) - first, 1e-3)


def sanitize(twin, env, work):
    """compute-sanitizer's verdicts on small networks; (text, whether something was found)."""
    rows, bad = [], False
    for tool in ("memcheck", "racecheck", "synccheck"):
        with open(os.path.join(work, tool + ".log"), "w") as log:
            codes = [subprocess.call(["compute-sanitizer", "--tool", tool, "--error-exitcode", "99", twin,
                                      "tests/oracle/cfg/%s.cfg" % name, "tests/oracle/%s.weights" % name],
                                     stdout=log, stderr=log, env=env) for name in SANITIZED]
        rows.append("%s %s" % (tool, "FOUND ERRORS, see %s" % log.name if 99 in codes else
                               "FAILED, see %s" % log.name if any(codes) else "clean"))
        bad |= any(codes)
    return ", ".join(rows), bad


def times(args, cfg, weights, env, work):
    device = Engine(args.build, cfg, weights, env)
    cpu = Engine(args.build, cfg, weights, {**env, "CRITPATH_GPU": "-1"})
    f, slow = device.ask("forward", 10), cpu.ask("forward", 3)
    row = {"F": f, "cpu": slow / f, "backward": device.ask("backward", 10) / f, "explain": device.ask("together .9", 10) / f,
           "intgrad": device.ask("intgrad 50", 1) / f, "sweep": device.ask("together-sweep", 5) / f,
           "torch": torch_times(cfg, weights)}
    device.close()
    cpu.close()
    row["rate"] = list_rate(args, cfg, weights, env, work)
    return row


def name_of(cfg):
    return os.path.basename(cfg)[:-4]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--data")
    parser.add_argument("--device", default="0")
    parser.add_argument("--timeout", type=int, default=240, help="seconds per test")
    parser.add_argument("--only-table", action="store_true", help="leave out ctest")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    work = os.path.join(args.build, "check-gpu")
    os.makedirs(work, exist_ok=True)
    # Tests wait for one another's threads on a small machine; the device does the work here.
    env = {**os.environ, "CRITPATH_GPU": args.device, "CRITPATH_DARKNET": os.path.join(args.build, "darknet"),
           "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
    env.pop("NVIDIA_TF32_OVERRIDE", None)
    twin = os.path.join(args.build, "cmake/tests/gpu/test_gpu_engine")
    begin, wrong = time.time(), []

    probe = subprocess.run([twin, "-probe"], stdout=subprocess.PIPE, text=True, env=env)
    there = probe.returncode == 0
    tests = None
    if there and not args.only_table:
        tests = run_tests(args.build, work, env, args.timeout)
        wrong += tests["failed"]
        if tests["failed"]:
            print("failed on the device: %s; see %s" % (", ".join(tests["failed"]), tests["log"]))
    parity = None
    pairs = [word for pair in networks(args.data)[2:] for word in pair]
    if there:
        done = subprocess.run([twin, "-table"], stdout=subprocess.PIPE, text=True, env=env)
        parity, bad = done.stdout, done.returncode
        if pairs:
            done = subprocess.run([twin, "-table"] + pairs, stdout=subprocess.PIPE, text=True, env=env)
            parity += done.stdout.split("\n", 1)[1] if "\n" in done.stdout else ""
            bad = bad or done.returncode
        if bad:
            wrong.append("parity")
    sanitized = "skipped: no compute-sanitizer in PATH"
    if there and shutil.which("compute-sanitizer") and "emulator" not in probe.stdout:
        sanitized, bad = sanitize(twin, env, work)
        if bad:
            wrong.append("compute-sanitizer")
    bench = {name_of(cfg): times(args, cfg, weights, env, work) for cfg, weights in networks(args.data)} if there else {}

    print("\n%s" % (probe.stdout.strip() or "device %s" % args.device))
    if not there:
        for what in ("ctest on the device", "parity with the CPU", "compute-sanitizer", "times"):
            print("%-24s skipped" % what)
    if tests:
        print("tests on the device: %d run, %d failed, %d skipped (%s), %.0f s" % (
            tests["run"], len(tests["failed"]), len(tests["skipped"]), " ".join(tests["skipped"]) or "none", tests["seconds"]))
    if parity:
        print("differences from the CPU, relative to the largest value; jaccard of the paths at 90%; selection bit by bit")
        print(parity.rstrip())
    if there:
        print("compute-sanitizer: %s" % sanitized)
    if bench:
        print("%-22s %9s %8s %9s %9s %11s %9s %9s %11s %12s" % (
            "times", "F ms", "CPU / F", "back / F", "explain/F", "IntGrad50/F", "sweep%d/F" % SPARSITIES, "list, 1/s",
            "torch F / F", "torch back/F"))
    for name, row in bench.items():
        peer = ["%.2f" % (seconds / row["F"]) for seconds in row["torch"]] if row["torch"] else ["-", "-"]
        print("%-22s %9.3f %8.1f %9.2f %9.2f %11.1f %9.2f %9.1f %11s %12s" % (
            name, row["F"] * 1e3, row["cpu"], row["backward"], row["explain"], row["intgrad"], row["sweep"], row["rate"],
            *peer))
    print("check-gpu: %s, %.0f s" % ("FAILED: " + ", ".join(wrong) if wrong else "passed" if there else "skipped",
                                     time.time() - begin))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
