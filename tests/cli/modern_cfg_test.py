"""Cfgs as later Darknets' users have them: which of their keys, values, activations and texts `layers` takes, and which it
refuses. What is refused ends with status 2 and names the line."""
from harness import FolderTest, critpath, main

BASE = """[net]
width=64
height=64
channels=3
[convolutional]
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=8
size=3
stride=1
pad=1
activation=leaky
[convolutional]
filters=18
size=1
stride=1
activation=linear
[yolo]
mask=0,1,2
anchors=4,4, 8,8, 16,16
classes=1
num=3
"""
HEAD, NET, SECOND = "[yolo]", "[net]", "[convolutional]"

# Section, line put into it, whether it is taken.
KEYS = [
    (HEAD, "iou_loss=ciou", True), (HEAD, "iou_normalizer=.07", True), (HEAD, "scale_x_y=1.05", True),
    (HEAD, "scale_xy=1.05", False), (HEAD, "nms_kind=greedynms", True), (HEAD, "nms_kind=diounms", True),
    (HEAD, "beta_nms=.6", True), (HEAD, "beta_nms=x", False), (HEAD, "new_coords=1", True), (HEAD, "max=200", True),
    (HEAD, "focal_loss=1", True), (HEAD, "track_history_size=5", True), (HEAD, "counters_per_class=1,2", True),
    (HEAD, "thing=1", False), (HEAD, "resize=1.5", True), (HEAD, "objectness_smooth=1", True), (HEAD, "yolo_point=center", False),
    (NET, "letter_box=1", True), (NET, "letterbox=1", False), (NET, "mosaic=1", True), (NET, "mosiac=1", False),
    (NET, "cutmix=1", True), (NET, "use_cuda_graph=1", True), (NET, "ema_alpha=.9998", True), (NET, "flip=0", True),
    (NET, "max_delta=5", False),
    (SECOND, "antialiasing=1", True), (SECOND, "antialiasing=2", True), (SECOND, "antialiasing=x", False),
    (SECOND, "dilation=2", True), (SECOND, "groups=2", True), (SECOND, "groups=3", False), (SECOND, "cbn=1", True),
    (SECOND, "share_index=-1", False), (SECOND, "coordconv=1", False), (SECOND, "coordconv=0", True), (SECOND, "xnor=1", False),
    (SECOND, "xnor=0", True), (SECOND, "bin_output=1", False), (SECOND, "assisted_excitation=1", True), (SECOND, "sway=1", True),
    (SECOND, "dontload=1", False), (SECOND, "stopbackward=1", True), (SECOND, "train_only_bn=1", True),
    (SECOND, "stride_x=1", True), (SECOND, "stridex=1", False),
]
ACTIVATIONS = {"mish": True, "swish": True, "hard_mish": True, "relu6": True, "gelu": True, "silu": False, "revleaky": True,
               "normalize_channels": True, "normalize_channels_softmax": True, "normalize_channels_softmax_maxval": True,
               "Leaky": False, "Mish": False}
TEXTS = {
    "byte order mark": (b"\xef\xbb\xbf" + BASE.encode(), True), "UTF-16": (BASE.encode("utf-16"), False),
    "UTF-16 without a mark": (BASE.encode("utf-16-le"), False), "CR LF": (BASE.replace("\n", "\r\n").encode(), True),
    "CR alone": (BASE.replace("\n", "\r").encode(), False), "blanks": (BASE.replace("\n", "  \t\n").encode(), True),
    "tabs": (BASE.replace("=", "\t=\t").encode(), True), "a comment": (BASE.replace("stride=1", "stride=1 # one").encode(), True),
    "a first comment": (("; x\n" + BASE).encode(), True), "short names": (BASE.replace("convolutional", "conv").encode(), True),
    "other capitals": (BASE.replace("[convolutional]", "[Convolutional]").encode(), False),
}


def with_key(section, line):
    at = BASE.index(section) if section != SECOND else BASE.index(section, BASE.index(section) + 1)
    end = BASE.index("\n", at) + 1
    return BASE[:end] + line + "\n" + BASE[end:]


class ModernCfg(FolderTest):
    def judge(self, text, taken, number=None):
        path = self.path("net.cfg")
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        result = critpath("layers", path, folder=self.folder)
        self.assertEqual(result.code, 0 if taken else 2, result.err)
        if number:
            self.assertIn(f"line {number}", result.out + result.err)

    def test_keys(self):
        for section, line, taken in KEYS:
            with self.subTest(section=section, line=line):
                text = with_key(section, line)
                named = not taken and not line.startswith(("share_index", "dontload", "groups"))
                self.judge(text, taken, text[:text.index(line)].count("\n") + 1 if named else None)

    def test_activations(self):
        for name, taken in ACTIVATIONS.items():
            with self.subTest(name=name):
                self.judge(BASE.replace("activation=leaky", "activation=" + name, 1), taken, None if taken else 10)

    def test_texts(self):
        for name, (text, taken) in TEXTS.items():
            with self.subTest(name=name):
                self.judge(text, taken)


if __name__ == "__main__":
    main()
