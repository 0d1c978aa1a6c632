"""How alike two maps are, and how concentrated one is, against scikit-image, SciPy and NumPy on random maps.

    python3 similarity_scipy.py DUMP     compares; exit status 0, 1 where a limit is missed, 77 where a package is missing
    python3 similarity_scipy.py -golden  prints the numbers that test_eval_degrade.c has for Gini's index and the entropy

DUMP is the program built from dump.c. Maps: noise, ties, a few peaks, smooth waves, mostly zeros; some alike, some not. The
numbers of test_eval_similarity.c were made by the same functions with scikit-image 0.26 and SciPy 1.17."""
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np

try:
    from scipy.spatial.distance import pdist
    from scipy.stats import entropy, spearmanr
    from skimage.feature import hog
    from skimage.metrics import structural_similarity
except ImportError as missing:
    print("skipped: %s (pip install scikit-image scipy)" % missing)
    sys.exit(77)

warnings.filterwarnings("ignore")
NAMES = ("ssim", "rank", "rank_abs", "hog", "gini", "entropy", "histogram_entropy")
LIMIT = 2e-5  # our maps and their normalisation are float32


def unit(x):
    x = x.astype(np.float64)
    return x / np.abs(x).max()


def gradients(x):
    cell = 8 if min(x.shape) < 64 else 16
    return hog(unit(x), orientations=8, pixels_per_cell=(cell, cell), cells_per_block=(1, 1), block_norm="L2-Hys")


def gini(x):
    """The mean difference of two values, over twice their mean: n (n - 1) pairs of n^2 differ."""
    x = np.maximum(x.astype(np.float64).ravel(), 0)
    return pdist(x[:, None], "cityblock").sum() * 2 / x.size ** 2 / (2 * x.mean())


def histogram_entropy(x):
    x = x.astype(np.float64).ravel()
    x = x / np.sqrt((x ** 2).mean())
    spread = np.subtract(*np.percentile(x, [75, 25]))
    bins = (x.max() - x.min()) / (2 * spread / len(x) ** (1 / 3)) if spread > 0 else 200
    return entropy(np.histogram(x, bins=int(np.clip(np.ceil(bins), 10, 200)))[0])


def expected(a, b):
    ssim = structural_similarity(unit(a), unit(b), win_size=5, data_range=2, K1=.01, K2=.03, gaussian_weights=False,
                                 use_sample_covariance=True)
    return (ssim, spearmanr(a.ravel(), b.ravel())[0], spearmanr(np.abs(a).ravel(), np.abs(b).ravel())[0],
            spearmanr(gradients(a), gradients(b))[0], gini(a), entropy(np.maximum(a.ravel(), 0).astype(np.float64), base=2),
            histogram_entropy(a))


def make(kind, h, w, random):
    y, x = np.mgrid[0:h, 0:w]
    noise = random.standard_normal((h, w))
    return {"noise": noise, "ties": np.round(3 * noise), "peaks": noise ** 5,
            "waves": np.sin(x / 3) * np.cos(y / 5) + .01 * noise,
            "zeros": np.where(random.random((h, w)) < .9, 0, noise)}[kind].astype(np.float32)


def compare(dump, folder, a, b, what):
    paths = [os.path.join(folder, name) for name in ("a.npy", "b.npy")]
    np.save(paths[0], a)
    np.save(paths[1], b)
    found = [float(v) for v in subprocess.check_output([dump, "similarity", *paths], text=True).split()]
    wrong = [(name, f, e) for name, f, e in zip(NAMES, found, expected(a, b))
             if not abs(f - e) <= LIMIT * (1 + abs(e)) and not (np.isnan(f) and np.isnan(e))]  # of a constant nothing is defined
    for name, f, e in wrong:
        print("%s: %s %.9g, expected %.9g" % (what, name, f, e))
    return len(wrong)


def golden():
    """The map of 12 x 14 that test_eval_degrade.c makes."""
    i = np.arange(12 * 14)
    map_ = (np.sin(.7 * i + 1) * (1 + i % 7)).astype(np.float32)
    print("gini %.9f entropy %.9f" % (gini(map_), entropy(np.maximum(map_, 0).astype(np.float64), base=2)))


def main():
    if sys.argv[1] == "-golden":
        return golden()
    random, wrong, pairs = np.random.default_rng(7), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for h, w in ((24, 40), (64, 80)):
            for kind in ("noise", "ties", "peaks", "waves", "zeros"):
                a, b = make(kind, h, w, random), make("noise", h, w, random)
                for other, share in (("other", 0), ("alike", .8)):
                    mixed = (share * a + (1 - share) * b).astype(np.float32)
                    wrong += compare(sys.argv[1], folder, a, mixed, "%s %s %dx%d" % (kind, other, h, w))
                    pairs += 1
    print("%d pairs of maps, %d numbers each: %d wrong" % (pairs, len(NAMES), wrong))
    return int(wrong > 0)


sys.exit(main())
