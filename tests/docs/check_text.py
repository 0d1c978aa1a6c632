"""What can be said of the pages without running anything: links lead somewhere, files and folders that are named exist, what
the code cites is there, every command has its section, README.md stays short."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from compare import difference, renew
from pages import ROOT, all_markdown, blocks, pages, read

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:plugin|tests|tools|patches|cfg|weights|examples|docs)/[\w./*-]*)`")
CITED = re.compile(r"docs/([\w-]+)\.md((?:[ \n*,]+(?:and )?(?:section )?\d+(?:\.\d+)?)*)")
DRAFT = re.compile(r"\b(METHODS|DESIGN|MODERN|HOST)(-\d)?(\.md)?,? (section )?\d")
README_LINES = 200
PICTURE_BYTES = 250_000


def outside_blocks(page):
    lines = read(page)
    inside = {n for b in blocks(lines) for n in range(b.line, b.line + len(b.lines) + 2)}
    return [(n + 1, line) for n, line in enumerate(lines) if n not in inside]


def anchors(page):
    """As a forge makes them of headings: lower case, blanks to dashes, other signs gone."""
    found = set()
    for _, line in outside_blocks(page):
        heading = re.match(r"#+\s+(.*)", line)
        if heading:
            text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def sections(page):
    """Numbers of the page's numbered headings."""
    numbers = (re.match(r"#+\s+(\d+(?:\.\d+)?)\b", line) for _, line in outside_blocks(page))
    return {number.group(1) for number in numbers if number}


def sources():
    """Files of the project with code or text in them."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [n for n in names if n not in ("build", ".git") and not n.startswith("build-")]
        for name in files:
            if name.endswith((".c", ".h", ".cu", ".cpp", ".py", ".sh", ".md", ".mk", ".txt", ".patch", ".cmake")) or name == "Makefile":
                yield os.path.relpath(os.path.join(folder, name), ROOT)


class Pages(unittest.TestCase):
    def test_links_lead_somewhere(self):
        links = 0
        for page in all_markdown():
            for number, line in outside_blocks(page):
                for link in LINK.findall(line):
                    if re.match(r"[a-z]+:", link):
                        continue
                    links += 1
                    path, _, anchor = link.partition("#")
                    target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                    self.assertTrue(os.path.exists(os.path.join(ROOT, target)), f"{page}:{number}: no {target}")
                    if anchor:
                        self.assertIn(anchor, anchors(target), f"{page}:{number}: no such heading in {target}")
        self.assertGreater(links, 20)

    def test_named_files_exist(self):
        for page in pages():
            for number, line in outside_blocks(page):
                for name in NAMED.findall(line):
                    with self.subTest(page=page, line=number):
                        self.assertTrue(glob.glob(os.path.join(ROOT, name)), f"no {name}")

    def test_what_is_cited_is_there(self):
        citations = 0
        for path in sources():
            with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
                text = file.read()
            if path.startswith("tests/docs/"):
                continue
            for page, numbers in CITED.findall(text):
                name = f"docs/{page}.md"
                citations += 1
                self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"{path} cites {name}")
                for number in re.findall(r"\d+(?:\.\d+)?", numbers):
                    self.assertIn(number, sections(name), f"{path} cites {name} {number}")
            draft = DRAFT.search(text)
            self.assertIsNone(draft, f"{path} cites \"{draft and draft.group(0)}\", which is no page of the project")
        self.assertGreater(citations, 30)

    def test_readme_is_short(self):
        self.assertLessEqual(len(read("README.md")) - 1, README_LINES)

    def test_pictures_are_small(self):
        for name in os.listdir(os.path.join(ROOT, "docs")):
            if name.endswith((".png", ".jpg")):
                self.assertLess(os.path.getsize(os.path.join(ROOT, "docs", name)), PICTURE_BYTES, name)

    def test_commands_stand_in_blocks_that_are_run(self):
        """A command elsewhere would be one that nobody checks."""
        for page in pages():
            for block in blocks(read(page)):
                self.assertIn(block.language, ("console", "pycon", "text", "c", "ini", "json", "make"), f"{page}:{block.line + 1}")
                if block.language != "console":
                    for line in block.lines:
                        self.assertIsNone(re.match(r"\s*\$?\s*(make|sudo|build/darknet)\b", line), f"{page}: {line}")
            for number, line in outside_blocks(page):
                self.assertIsNone(re.match(r"    \$?\s*(make|sudo|build/darknet)\b", line), f"{page}:{number}: {line}")

    def test_every_command_has_a_section(self):
        executable = os.environ.get("CRITPATH_DARKNET", os.path.join(ROOT, "build", "darknet"))
        if not os.access(executable, os.X_OK):
            self.skipTest(f"no executable at {executable}")
        usage = subprocess.run([executable, "critpath", "help"], stdout=subprocess.PIPE, check=True).stdout.decode()
        commands = [m.group(1) for m in re.finditer(r"^  ([a-z]+) +[A-Z]", usage, re.M)]
        self.assertGreater(len(commands), 10, usage)
        documented = {line.split()[1].rstrip(":") for _, line in outside_blocks("docs/commands.md") if line.startswith("## ")}
        self.assertEqual(sorted(set(commands) - documented), [], "commands without a section in docs/commands.md")
        text = "\n".join(read("README.md"))
        for command in commands:
            self.assertRegex(text, rf"\b{command}\b", "README.md names every command")


    def test_every_json_key_is_described(self):
        executable = os.path.abspath(os.environ.get("CRITPATH_DARKNET", os.path.join(ROOT, "build", "darknet")))
        if not os.access(executable, os.X_OK):
            self.skipTest(f"no executable at {executable}")
        described = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", "\n".join(read("docs/files.md"))))))
        for network in ("cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights",
                        "cfg/cifar10.data cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights"):
            with tempfile.TemporaryDirectory() as folder:
                command = [executable, "critpath", "explain", *network.split(), "examples/signs-two.png", "-json", "-quiet",
                           "-no-picture", "-out", os.path.join(folder, "x")]
                printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
            self.assertEqual(sorted(keys_of(json.loads(printed)) - described), [], "keys that docs/files.md does not name")


def keys_of(value):
    """All keys of objects in it, but for those of tables and times."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    tables = {"layers", "top_channels", "top_neurons", "scoring", "seconds"}
    return set(value).union(*(keys_of(inner) for key, inner in value.items() if key not in tables))


