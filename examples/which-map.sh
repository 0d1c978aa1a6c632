#!/bin/sh
# Which map to show: the contribution map by its planes, with and without blur, the pathway gradient by its sparsity, the
# maps that others use, and the rows that never look at the photo, all by `critpath eval` on the same photos.
#
#     examples/which-map.sh [FOLDER]
#
# FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds images/ and weights/. What is not there is left out, and so is
# yolov3-tiny unless `make yolov3-tiny` has fetched it, or YOLOV3_TINY names the folder with its cfg, weights and names.
# IMAGES (40) CIFAR-10 test pictures, SAMPLES (20) of ImageNet and PHOTOS (20) of COCO are used, one response of each; every
# number of them begins with the same pictures, so that a second run with a greater one only adds to the first.
# One file NAME.txt a network, and its values by picture, go to build/which-map. On one core: minutes for the CIFAR networks,
# half an hour for each other one. docs/evaluate.md holds a table of these.
set -e
cd "$(dirname "$0")/.."
data=${1:-${CRITPATH_DATA:-../shared/data}}
darknet=${CRITPATH_DARKNET:-build/darknet}
out=${OUT:-build/which-map}
yolo=${YOLOV3_TINY:-build/yolov3-tiny}
planes=contribution,contribution~.01,contribution-all,contribution-all~.01,contribution-coarse,contribution-coarse~.01
methods=$planes,pathway,pathway@.9,pathway@.99,gradient,gradcam,layercam,odam

[ -x "$darknet" ] || { echo "which-map: no $darknet; run make first" >&2; exit 2; }

me=which-map
metrics=deletion,insertion,energy,lift,pointing,gini,seconds
. examples/study.sh
pick_all

w=$data/weights
study resnet8 "ResNet-8, CIFAR-10" cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights cfg/cifar10.names $cifar
study resnet20 "ResNet-20, CIFAR-10" "$w/resnet20-cifar10.cfg" "$w/resnet20-cifar10.weights" "$w/cifar10.names" $cifar
study squeezenet "SqueezeNet, ImageNet" "$w/squeezenet.cfg" "$w/squeezenet.weights" "$w/imagenet1k.names" $imagenet
study tiny "Tiny Darknet, ImageNet" "$w/tiny.cfg" "$w/tiny.weights" "$w/imagenet1k.names" $imagenet
study yolo-fastest "YOLO-Fastest 1.1 XL, COCO" "$w/yolo-fastest-1.1-xl.cfg" "$w/yolo-fastest-1.1-xl.weights" "$w/coco.names" $coco
study yolov3-tiny "YOLOv3-tiny, COCO" "$yolo/yolov3-tiny.cfg" "$yolo/yolov3-tiny.weights" "$yolo/coco.names" $coco
