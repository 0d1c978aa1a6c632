"""Lists of images, several of which are under way at once: the same files and text as one after the other, failures in
their order, and an end that leaves nothing behind."""
import json
import os
import pty
import re
import resource
import signal
import subprocess
import unittest
import zipfile

from harness import DARKNET, FolderTest, main, network, png, write

RESNET = network("resnet")
IMAGES = 9


def arrays(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def no_file_above_a_block():
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))


class Lists(FolderTest):
    def setUp(self):
        super().setUp()
        self.images = ["image%d.png" % i for i in range(IMAGES)]
        for i, name in enumerate(self.images): # the first takes longest, so that others overtake it
            write(self.path(name), png(300 if i == 0 else 20 + 3 * i, 200 if i == 0 else 30 - i))

    def explain(self, out, *arguments, **options):
        os.makedirs(self.path(out))
        return self.critpath("explain", *RESNET, "-no-picture", "-quiet", "-out", out + "/", *arguments, **options)

    def results(self, out):
        found = {}
        for name in sorted(os.listdir(self.path(out))):
            path = self.path(out, name)
            if name.endswith(".json"):
                with open(path) as file:
                    found[name] = json.loads(file.read().replace('"%s/' % out, '"'))
                for changes in ("seconds", "memory_peak_bytes"):
                    del found[name][changes]
            else:
                with open(path, "rb") as file:
                    found[name] = file.read()
        return found

    def popen(self, *arguments, **options):
        process = subprocess.Popen([DARKNET, "critpath", "explain", *RESNET, "-no-picture", "-quiet", "-threads", "2",
                                    *arguments], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        return process

    def test_same_files_and_text_whatever_the_threads_and_memory(self):
        first = self.explain("one", *self.images, "-threads", "1", "-sparsity", ".9,.99")
        self.assertEqual(first.code, 0, first.err)
        expected = self.results("one")
        self.assertEqual(len(expected), IMAGES * 7)
        for out, options in (("two", ["-threads", "2"]), ("three", ["-threads", "3"]),
                             ("little", ["-threads", "3", "-mem", "600K"]), ("again", ["-threads", "2"])):
            result = self.explain(out, *self.images, *options, "-sparsity", ".9,.99")
            self.assertEqual(result.code, 0, result.err)
            self.assertEqual(result.out.replace(out + "/", "one/"), first.out)
            self.assertEqual(self.results(out), expected)

    def test_every_command_keeps_the_order(self):
        for command in ("score", "path", "grad"):
            result = self.done(command, *RESNET, *self.images, "-json", "-quiet", "-threads", "2",
                               *([] if command in ("score", "path") else ["-no-picture"]))
            self.assertEqual([json.loads(line)["image"] for line in result.out.splitlines()], self.images)

    def test_bad_images_are_said_in_order(self):
        write(self.path("text.png"), "this is no picture")
        some = ["gone1.png", *self.images[:4], "text.png", *self.images[4:7], "gone2.png"]
        result = self.explain("bad", "-threads", "2", stdin="\n".join(some).encode())
        self.assertEqual(result.code, 2)
        self.assertEqual([line.split(":")[0] for line in result.out.splitlines() if line.startswith("image")],
                         self.images[:7])
        lines = result.err.splitlines()
        self.assertEqual(len(lines), 3, result.err)
        for line, name in zip(lines, ("gone1.png", "text.png", "gone2.png")):
            self.assertIn(name, line)
        self.assertEqual(len(os.listdir(self.path("bad"))), 7 * 4)

    def test_lines_of_stdin(self):
        lines = "\ufeff\r\n\n  image1.png \t\r\n" + 100000 * "x" + "\n\nimage2.png  "
        result = self.explain("lines", "-threads", "2", stdin=lines.encode())
        self.assertEqual(result.code, 2)
        self.assertEqual([line.split(":")[0] for line in result.out.splitlines() if line.startswith("image")],
                         ["image1.png", "image2.png"])
        self.assertEqual(len(result.err.splitlines()), 1)
        self.assertEqual(self.explain("none", stdin=b"\n\n").code, 2)
        foreign = self.explain("foreign", stdin="image1.png\nimage2.png\n".encode("utf-16"))
        self.assertEqual((foreign.code, foreign.out), (2, ""))
        self.assertIn("list of images: stdin is UTF-16 text", foreign.err)

    def test_an_answer_does_not_wait_for_the_next_path(self):
        process = self.popen("-json")
        for name in self.images[:3]:
            process.stdin.write(name + "\n")
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())["image"], name)
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)

    def test_a_full_disk_ends_the_list_while_stdin_is_open(self):
        process = self.popen(preexec_fn=no_file_above_a_block)
        process.stdin.write("\n".join(self.images[:5]) + "\n")
        process.stdin.flush()
        self.assertEqual(process.wait(60), 3)
        self.assertEqual(len(process.stderr.read().splitlines()), 1)
        process.stdin.close()
        self.assertEqual([name for name in self.files() if name.endswith(".tmp")], [])

    def on_terminal(self, arguments, stdout=None, stdin=subprocess.DEVNULL):
        """Runs a list whose stderr is a terminal, and stdout too where it is None; returns what the terminal got."""
        try:
            ours, theirs = pty.openpty()
        except OSError as error:
            self.skipTest(f"no terminal to run it on: {error}")
        process = subprocess.Popen([DARKNET, "critpath", "explain", *RESNET, "-no-picture", "-threads", "1", "-out", "p",
                                    *arguments], cwd=self.folder, stdin=stdin, stderr=theirs,
                                   stdout=theirs if stdout is None else stdout)
        os.close(theirs)
        if stdin == subprocess.PIPE:
            process.stdin.write("\n".join(self.slow()).encode())
            process.stdin.close()
        text = b""
        while True:
            try:
                got = os.read(ours, 65536)
            except OSError:  # what Linux says at the end
                break
            if not got:
                break
            text += got
        os.close(ours)
        self.assertEqual(process.wait(60), 0, text)
        return text.decode()

    def slow(self):
        """Enough for a second or two of any machine: the progress line comes after half a second."""
        return 20 * self.images

    def test_progress_of_a_list(self):
        with open(self.path("results"), "wb") as results:
            text = self.on_terminal([*self.slow(), "-method", "intgrad", "-steps", "20"], results)
        total = len(self.slow())
        lines = re.findall(r"\rexplain (\d+)/(\d+)  \d+:\d\d  \d+:\d\d left\x1b\[K", text)
        self.assertGreater(len(lines), 1, text[-300:])
        self.assertEqual({line[1] for line in lines}, {str(total)})
        counts = [int(line[0]) for line in lines]
        self.assertEqual(counts, sorted(counts))
        # a note begins where the line has been taken away
        for note in re.finditer(r"image\d\.png: read ", text):
            before = text[:note.start()]
            self.assertTrue(before == "" or before.endswith(("\n", "\r\x1b[K")), repr(before[-60:]))
        with open(self.path("results")) as results:
            self.assertEqual(sum(line.startswith("image") for line in results), total)

    def test_progress_between_results_on_the_same_terminal(self):
        text = self.on_terminal([*self.slow(), "-method", "intgrad", "-steps", "20"])
        self.assertRegex(text, r"\rexplain \d+/180  ")
        # as a terminal shows it: of a line rewritten, the last
        shown = [re.split(r"\r", line.rstrip("\r"))[-1].replace("\x1b[K", "") for line in text.split("\n")]
        self.assertEqual(sum(line.startswith("image") and ": read" not in line for line in shown), 180)
        self.assertEqual([line for line in shown if "left" in line], [])

    def test_progress_of_paths_from_a_pipe(self):
        with open(self.path("results"), "wb") as results:
            text = self.on_terminal(["-method", "intgrad", "-steps", "20"], results, subprocess.PIPE)
        self.assertRegex(text, r"\rexplain \d+  \d+:\d\d\x1b\[K")  # nobody knows how many will come
        self.assertNotIn("left", text)
        self.assertEqual(self.on_terminal([*self.slow(), "-quiet"], subprocess.DEVNULL), "")

    def test_interrupted(self):
        process = self.popen(*200 * self.images)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        process.stdout.read()
        self.assertIn(process.wait(60), (-signal.SIGINT, 0))
        self.assertEqual([name for name in self.files() if name.endswith(".tmp")], [])


if __name__ == "__main__":
    main()
