# make                  builds build/darknet: Darknet with `darknet critpath`; names the packages that it lacks
# make demo             installs what is missing, builds, and explains two pictures
# make test             installs what is missing, builds, and runs every test; T=test_engine: those of that name
# make bench            installs what is missing, builds, and times it against stock Darknet and PyTorch
# make yolov3-tiny      fetches the official yolov3-tiny.weights, cfg and names into build/yolov3-tiny
# make train-resnet8 DATA=cifar10.tar.xz    trains weights/resnet8-cifar.weights anew
#
# DARKNET=dir           a Darknet checkout of your own (copied, never changed) in place of the source that Debian ships
# PACKAGES=0            asks for no Debian packages: what is needed comes from elsewhere
# GPU=1 CUDNN=1         as in Darknet's Makefile; ARCH="-gencode ..." chooses the GPU that nvcc compiles for
# make check-gpu-build  compiles and links both GPU builds, in build/gpu and build/cudnn; needs nvcc but no GPU
# GPU=1 EMULATE=1       the GPU build on an emulator of CUDA, for tests without a GPU or a toolkit (tests/emulate)
# ONEDNN=0              convolutions by OpenBLAS alone (default: by oneDNN too where libdnnl-dev is installed)
# make torture          lets every allocation and every call of a file fail in turn, and judges what commands make of it
# make fuzz SECONDS=60  clang's fuzzer on every reader and on the engine, so long on each; T=fuzz_cfg: on that alone
# check-gpu             with GPU=1, and CUDNN=1 or not: runs every test on the GPU, compares it with the CPU, times it, and prints a
#                       table; DATA=dir adds the networks there. Without a GPU it says "skipped"
# make check-emulated   runs the tests of GPU code so, in build/emulated; CUDNN=1: with cuDNN
# ISA=avx2 (or sse2)    a build in build/avx2 whose own loops use no wider vectors; `ISA=avx2 make bench` limits all peers so
# make check-avx2       the unit tests of such a build, oneDNN and OpenBLAS limited too
# BUILD=dir             another build folder, for another set of options
# DEBUG=1               without optimisation, for a debugger: make BUILD=build/debug DEBUG=1
# HARDENED=0            without the stack protector, FORTIFY and read-only relocations, which builds with neither DEBUG nor SANITIZE have
# SANITIZE=address,undefined    builds Darknet, the plugin and the tests with these sanitizers
DARKNET =
GPU = 0
CUDNN = 0
EMULATE = 0
ISA ?=
BUILD = build$(if $(ISA),/$(ISA))
SANITIZE =
DEBUG =
HARDENED = 1
ONEDNN =
PACKAGES = 1
T =
JOBS := $(shell nproc)
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-print-directory

# Groups of tools/packages; pip, where the Python in PATH has none.
INSTALL = $(if $(filter 0,$(PACKAGES)),@:,tools/install-packages) build formats $(if $(filter 0,$(ONEDNN)),,onednn)
PIP = $(shell python3 -m pip --version >/dev/null 2>&1 || echo pip)

