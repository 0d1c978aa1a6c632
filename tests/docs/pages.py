"""The project's pages: README.md, CHANGELOG.md, docs/*.md and other Markdown files, and the blocks in them.

A block of commands is fenced as ```console: each line `$ command` (continued after a backslash) is followed by what the
command prints. A block of Python is fenced as ```pycon and holds a doctest. An HTML comment in front of a block says what is
special about it:

    <!-- not run: reason -->         nothing of the block is run
    <!-- needs: path; reason -->     the block is run where that path exists
    <!-- before: command -->         run first, unseen; what it prints does not matter
"""
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTIVE = re.compile(r"<!--\s*(not run|needs|before):\s*(.*?)\s*-->", re.S)


def pages():
    """Paths of the pages whose commands are run, relative to the project's folder."""
    return ["README.md"] + sorted(os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "docs", "*.md")))


def all_markdown():
    """Paths of all Markdown files of the project."""
    found = pages() + ["CHANGELOG.md", "CONTRIBUTING.md"]
    for folder in ("patches", "weights", "tests/emulate", "examples"):
        found += sorted(os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, folder, "*.md")))
    return [p for p in found if os.path.exists(os.path.join(ROOT, p))]


def read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read().split("\n")


class Command:
    """One `$ command` of a block. Lines are numbered from 0; expected is lines[first:last]."""

    def __init__(self, text, line, first):
        self.text, self.line, self.first, self.last, self.expected = text, line, first, first, []


class Block:
    """A fenced block. `line` is that of the opening fence."""

    def __init__(self, language, line):
        self.language, self.line = language, line
        self.lines, self.commands, self.before = [], [], []
        self.not_run = self.needs = self.reason = None


def blocks(lines):
    """The fenced blocks of a page, in order."""
    found, block, pending = [], None, ""
    for number, line in enumerate(lines):
        if block is not None:
            if line.startswith("```"):
                found.append(block)
                block = None
            else:
                block.lines.append(line)
        elif line.startswith("```"):
            block = Block(line[3:].strip(), number)
            add_directives(block, pending)
            pending = ""
        elif line.strip():
            pending = pending + "\n" + line if inside_comment(pending) or line.startswith("<!--") else ""
    if block is not None:
        raise ValueError(f"line {block.line + 1}: a block without an end")
    for block in found:
        if block.language == "console":
            add_commands(block)
    return found


def inside_comment(text):
    return text.rfind("<!--") > text.rfind("-->")


def add_directives(block, text):
    for name, value in DIRECTIVE.findall(text):
        if name == "not run":
            block.not_run = value
        elif name == "needs":
            block.needs, _, reason = value.partition(";")
            block.reason = reason.strip() or f"{block.needs} is not there"
        else:
            block.before.append(value)


def add_commands(block):
    at = 0
    while at < len(block.lines):
        line, start = block.lines[at], at
        if not line.startswith("$ "):
            raise ValueError(f"line {block.line + at + 2}: a console block begins with `$ command`")
        text = line[2:]
        while text.endswith("\\") and at + 1 < len(block.lines):
            at += 1
            text = text[:-1] + block.lines[at].lstrip()
        at += 1
        command = Command(text, block.line + 1 + start, block.line + 1 + at)
        while at < len(block.lines) and not block.lines[at].startswith("$ "):
            command.expected.append(block.lines[at])
            at += 1
        command.last = block.line + 1 + at
        block.commands.append(command)
