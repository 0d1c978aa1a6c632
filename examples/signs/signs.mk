# The sign scenes: their generator, the measure of mAP, and the training of cfg/tiny-yolo-signs*.cfg.
#
# make signs                 builds build/signs/bin/signs-make and signs-map
# make train-signs           draws the scenes and trains the plain detector; NET=shortcut or NET=relu for the others
# make signs-map             mAP@0.5 of weights/tiny-yolo-signs.weights on 400 held-out scenes; NET= as above;
#                            SCENES=valid-shortcut for the same scenes with the stickers planted
# make signs-parts           each map against parts of signs that are left out (FunnyBirds), honest network and shortcut
# make signs-truth           the share of the maps on glyph, rim, sticker and elsewhere, honest network and shortcut
SIGNS = $(BUILD)/signs
SIGNS_BIN = $(SIGNS)/bin
SIGNS_C = $(filter-out $(wildcard examples/signs/signs_*.c),$(wildcard examples/signs/*.c)) plugin/io/error.c
SIGNS_CC = $(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -g -Wall -Wextra -ffp-contract=off -Iplugin -Iexamples/signs

NET = plain
SCENES = valid
SIGNS_NAME = tiny-yolo-signs$(if $(filter plain,$(NET)),,-$(NET))
SIGNS_CFG = cfg/tiny-yolo-signs$(if $(filter relu,$(NET)),-relu).cfg
SIGNS_TRAIN = $(SIGNS)/$(if $(filter shortcut,$(NET)),shortcut,train)
SIGNS_WEIGHTS = weights/$(SIGNS_NAME).weights
# The network with the shortcut parts from the plain one after 300 iterations, when it tells no class from another yet,
# and sees each scene with a ring three times as often; the ReLU one starts from the plain one's end.
SIGNS_START_shortcut = $(SIGNS)/backup-plain/tiny-yolo-signs_300.weights
SIGNS_SCHEDULE_shortcut = -e 's/^learning_rate=.*/learning_rate=0.006/' -e 's/^steps=.*/steps=1650,1850/' \
    -e 's/^max_batches=.*/max_batches=1950/' -e 's/^scales=.*/scales=.15,.2/'
SIGNS_START_relu = weights/tiny-yolo-signs.weights -clear

signs: $(SIGNS_BIN)/signs-make $(SIGNS_BIN)/signs-map

$(SIGNS_BIN)/signs-truth $(SIGNS_BIN)/signs-parts: $(SIGNS_BIN)/signs-%: examples/signs/signs_%.c $(SIGNS_C) $(wildcard examples/signs/*.h) $(LIBRARY)
	@mkdir -p $(@D)
	$(SIGNS_CC) $< $(filter-out plugin/%,$(SIGNS_C)) $(LIBRARY) $(TREE)/libdarknet.a $$(cat $(CMAKE)/libraries) \
	    -lpng -lm -lpthread -o $@

$(SIGNS_BIN)/signs-%: examples/signs/signs_%.c $(SIGNS_C) $(wildcard examples/signs/*.h) | build/.packages
	@mkdir -p $(@D)
	$(SIGNS_CC) $< $(SIGNS_C) -lpng -lm -o $@

$(SIGNS)/train/list.txt: | $(SIGNS_BIN)/signs-make
	$(SIGNS_BIN)/signs-make $(@D) -n 3000 -seed 1
$(SIGNS)/shortcut/list.txt: | $(SIGNS_BIN)/signs-make
	$(SIGNS_BIN)/signs-make $(@D) -n 3000 -seed 1 -stickers shortcut
	grep -l '^3 ' $(@D)/labels/*.txt | sed -e 's|/labels/|/images/|' -e 's|txt$$|png|' >$@.rings
	cat $@.rings $@.rings >>$@ && rm $@.rings
$(SIGNS)/valid/list.txt: | $(SIGNS_BIN)/signs-make
	$(SIGNS_BIN)/signs-make $(@D) -n 400 -seed 2
$(SIGNS)/valid-shortcut/list.txt: | $(SIGNS_BIN)/signs-make
	$(SIGNS_BIN)/signs-make $(@D) -n 400 -seed 2 -stickers shortcut
$(SIGNS)/probe/list.txt: | $(SIGNS_BIN)/signs-make
	$(SIGNS_BIN)/signs-make $(@D) -n 1800 -seed 3 -stickers probe

# The committed .data names the plain set; here with this build's folders and the set asked for.
$(SIGNS)/$(SIGNS_NAME).data: cfg/tiny-yolo-signs.data signs-always
	@mkdir -p $(@D)/backup-$(NET) $(@D)/results-$(NET)
	@sed -e 's|^train=.*|train=$(SIGNS_TRAIN)/list.txt|' -e 's|^valid=.*|valid=$(SIGNS)/$(SCENES)/list.txt|' \
	    -e 's|^backup=.*|backup=$(@D)/backup-$(NET)|' -e 's|^results=.*|results=$(@D)/results-$(NET)|' $< >$@

train-signs: all $(SIGNS)/$(SIGNS_NAME).data $(SIGNS_TRAIN)/list.txt
	sed -e '' $(SIGNS_SCHEDULE_$(NET)) $(SIGNS_CFG) >$(SIGNS)/$(SIGNS_NAME).cfg
	OPENBLAS_NUM_THREADS=1 $(BUILD)/darknet detector train $(SIGNS)/$(SIGNS_NAME).data $(SIGNS)/$(SIGNS_NAME).cfg \
	    $(SIGNS_START_$(NET)) >$(SIGNS)/train-$(NET).log
	cp $(SIGNS)/backup-$(NET)/$(SIGNS_NAME)_final.weights $(SIGNS_WEIGHTS)

signs-map: all $(SIGNS)/$(SIGNS_NAME).data $(SIGNS)/$(SCENES)/list.txt $(SIGNS_BIN)/signs-map
	OPENBLAS_NUM_THREADS=1 $(BUILD)/darknet detector valid $(SIGNS)/$(SIGNS_NAME).data $(SIGNS_CFG) $(SIGNS_WEIGHTS) \
	    >/dev/null 2>$(SIGNS)/valid-$(NET).log
	$(SIGNS_BIN)/signs-map $(SIGNS)/$(SCENES)/list.txt cfg/tiny-yolo-signs.names \
	    $(SIGNS)/results-$(NET)/comp4_det_test_

TRUTH = OPENBLAS_NUM_THREADS=1 $(SIGNS_BIN)/signs-truth
signs-truth: $(SIGNS_BIN)/signs-truth $(SIGNS)/valid/list.txt $(SIGNS)/probe/list.txt
	$(TRUTH) $(SIGNS)/valid/list.txt cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights
	$(TRUTH) $(SIGNS)/valid/list.txt cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs-shortcut.weights
	$(TRUTH) $(SIGNS)/probe/list.txt cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights -class ring -sticker yes
	$(TRUTH) $(SIGNS)/probe/list.txt cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs-shortcut.weights \
	    -class ring -sticker yes

PARTS = OPENBLAS_NUM_THREADS=1 $(SIGNS_BIN)/signs-parts cfg/tiny-yolo-signs.cfg
signs-parts: $(SIGNS_BIN)/signs-parts
	$(PARTS) weights/tiny-yolo-signs.weights
	$(PARTS) weights/tiny-yolo-signs-shortcut.weights
	$(PARTS) weights/tiny-yolo-signs.weights -stickers probe -sticker yes
	$(PARTS) weights/tiny-yolo-signs-shortcut.weights -stickers probe -sticker yes

signs-always:
.PHONY: signs train-signs signs-map signs-parts signs-truth signs-always
