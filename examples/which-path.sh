#!/bin/sh
# Which neurons carry an answer: how few of them keep it with all others at zero, by how they are ranked. NeuronMCT,
# NeuronIntGrad, LRP-gamma, EAP-IG, distillation guided routing, the activation and chance, each ranked over the whole network
# and by layer, all by `critpath faithful` on the same photos.
#
#     examples/which-path.sh [FOLDER]
#
# FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds images/ and weights/. What is not there is left out, and so is
# yolov3-tiny unless `make yolov3-tiny` has fetched it, or YOLOV3_TINY names the folder with its cfg, weights and names.
# IMAGES (40) CIFAR-10 test pictures, SAMPLES (20) of ImageNet and PHOTOS (20) of COCO are used, one response of each; NETS
# names the networks (all), ROWS the rankings. Lines of an earlier run in build/which-path are kept and not made again.
# ABLATED (200) neurons of each picture are ablated for the agreement, which wants python3-numpy; 0 leaves that out.
# Tables are printed, and go to build/which-path/NET.txt; docs/results.md holds those of one run.
set -e
cd "$(dirname "$0")/.."
data=${1:-${CRITPATH_DATA:-../shared/data}}
darknet=${CRITPATH_DARKNET:-build/darknet}
out=${OUT:-build/which-path}
yolo=${YOLOV3_TINY:-build/yolov3-tiny}
nets=${NETS:-resnet8 resnet20 squeezenet tiny yolov3-tiny yolo-fastest}
# NAME:METHOD:OPTIONS; DGR's descent is a tenth of the paper's steps, and one round.
rows=${ROWS:-mct:mct: intgrad:intgrad:-steps,10 lrp.05:lrp:-gamma,.05 lrp.1:lrp:-gamma,.1 lrp.25:lrp:-gamma,.25 eapig:eapig: \
    activation:activation: random:random:-seed,1 \
    dgr:dgr:-iterations,100,-rounds,1 dgr-active:dgr-active:-iterations,100,-rounds,1}
sizes=.999,.998,.995,.99,.98,.95,.9,.8,.5
mkdir -p "$out/photos" "$out/files"

[ -x "$darknet" ] || { echo "which-path: no $darknet; run make first" >&2; exit 2; }

me=which-path
. examples/study.sh # pick, pick_all; study is another one here

# run CFG WEIGHTS NAMES FILE PICTURE COMMAND OPTIONS...: one JSON line, unless FILE has it; pictures without a box have none
run() {
    cfg=$1 weights=$2 names=$3 file=$4 picture=$5 command=$6
    shift 6
    [ -f "$file" ] || { "$darknet" critpath "$command" "$cfg" "$weights" "$picture" -names "$names" \
        -json ${THREADS:+-threads "$THREADS"} -out "$out/files/work" "$@" > "$file.part" 2> "${file%.json}.err" || :
        mv "$file.part" "$file"; }
}

# study NET TITLE CFG WEIGHTS NAMES PICTURES...: picture by picture, so that a run that is stopped has all rows of those it did
study() {
    net=$1 title=$2 cfg=$3 weights=$4 names=$5
    shift 5
    case " $nets " in *" $net "*) ;; *) return 0 ;; esac
    [ -f "$weights" ] || { echo "$title: no $weights"; return 0; }
    [ $# -gt 0 ] || { echo "$title: no pictures"; return 0; }
    mkdir -p "$out/$net"
    for picture in "$@"; do
        stem=$out/$net/$(basename "$picture" | cut -d. -f1)
        for row in $rows; do
            name=${row%%:*} method=${row#*:} options=$(echo "${row##*:}" | tr , ' ') method=${method%%:*}
            for rank in network layer; do
                [ "$name $rank" != "random layer" ] || continue # by layer it is the same order
                run "$cfg" "$weights" "$names" "$stem.$name.$rank.json" "$picture" faithful -method "$method" $options \
                    -rank $rank -sparsity $sizes -draws 0 -checks 0 -no-picture
            done
            [ "${ABLATED:-200}" != 0 ] || continue
            case $name in random | dgr*) continue ;; esac
            run "$cfg" "$weights" "$names" "$stem.$name.score.json" "$picture" score -method "$method" $options
            [ ! -f "$out/files/work.score.npz" ] || mv "$out/files/work.score.npz" "$stem.$name.score.npz"
        done
        [ "${ABLATED:-200}" != 0 ] || continue
        run "$cfg" "$weights" "$names" "$stem.ablation.score.json" "$picture" score -method ablation \
            -sample "${ABLATED:-200}" -seed 1 -tol 1
        [ ! -f "$out/files/work.score.npz" ] || mv "$out/files/work.score.npz" "$stem.ablation.score.npz"
    done
    echo
    echo "$title"
    "${PYTHON:-python3}" examples/which_path.py "$out/$net" | tee "$out/$net.txt"
}

cifar=$(pick "$data/images/cifar10-lossless.tar.xz" '*/test/*.png' "${IMAGES:-40}") || cifar=
imagenet=$(pick "$data/images/imagenet-sample-256.tar" '*.JPEG' "${SAMPLES:-20}") || imagenet=
coco=$(pick "$data/images/coco128.tar" '*/images/val2017/*.jpg' "${PHOTOS:-20}") || coco=

w=$data/weights
study resnet8 "ResNet-8, CIFAR-10" cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights cfg/cifar10.names $cifar
study resnet20 "ResNet-20, CIFAR-10" "$w/resnet20-cifar10.cfg" "$w/resnet20-cifar10.weights" "$w/cifar10.names" $cifar
study squeezenet "SqueezeNet, ImageNet" "$w/squeezenet.cfg" "$w/squeezenet.weights" "$w/imagenet1k.names" $imagenet
study tiny "Tiny Darknet, ImageNet" "$w/tiny.cfg" "$w/tiny.weights" "$w/imagenet1k.names" $imagenet
study yolov3-tiny "YOLOv3-tiny, COCO" "$yolo/yolov3-tiny.cfg" "$yolo/yolov3-tiny.weights" "$yolo/coco.names" $coco
study yolo-fastest "YOLO-Fastest 1.1 XL, COCO" "$w/yolo-fastest-1.1-xl.cfg" "$w/yolo-fastest-1.1-xl.weights" "$w/coco.names" $coco
