# make install PREFIX=/usr/local DESTDIR=   the executable `critpath` (a link to `darknet-critpath`, the whole of Darknet
#                       with the verb), library, header, pkg-config file, manual page, completion of bash and zsh, the
#                       examples; build first as yourself, then install as root
# make uninstall        with the same PREFIX and DESTDIR: takes all that away
# make deb              Debian packages in build/deb: critpath, libcritpath0, libcritpath-dev
PREFIX = /usr/local
DESTDIR =
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
DATADIR = $(PREFIX)/share
MAN1DIR = $(DATADIR)/man/man1
BASHDIR = $(DATADIR)/bash-completion/completions
ZSHDIR = $(DATADIR)/zsh/site-functions
OUR_DATA = $(DATADIR)/critpath

VERSION := $(shell sed -n 's/^\#define CP_VERSION "\(.*\)"/\1/p' plugin/critpath.h)
MAJOR := $(firstword $(subst ., ,$(VERSION)))
SHARED = $(CMAKE)/libcritpath.so.$(VERSION)
INSTALLED_STATIC = $(BUILD)/installed/libcritpath.a
EXAMPLES = $(wildcard cfg/* weights/* examples/*.png examples/*.txt examples/*.list)

# Every file of an installation but those in OUR_DATA, which is removed as a whole.
INSTALLED = $(BINDIR)/darknet-critpath $(BINDIR)/critpath $(LIBDIR)/libcritpath.a $(LIBDIR)/libcritpath.so.$(VERSION) \
    $(LIBDIR)/libcritpath.so.$(MAJOR) $(LIBDIR)/libcritpath.so $(LIBDIR)/pkgconfig/critpath.pc \
    $(INCLUDEDIR)/critpath.h $(MAN1DIR)/critpath.1 $(MAN1DIR)/darknet-critpath.1 $(BASHDIR)/critpath \
    $(BASHDIR)/darknet-critpath $(ZSHDIR)/_critpath

$(SHARED): $(LIBRARY)
	@echo "building the shared library"
	+@$(MAKE) -s -C $(CMAKE) critpath_shared
	@touch $@

# One object, in which only the functions of critpath.h are global: 600 names of Darknet such as `error` stay inside.
$(INSTALLED_STATIC): $(LIBRARY)
	@mkdir -p $(@D)
	@ld -r -o $(@D)/critpath.o --whole-archive $(LIBRARY) --no-whole-archive $(TREE)/libdarknet.a
	@objcopy --strip-debug --keep-global-symbols=$(CMAKE)/exports $(@D)/critpath.o
	@rm -f $@ && ar rcs $@ $(@D)/critpath.o && rm $(@D)/critpath.o

install: $(BUILD)/darknet $(SHARED) $(INSTALLED_STATIC)
	@install -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR) $(MAN1DIR) $(BASHDIR) $(ZSHDIR) \
	    $(OUR_DATA)/data/labels $(addprefix $(OUR_DATA)/,$(sort $(dir $(EXAMPLES)))))
	@install -m 755 $(BUILD)/darknet $(DESTDIR)$(BINDIR)/darknet-critpath
	@ln -sfn darknet-critpath $(DESTDIR)$(BINDIR)/critpath
	@install -m 644 $(SHARED) $(INSTALLED_STATIC) $(DESTDIR)$(LIBDIR)
	@ln -sfn libcritpath.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcritpath.so.$(MAJOR)
	@ln -sfn libcritpath.so.$(MAJOR) $(DESTDIR)$(LIBDIR)/libcritpath.so
	@install -m 644 plugin/critpath.h $(DESTDIR)$(INCLUDEDIR)
	@sed "s|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|; \
	    s|@LIBRARIES@|$$(sed 's/-fopenmp/-lgomp/' $(CMAKE)/libraries)|" tools/critpath.pc.in \
	    >$(DESTDIR)$(LIBDIR)/pkgconfig/critpath.pc
	@$(BUILD)/darknet critpath manual >$(DESTDIR)$(MAN1DIR)/critpath.1
	@ln -sfn critpath.1 $(DESTDIR)$(MAN1DIR)/darknet-critpath.1
	@$(BUILD)/darknet critpath completion bash >$(DESTDIR)$(BASHDIR)/critpath
	@ln -sfn critpath $(DESTDIR)$(BASHDIR)/darknet-critpath
	@$(BUILD)/darknet critpath completion zsh >$(DESTDIR)$(ZSHDIR)/_critpath
	@for file in $(EXAMPLES); do install -m 644 $$file $(DESTDIR)$(OUR_DATA)/$$file; done
	@install -m 644 $(BUILD)/data/labels/*.png $(DESTDIR)$(OUR_DATA)/data/labels
	@echo 'installed in $(DESTDIR)$(PREFIX)$(if $(DESTDIR),,; try: critpath help)'

uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rm -rf $(DESTDIR)$(OUR_DATA)
	$(if $(DESTDIR),find $(DESTDIR) -mindepth 1 -type d -empty -delete)

deb:
	$(INSTALL) deb
	$(MAKE) all
	tools/make-deb $(BUILD)

.PHONY: install uninstall deb