class Compare(unittest.TestCase):
    """The comparison itself: what it lets pass, and what not."""

    def test_numbers(self):
        self.assertIsNone(difference(["a 1.23 s"], ["a  1.24 s"]))
        self.assertIsNotNone(difference(["a 1.23"], ["a 1.25"]))
        self.assertIsNotNone(difference(["6,460 of 646,016"], ["6,461 of 646,016"]))
        self.assertIsNotNone(difference(["1.2e-07"], ["1.2e-06"]))
        self.assertIsNone(difference(["1.2e-07"], ["1.3e-07"]))

    def test_text(self):
        self.assertIsNotNone(difference(["dog: 84%"], ["cat: 84%"]))
        self.assertIsNotNone(difference(["dog"], ["dog", "cat"]))
        self.assertIsNotNone(difference(["dog", "cat"], ["dog"]))
        self.assertIsNotNone(difference([], ["dog"]))
        self.assertIsNone(difference(["a", "..."], ["a", "b", "c"]))
        self.assertIsNone(difference(["a", "...", "c"], ["a", "c"]))
        self.assertIsNotNone(difference(["a", "...", "d"], ["a", "b", "c"]))
        self.assertIsNone(difference(["took ... s, 3 images"], ["took 7.1 s, 3 images"]))
        self.assertIsNotNone(difference(["took ... s, 3 images"], ["took 7.1 s, 4 images"]))

    def test_renew(self):
        self.assertEqual(renew(["a 1", "...", "c 3"], ["a 2", "b", "c 4", "d"]), (["a 2", "...", "c 4", "..."], []))
        self.assertEqual(renew(["a 1"], ["a 2", "b"]), (["a 2", "b"], []))
        self.assertEqual(renew(["took ... s"], ["took 4 s", "b"]), (["took ... s", "b"], []))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    unittest.main(verbosity=1)
