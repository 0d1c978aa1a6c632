#!/usr/bin/env python3
"""What `darknet critpath errors -out PREFIX` found, by pandas: errors by type and class, the images with most of them, and the clusters
whose errors look elsewhere than into their boxes.

    examples/errors_pandas.py PREFIX
"""
import json
import sys

import pandas


def main(prefix):
    table = pandas.read_csv(prefix + ".csv")
    with open(prefix + ".json", encoding="utf-8") as file:
        summary = json.load(file)
    wrong = table[table["type"] != "right"].copy()
    wrong["class"] = wrong["name"].fillna(wrong["object_name"])
    print(wrong.groupby(["class", "type"]).size().unstack(fill_value=0).to_string(), end="\n\n")
    print(wrong.groupby("image").size().sort_values(ascending=False).head(5).to_string(), end="\n\n")
    clusters = wrong.dropna(subset=["cluster"]).groupby(["type", "cluster"])
    print(clusters.agg(errors=("score", "size"), inside=("inside", "mean")).to_string(), end="\n\n")
    gains = pandas.DataFrame(summary["types"]).set_index("type")["gain"].dropna()
    print(gains.to_string())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
