"""Runs the commands of README.md and docs/ and compares what they print with what the pages say.

    /usr/bin/python3 tests/docs/run_commands.py [page ...]           compare
    /usr/bin/python3 tests/docs/run_commands.py -update [page ...]   rewrite the pages' outputs; look at the diff afterwards

Each page has a folder of its own, in which the project's files and the build appear as links, so that what
commands write goes away at the end. Commands of a page run in the page's order. The executable is $CRITPATH_DARKNET, or
build/darknet; folders besides it appear in build/ as well.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from compare import difference, renew
from pages import ROOT, blocks, pages, read

PYTHON = "/usr/bin/python3"
TIMES = re.compile(r"^\S.*: read [\d.]+, .*peak memory ")  # the line that an image leaves on stderr; no page shows it
TIMEOUT = 300
SKIP = 77


def darknet():
    return os.path.abspath(os.environ.get("CRITPATH_DARKNET", os.path.join(ROOT, "build", "darknet")))


def is_sanitized(executable):
    with open(executable, "rb") as file:
        return b"__asan_init" in file.read()


def is_for_gpu(executable):
    """Whether it was built with GPU=1: batch norm has another epsilon on a GPU, and values other last digits."""
    try:
        with open(os.path.join(os.path.dirname(executable), ".options"), encoding="utf-8") as file:
            return "GPU=1" in file.read()
    except OSError:
        return False


def make_folder(folder):
    """Links to the project's files and to the build's."""
    build = os.path.dirname(darknet())
    os.mkdir(os.path.join(folder, "build"))
    for source, to in ((ROOT, folder), (build, os.path.join(folder, "build"))):
        for name in os.listdir(source):
            if name not in ("build", ".git", "demo") or (source == build and name == "demo"):
                os.symlink(os.path.join(source, name), os.path.join(to, name))
    # What the other builds share, such as the official networks that are fetched once.
    for name in ("yolov3-tiny", "demo"):
        shared, link = os.path.join(ROOT, "build", name), os.path.join(folder, "build", name)
        if name == "demo" and os.path.islink(link):
            os.remove(link)
        elif name != "demo" and os.path.exists(shared) and not os.path.lexists(link):
            os.symlink(shared, link)


def execute(text, folder):
    """What the command prints, stdout and stderr as a terminal shows them, and its status."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    try:
        done = subprocess.run(["bash", "-c", text], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT, env=environment)
    except subprocess.TimeoutExpired:
        return [f"(no end after {TIMEOUT} s)"], 124
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    lines = [line for line in lines if not TIMES.match(line)]
    return (lines[:-1] if lines[-1] == "" else lines), done.returncode


class Run:
    """The commands of one page."""

    def __init__(self, page, update):
        self.page, self.update = page, update
        self.lines = read(page)
        self.run = self.left_out = 0
        self.faults, self.changes, self.skipped = [], [], []

    def start(self):
        folder = tempfile.mkdtemp(prefix="critpath-docs-")
        try:
            make_folder(folder)
            for block in blocks(self.lines):
                self.block(block, folder)
        finally:
            shutil.rmtree(folder)
        if self.changes:
            self.rewrite()

    def block(self, block, folder):
        if block.language not in ("console", "pycon"):
            return
        size = len(block.commands) or 1
        missing = block.needs and not os.path.exists(os.path.join(folder, block.needs))
        if block.not_run or missing:
            self.left_out += size
            self.skipped.append((block.line + 1, size, block.not_run or block.reason))
            return
        for text in block.before:
            execute(text, folder)
        if block.language == "pycon":
            self.doctest(block, folder)
        for command in block.commands:
            self.command(command, folder)

    def command(self, command, folder):
        self.run += 1
        found, status = execute(command.text, folder)
        fault = difference(command.expected, found)
        if not fault:
            return
        if self.update and status not in (124, 127):
            lines, lost = renew(command.expected, found)
            self.changes.append((command.first, command.last, lines))
            for line in lost:
                print(f"{self.page}:{command.line + 1}: nothing stands for: {line}")
            return
        number, line = fault
        said = command.expected[number] if number < len(command.expected) else "(nothing more)"
        self.faults.append(f"{self.page}:{command.first + number + 1}: status {status}\n  page:    {said}\n  printed: {line}")

    def doctest(self, block, folder):
        self.run += 1
        path = os.path.join(folder, ".session.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(block.lines) + "\n")
        found, status = execute(f"{PYTHON} -m doctest -o ELLIPSIS -o NORMALIZE_WHITESPACE .session.txt", folder)
        if status:
            self.faults.append(f"{self.page}:{block.line + 1}: " + "\n  ".join(found))

    def rewrite(self):
        for first, last, lines in reversed(self.changes):
            self.lines[first:last] = lines
        with open(os.path.join(ROOT, self.page), "w", encoding="utf-8") as file:
            file.write("\n".join(self.lines))


def main(arguments):
    update = arguments[:1] == ["-update"]
    chosen = arguments[1:] if update else arguments
    if not os.access(darknet(), os.X_OK):
        print(f"skipped: no executable at {darknet()} (CRITPATH_DARKNET)")
        return SKIP
    if is_sanitized(darknet()):
        print("skipped: the pages' times are those of a build without sanitizers")
        return SKIP
    if is_for_gpu(darknet()):
        print("skipped: the pages show what a build for the CPU prints")
        return SKIP
    runs = [Run(os.path.relpath(os.path.abspath(page), ROOT), update) for page in chosen] or [
        Run(page, update) for page in pages()]
    for run in runs:
        run.start()
        print(f"{run.page}: {run.run} commands run, {run.left_out} left out, {len(run.faults)} faults"
              + (f", {len(run.changes)} outputs rewritten" if update else ""))
        for line, size, reason in run.skipped:
            print(f"  line {line}, {size} left out: {reason}")
    faults = [fault for run in runs for fault in run.faults]
    print("\n".join(faults))
    total = sum(run.run for run in runs)
    print(f"{total} commands run, {sum(run.left_out for run in runs)} left out, {len(faults)} faults")
    return 1 if faults or (total < 10 and not chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
