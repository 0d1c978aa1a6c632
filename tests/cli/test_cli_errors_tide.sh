#!/bin/sh
# `errors` against TIDE's package and pycocotools. TIDE_PYTHON names a Python that has tidecv and pycocotools; CRITPATH_DATA a folder
# with weights/yolo-fastest-1.1-xl.* and coco128 photos, COCO128 the latter where they are unpacked (images/, labels/).
data=${CRITPATH_DATA:-../shared/data} photos=${COCO128:-}
[ -n "$TIDE_PYTHON" ] && "$TIDE_PYTHON" -c 'import tidecv, pycocotools' 2>/dev/null ||
    { echo "skipped: TIDE_PYTHON names no Python with tidecv and pycocotools"; exit 77; }
network=$data/weights/yolo-fastest-1.1-xl
[ -e "$network.weights" ] || { echo "skipped: no $network.weights (CRITPATH_DATA)"; exit 77; }
[ -d "$photos/labels/train2017" ] || { echo "skipped: no coco128 photos with labels (COCO128)"; exit 77; }
absolute() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }
exec "$TIDE_PYTHON" tests/cli/errors_tide.py "$(absolute "${CRITPATH_DARKNET:-build/darknet}")" "$(absolute "$network.cfg")" \
    "$(absolute "$network.weights")" "$(absolute "$data/weights/coco.names")" "$(absolute "$photos")"
