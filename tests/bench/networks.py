"""Cfgs of networks that Debian's Darknet does not ship: YOLOv4-tiny and YOLOv7-tiny as their papers describe them, 416 x 416,
80 classes. Wang et al., "Scaled-YOLOv4", CVPR 2021; Wang et al., "YOLOv7", CVPR 2023."""

ANCHORS = {"yolov4-tiny": "10,14, 23,27, 37,58, 81,82, 135,169, 344,319",
           "yolov7-tiny": "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"}


class Builder:
    """The text of a cfg; layers are named by their numbers."""

    def __init__(self, size):
        self.text, self.n = ["[net]\nbatch=1\nsubdivisions=1\nwidth=%d\nheight=%d\nchannels=3\n" % (size, size)], 0

    def add(self, kind, **keys):
        self.text.append("[%s]\n" % kind + "".join("%s=%s\n" % pair for pair in keys.items()))
        self.n += 1
        return self.n - 1

    def conv(self, filters, size=1, stride=1, after=None):
        """A convolution of the layer before, or of layer `after`."""
        if after is not None and after != self.n - 1:
            self.add("route", layers=after)
        return self.add("convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation="leaky")

    def join(self, *layers):
        return self.add("route", layers=",".join(map(str, layers)))

    def pool(self, size, stride):
        return self.add("maxpool", size=size, stride=stride)

    def up(self):
        return self.add("upsample", stride=2)

    def yolo(self, name, mask, activation, **keys):
        self.add("convolutional", filters=255, size=1, stride=1, pad=1, activation=activation)
        self.add("yolo", mask=mask, anchors=ANCHORS[name], classes=80, num=ANCHORS[name].count(",") // 2 + 1, **keys)


def yolov4_tiny():
    b = Builder(416)
    b.conv(32, 3, 2), b.conv(64, 3, 2)
    for width in (64, 128, 256):
        whole = b.conv(width, 3)
        b.add("route", layers=-1, groups=2, group_id=1)
        first = b.conv(width // 2, 3)
        second = b.conv(width // 2, 3)
        b.join(second, first)
        stem = b.conv(width)
        b.join(whole, stem)
        b.pool(2, 2)
    b.conv(512, 3)
    neck = b.conv(256)
    b.conv(512, 3)
    head = {"scale_x_y": 1.05, "nms_kind": "greedynms", "beta_nms": .6}
    b.yolo("yolov4-tiny", "3,4,5", "linear", **head)
    b.conv(128, after=neck)
    b.join(b.up(), stem)
    b.conv(256, 3)
    b.yolo("yolov4-tiny", "0,1,2", "linear", **head)
    return "\n".join(b.text)


def layers_joined(b, width, out):
    """YOLOv7-tiny's block: two convolutions beside each other, two more behind one of them, all four joined."""
    before = b.n - 1
    one = b.conv(width)
    two = b.conv(width, after=before)
    three = b.conv(width, 3)
    four = b.conv(width, 3)
    b.join(four, three, two, one)
    return b.conv(out)


def pyramid(b):
    before = b.n - 1
    beside = b.conv(256)
    start = b.conv(256, after=before)
    pools = []
    for size in (5, 9, 13):
        if pools:
            b.join(start)
        pools.append(b.pool(size, 1))
    b.join(*pools[::-1], start)
    b.join(b.conv(256), beside)
    return b.conv(256)


def yolov7_tiny():
    b = Builder(416)
    b.conv(32, 3, 2), b.conv(64, 3, 2)
    layers_joined(b, 32, 64)
    stages = []
    for width in (64, 128, 256):
        b.pool(2, 2)
        stages.append(layers_joined(b, width, 2 * width))
    deep = pyramid(b)
    b.conv(128)
    up = b.up()
    b.join(b.conv(128, after=stages[1]), up)
    middle = layers_joined(b, 64, 128)
    b.conv(64)
    up = b.up()
    b.join(b.conv(64, after=stages[0]), up)
    fine = layers_joined(b, 32, 64)
    b.join(b.conv(128, 3, 2), middle)
    middle = layers_joined(b, 64, 128)
    b.join(b.conv(256, 3, 2), deep)
    coarse = layers_joined(b, 128, 256)
    for layer, width, mask in ((fine, 128, "0,1,2"), (middle, 256, "3,4,5"), (coarse, 512, "6,7,8")):
        b.conv(width, 3, after=layer)
        b.yolo("yolov7-tiny", mask, "logistic", scale_x_y=2.0, new_coords=1, nms_kind="greedynms", beta_nms=.6)
    return "\n".join(b.text)


CFGS = {"yolov4-tiny": yolov4_tiny, "yolov7-tiny": yolov7_tiny}