TREE = $(BUILD)/darknet-src
CMAKE = $(BUILD)/cmake
LIBRARY = $(CMAKE)/libcritpath.a
PLUGIN = $(wildcard plugin/*.h plugin/*/*.[ch] plugin/*/*/*.[ch] plugin/*/*/*.cu cmake/*) CMakeLists.txt
OPTIONS = DARKNET=$(DARKNET) GPU=$(GPU) CUDNN=$(CUDNN) EMULATE=$(EMULATE) SANITIZE=$(SANITIZE) HARDENED=$(HARDENED)$(if $(DEBUG), DEBUG=$(DEBUG))$(if $(ONEDNN), ONEDNN=$(ONEDNN))$(if $(ISA), ISA=$(ISA))$(if $(ARCH), ARCH="$(ARCH)")

# What a hardened build is compiled and linked with. Level 3 of FORTIFY needs GCC 12 or clang 9 and glibc 2.34; elsewhere it is 2.
FORTIFY = $(eval FORTIFY := $(shell printf '\043include <stdio.h>\n' | $(CC) -x c -O2 -Werror -U_FORTIFY_SOURCE \
    -D_FORTIFY_SOURCE=3 -c -o /dev/null - 2>/dev/null && echo 3 || echo 2))$(FORTIFY)
IS_HARDENED = $(if $(DEBUG:0=)$(SANITIZE),,$(filter 1,$(HARDENED)))
HARDENING = $(if $(IS_HARDENED),-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(FORTIFY))
HARDENED_LINK = $(if $(IS_HARDENED),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
comma = ,

# -w: Darknet's warnings are not ours to read.
OPTS = $(if $(filter 1,$(DEBUG)),-O0 -g,$(if $(SANITIZE),-O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE),$(if $(filter 1,$(EMULATE)),-O1,-Ofast))) $(HARDENING) -w
HOST = $(MAKE) -s -C $(TREE) CBLAS=1 GPU=$(GPU) CUDNN=$(CUDNN) OPTS='$(OPTS)'
DEFINES = $(if $(filter 1,$(GPU)),GPU;)$(if $(filter 1,$(CUDNN)),CUDNN;)

ifeq ($(DARKNET),)
SOURCE = build/download
SOURCE_FILES = $(SOURCE)/.verified
else
SOURCE = $(DARKNET)
SOURCE_FILES = $(wildcard $(DARKNET)/Makefile $(DARKNET)/include/* $(DARKNET)/src/* $(DARKNET)/examples/*)
endif

# The emulator looks like a CUDA toolkit, found as any other by the nvcc in PATH.
ifeq ($(EMULATE), 1)
export PATH := $(abspath $(BUILD))/cuda/bin:$(PATH)
$(BUILD)/darknet-src/libdarknet.a: $(BUILD)/cuda/.built
endif

# Other options than last time: everything is built again.
ifneq ($(shell cat $(BUILD)/.options 2>&1),$(OPTIONS))
$(shell mkdir -p $(BUILD) && echo '$(OPTIONS)' >$(BUILD)/.options)
endif

all: $(BUILD)/darknet

# tools/install-packages touches it when it has installed something, and the configuration sees what is new.
build/.packages: tools/packages
	$(if $(filter 0,$(PACKAGES)),,@tools/install-packages -n build)
	@mkdir -p $(@D) && touch $@

build/download/.verified: tools/fetch-darknet tools/darknet.sha256 | build/.packages
	tools/fetch-darknet $(@D)
	@touch $@

$(TREE)/.patched: $(SOURCE_FILES) $(BUILD)/.options $(wildcard patches/series patches/*.patch patches/fixes/*) tools/unpack-darknet \
    | build/.packages
	tools/unpack-darknet $(SOURCE) $(TREE)

$(BUILD)/cuda/.built: $(wildcard tests/emulate/* tests/emulate/include/*)
	@$(MAKE) -s -C tests/emulate TO=$(abspath $(@D)) SANITIZE=$(SANITIZE)
	@touch $@

$(TREE)/libdarknet.a: $(TREE)/.patched
	@echo "building Darknet in $(TREE)"
	+@$(HOST) libdarknet.a

$(LIBRARY): $(TREE)/libdarknet.a $(PLUGIN) build/.packages
	@cmake -S . -B $(CMAKE) -G 'Unix Makefiles' -DDARKNET_SRC=$(abspath $(TREE)) '-DHOST_DEFINES=$(DEFINES)' \
	    $(if $(filter 1,$(GPU)),'-DARCH=$(ARCH)') -DSANITIZE=$(SANITIZE) '-DHARDENING=$(HARDENING)' -DONEDNN=$(ONEDNN) -DISA=$(ISA) \
	    $(if $(filter 1,$(DEBUG)),-DCMAKE_BUILD_TYPE=Debug) $(if $(CROSS),-DCMAKE_TOOLCHAIN_FILE=$(abspath cmake/$(CROSS).cmake)) \
	    $(if $(WERROR),-DWERROR=$(WERROR)) >$(CMAKE).log || { cat $(CMAKE).log; exit 1; }
	@$(MAKE) -s -C $(CMAKE) critpath
	@touch $@

# Darknet finds its label pictures beside the executable.
$(BUILD)/darknet: $(LIBRARY)
	+@$(HOST) darknet CRITPATH="$(abspath $(LIBRARY)) $$(cat $(CMAKE)/libraries) $(HARDENED_LINK)"
	@cp $(TREE)/darknet $@.new && mv $@.new $@
	@ln -sfn darknet-src/data $(BUILD)/data

# With T only what is asked for is built: the unit test of that name, or, for a test of another kind, everything.
test:
	$(INSTALL) test oracle
	$(MAKE) all
	$(MAKE) -s -C $(CMAKE) $(if $(wildcard tests/unit/$(T).c),$(T))
	cd $(CMAKE) && $(TEST_ENVIRONMENT) ctest --output-on-failure --no-tests=error -j$(JOBS) $(if $(T),-R '$(T)')

TEST_ENVIRONMENT = OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 CRITPATH_DARKNET=$(abspath $(BUILD))/darknet

# A detector of this repository, and the official YOLOv3-tiny on a photo of Darknet's, where that network can be had.
YOLO = build/yolov3-tiny
SIGNS_DEMO = cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights
YOLO_DEMO = $(YOLO)/coco.data $(YOLO)/yolov3-tiny.cfg $(YOLO)/yolov3-tiny.weights
demo:
	$(INSTALL) -optional $(PIP)
	$(MAKE) all
	@mkdir -p $(BUILD)/demo
	$(BUILD)/darknet critpath explain $(SIGNS_DEMO) examples/signs-two.png -box all -out $(BUILD)/demo/signs
	@$(MAKE) yolov3-tiny || echo 'make demo: goes on without YOLOv3-tiny; make yolov3-tiny tries again'
	@[ ! -f $(YOLO)/coco.data ] || $(MAKE) demo-yolo
	@echo 'pictures: $(BUILD)/demo/signs-box1.png, -box2, -box3: what the detector of road signs saw'
	@[ ! -f $(YOLO)/coco.data ] || \
	    echo '          $(BUILD)/demo/dog.png, car.png, truck.png: why YOLOv3-tiny found a dog, a car and a truck in dog.jpg'
	@echo 'your own network: $(BUILD)/darknet critpath explain your.data your.cfg your.weights photo.jpg -out why'

demo-yolo:
	@for class in dog car truck; do \
	    set -- $(BUILD)/darknet critpath explain $(YOLO_DEMO) $(BUILD)/data/dog.jpg -class $$class -out $(BUILD)/demo/$$class; \
	    echo "$$*"; "$$@" || exit; \
	done

yolov3-tiny: $(YOLO)/coco.data
$(YOLO)/coco.data: tools/fetch-yolov3-tiny tools/yolov3-tiny.sha256
	@tools/fetch-yolov3-tiny $(@D)
	@touch $@

# Ratios against Darknet as Debian ships it and against PyTorch, where that is installed; TORCH_PYTHON names the Python of a
# virtual environment with another PyTorch, EVAL_PYTHON one with captum, grad-cam and quantus. BENCH="--threads 1 --networks vgg-16" and the like go to bench.py.
BENCH =
bench:
	$(INSTALL) test oracle
	$(MAKE) all $(BUILD)/stock/bench_stock
	@$(MAKE) -s -C $(CMAKE) bench_engine bench_intgrad oracle_dump
	@python=python3; [ ! -x /usr/bin/python3 ] || python=/usr/bin/python3; \
	$$python tests/bench/bench.py --engine $(CMAKE)/tests/bench/bench_engine --intgrad $(CMAKE)/tests/bench/bench_intgrad \
	    --dump $(CMAKE)/tests/oracle/oracle_dump \
	    --darknet $(BUILD)/darknet --stock $(BUILD)/stock/bench_stock --cfg-dir $(TREE)/cfg \
	    --data $(or $(CRITPATH_DATA),../shared/data)/weights --work $(BUILD)/bench $(BENCH)

$(BUILD)/stock/bench_stock: $(SOURCE_FILES) tests/bench/stock.c | build/.packages
	@tools/unpack-darknet $(SOURCE) $(BUILD)/stock stock
	+@$(MAKE) -s -C $(BUILD)/stock OPTS='-Ofast -w' libdarknet.a
	@gcc -O2 -I$(BUILD)/stock/include tests/bench/stock.c $(BUILD)/stock/libdarknet.a -lm -lpthread -o $@

train-resnet8: all
	tools/train-resnet8 $(BUILD)/darknet "$(DATA)"

# The GPU build and the tests of its device code, on the emulator.
check-emulated:
	$(INSTALL) test
	$(MAKE) GPU=1 EMULATE=1 BUILD=build/emulated$(if $(filter 1,$(CUDNN)),-cudnn) run-gpu-tests

# With what the options above say: on a real device, or on the emulator.
run-gpu-tests: all
	$(MAKE) -s -C $(CMAKE)/tests/gpu
	cd $(CMAKE) && $(TEST_ENVIRONMENT) ctest --output-on-failure --no-tests=error -j$(JOBS) -L gpu

# A warning in the plugin is an error here. Nothing is run.
check-gpu-build:
	@nvcc --version >/dev/null || { echo 'check-gpu-build: nvcc is not in PATH'; exit 1; }
	$(MAKE) GPU=1 BUILD=build/gpu WERROR=ON all
	@if echo '#include <cudnn.h>' | nvcc -E -x cu - >build/gpu/cudnn.i 2>&1; then \
	    $(MAKE) GPU=1 CUDNN=1 BUILD=build/cudnn WERROR=ON all; \
	else \
	    echo 'check-gpu-build: no cudnn.h, so the build with CUDNN=1 is left out'; \
	fi

# Every test on the device; see tests/gpu/check.py.
check-gpu:
	@[ "$(GPU)" = 1 ] || { echo 'check-gpu: make GPU=1 [CUDNN=1] check-gpu'; exit 2; }
	$(INSTALL) test oracle
	$(MAKE) all
	@$(MAKE) -s -C $(CMAKE)
	@python=python3; [ ! -x /usr/bin/python3 ] || python=/usr/bin/python3; \
	$$python tests/gpu/check.py --build $(BUILD) $(if $(DATA),--data $(DATA)) $(CHECK)

# Clang's fuzzer on every reader of files, on the options, and on the engine with any cfg: SECONDS on each, T=fuzz_cfg: on that alone.
# What it finds stays in build/fuzz; the seeds lie in tests/fuzz/corpus and are replayed by `make test`.
SECONDS = 60
fuzz:
	$(INSTALL) test fuzz
	$(MAKE) BUILD=build/fuzz SANITIZE=fuzzer-no-link,address,undefined CC=clang CPP=clang++ library
	@tests/fuzz/run build/fuzz $(SECONDS) $(T)

library: $(LIBRARY)

# Every allocation and every call of a file of some commands fails in turn: tests/torture. An hour on one core.
torture: all
	TORTURE=whole CRITPATH_DARKNET=$(abspath $(BUILD))/darknet sh tests/torture/test_torture.sh

clean:
	rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
	@for file in tools/install.mk tools/check.mk; do sed -n '/^#/!q; s/^# \{0,1\}//p' $$file; done

include examples/signs/signs.mk
include tools/install.mk
include tools/check.mk

.PHONY: all library test torture fuzz check-emulated run-gpu-tests check-gpu check-gpu-build demo demo-yolo yolov3-tiny bench train-resnet8 clean help
.DELETE_ON_ERROR:
.DEFAULT_GOAL = all
