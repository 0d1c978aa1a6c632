#!/bin/sh
# The paper's input degradation again, on networks that Darknet runs: LeRF and MoRF, and for detectors the share of the map in
# the box; the rows `random` and `centre`, which never look at the photo, always.
#
#     examples/reproduce-evaluation.sh [FOLDER]
#
# FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds images/ and weights/. What is not there is left out, and so is
# yolov3-tiny unless `make yolov3-tiny` has fetched it, or YOLOV3_TINY names the folder with its cfg, weights and names; the
# drawn signs need `make signs` alone. IMAGES (40) CIFAR-10 test pictures, SAMPLES (20) of ImageNet, PHOTOS (20) of COCO and
# SIGNS (20) scenes are used, one response of each; a second run with a greater number only adds to the first. METRICS
# (lerf,morf,energy) may name others, such as road-lerf,road-morf; then OUT has to be another folder. One file NAME.txt a
# network, and its values by picture, go to build/reproduce-evaluation. docs/results.md holds a table of these beside the
# published numbers. Removing and retraining is examples/roar-cifar.sh.
set -e
cd "$(dirname "$0")/.."
data=${1:-${CRITPATH_DATA:-../shared/data}}
darknet=${CRITPATH_DARKNET:-build/darknet}
out=${OUT:-build/reproduce-evaluation}
yolo=${YOLOV3_TINY:-build/yolov3-tiny}
maps=gradient,gbp,gradcam,inputmct,inputintgrad,smoothgrad,pathway@.9,pathway@.99,contribution
metrics=${METRICS:-lerf,morf,energy}
me=reproduce-evaluation
. examples/study.sh

[ -x "$darknet" ] || { echo "$me: no $darknet; run make first" >&2; exit 2; }
pick_all
w=$data/weights
methods=$maps,pathway:intgrad@.9,pathway-zeroed:intgrad@.9 # on the larger networks NeuronIntGrad takes a minute a photo
study resnet8 "ResNet-8, CIFAR-10" cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights cfg/cifar10.names $cifar
study resnet20 "ResNet-20, CIFAR-10" "$w/resnet20-cifar10.cfg" "$w/resnet20-cifar10.weights" "$w/cifar10.names" $cifar

draw=${SIGNS_MAKE:-build/signs/bin/signs-make}
scenes=
if [ -x "$draw" ]; then
    [ -f "$out/photos/signs/list.txt" ] || "$draw" "$out/photos/signs" -n 400 -seed 2
    scenes=$(find "$out/photos/signs/images" -name '*.png' | sort | head -n "${SIGNS:-20}")
fi
study signs "Drawn signs" cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights cfg/tiny-yolo-signs.names $scenes
methods=$maps
study squeezenet "SqueezeNet, ImageNet" "$w/squeezenet.cfg" "$w/squeezenet.weights" "$w/imagenet1k.names" $imagenet
study yolov3-tiny "YOLOv3-tiny, COCO" "$yolo/yolov3-tiny.cfg" "$yolo/yolov3-tiny.weights" "$yolo/coco.names" $coco
study yolo-fastest "YOLO-Fastest 1.1 XL, COCO" "$w/yolo-fastest-1.1-xl.cfg" "$w/yolo-fastest-1.1-xl.weights" "$w/coco.names" $coco
