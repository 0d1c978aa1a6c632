# make format           lays the C sources out as .clang-format says
# make lint             cppcheck over plugin/ and examples/; nothing may be left but what tools/cppcheck.suppressions explains
# make tsan             the tests that use threads, and a list of images, under ThreadSanitizer: clang, whose OpenMP tells it
#                       what waits for what (GCC's does not); T=name: one test
# make check-arm64      a cross build for arm64 with its unit tests under qemu; T=name: one test
# make check-avx2       the unit tests without AVX-512: of the plugin, oneDNN and OpenBLAS; T=name: one test
# make compile_commands.json    for editors and language servers
C_FILES = $(filter-out tests/emulate/%,$(wildcard plugin/*.h plugin/*/*.[ch] plugin/*/*/*.[ch] examples/*.c \
    examples/*/*.[ch] tests/*.h tests/*/*.[ch]))

format:
	clang-format -i --style=file $(C_FILES)

lint:
	$(INSTALL) lint
	cppcheck -q -j$(JOBS) --std=c11 --language=c --enable=warning,performance,portability --inline-suppr -Iplugin \
	    --suppressions-list=tools/cppcheck.suppressions --error-exitcode=1 plugin examples

compile_commands.json: $(LIBRARY)
	@ln -sfn $(CMAKE)/$@ $@

# Three threads, more than there are processors on a small machine, so that they are interrupted anywhere. ThreadSanitizer
# cannot see the locks of libraries built without it (OpenBLAS, oneDNN); what those do among themselves is not reported.
THREADED = $(notdir $(basename $(shell grep -lE 'cp_set_threads|omp_set_num_threads' tests/unit/*.c)))
TSAN = env TSAN_OPTIONS='ignore_noninstrumented_modules=1 halt_on_error=1' OMP_NUM_THREADS=3
SIGN_LIST = $(SIGNS_DEMO) examples/signs-two.png examples/signs-bare.png examples/signs-sticker.png
tsan:
	$(INSTALL) test tsan
	$(MAKE) BUILD=build/tsan SANITIZE=thread CC=clang all
	@$(MAKE) -s -C build/tsan/cmake $(or $(T),$(THREADED))
	@set -e; for test in $(or $(T),$(THREADED)); do \
	    echo "$$test"; \
	    $(TSAN) build/tsan/cmake/tests/$$test >build/tsan/log 2>&1 || { cat build/tsan/log; exit 1; }; \
	done
	@mkdir -p build/tsan/list
	$(if $(T),,$(TSAN) build/tsan/darknet critpath explain $(SIGN_LIST) -threads 3 -quiet -out build/tsan/list/)

# Debian's cross compiler and its libraries for arm64; without oneDNN, whose two headers cannot lie on one machine.
ARM64 = aarch64-linux-gnu
check-arm64:
	$(if $(filter 0,$(PACKAGES)),,@dpkg --print-foreign-architectures | grep -q arm64 || \
	    { echo 'check-arm64: as root: dpkg --add-architecture arm64 && apt-get update'; exit 1; })
	$(INSTALL) arm64
	PKG_CONFIG_LIBDIR=/usr/lib/$(ARM64)/pkgconfig:/usr/share/pkgconfig \
	    $(MAKE) BUILD=build/arm64 ONEDNN=0 CROSS=arm64 CC=$(ARM64)-gcc CPP=$(ARM64)-g++ AR=$(ARM64)-ar all
	@$(MAKE) -s -C build/arm64/cmake $(or $(T),unit_tests)
	cd build/arm64/cmake && $(TEST_ENVIRONMENT) ctest --output-on-failure --no-tests=error -j$(JOBS) -L unit $(if $(T),-R '$(T)')

# What the peers of `make bench` and the tests run on where ISA=avx2.
AVX2 = ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
check-avx2:
	$(INSTALL) test
	$(MAKE) ISA=avx2 BUILD=build/avx2 all
	@$(MAKE) -s -C build/avx2/cmake $(or $(T),unit_tests)
	cd build/avx2/cmake && $(AVX2) $(TEST_ENVIRONMENT) ctest --output-on-failure --no-tests=error -j$(JOBS) -L unit $(if $(T),-R '$(T)')

.PHONY: format lint tsan check-arm64 check-avx2
