# GhostVis: the one Makefile.
#
#	make			programs and libraries, into build/
#	make check		everything that can be tested here
#	make check-gpu		the kernels on a GPU
#	make bench-gpu		kernels and stages on a GPU, beside PyTorch's
#	make demo		pipelines/easy-vqa.mk: data to trained model
#	make demo-rl		pipelines/easy-vqa-rl.mk: learning from rewards
#	make install		PREFIX=/usr/local DESTDIR=
#	make fuzz		libFuzzer programs, by clang, into build/fuzz
#	make lint bench dist clean
#
# CUDA=auto|0|1		build the CUDA backend: if nvcc is found, no, yes
# SM="80 90a"		for these GPUs
# B=build			where everything is made

PREFIX	= /usr/local
DESTDIR	=
CUDA	= auto
CC	= gcc
CLANG	= clang
AR	= ar
PROVE	= prove
OPT	= -O2
B	= build

VERSION	:= $(shell sed -n 's/^.define GV_VERSION "\(.*\)"/\1/p' lib/version.h)
MACHINE	:= $(shell $(CC) -dumpmachine)

WARN	= -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	  -Wmissing-prototypes -Wvla -Werror=implicit-function-declaration
CPPFLAGS = -D_GNU_SOURCE -iquote lib -iquote kernels
CFLAGS	= -std=c11 $(OPT) -g -pthread -fno-math-errno -ffp-contract=off \
	  -fstack-protector-strong $(WARN)
LDFLAGS	= -pthread -Wl,--as-needed -Wl,-z,relro,-z,now
LIBS	= -lmsgpackc -ljansson -lutf8proc -lpcre2-8 -ljpeg -lpng16 -lz \
	  -lnettle -ldl -lm

# The CPU backend is compiled once an instruction set, chosen at run time.
KOPT	= -O3 -fopenmp-simd -fno-trapping-math -ffp-contract=fast
ifneq ($(filter x86_64%,$(MACHINE)),)
ISAS	= v2 v3 v4
ISA_v2	= -march=x86-64-v2 -mtune=generic
ISA_v3	= -march=x86-64-v3 -mtune=generic
ISA_v4	= -march=x86-64-v4 -mtune=generic -mprefer-vector-width=512
else
ISAS	= base
ISA_base =
endif

# The CUDA backend is a shared object that is opened when it is asked for.
CUDA_CU	:= $(wildcard kernels/cuda/*.cu)
NVCC	:= $(if $(filter-out 0,$(CUDA)),$(shell command -v nvcc 2>/dev/null))
SM	= 80 90a
ifeq ($(CUDA)$(NVCC),1)
$(error CUDA=1, and there is no nvcc)
endif
CUDA_SO	:= $(if $(NVCC),$B/lib/libgvk-cuda.so)

LIB_C	:= $(wildcard lib/*.c)
KERN_C	:= $(wildcard kernels/*.c)
KCPU_C	:= $(wildcard kernels/cpu/*.c)
BIN_C	:= $(wildcard bin/gv-*.c)
UNIT_C	:= $(wildcard tests/unit/*.c)
CHECK_C	:= $(filter-out tests/check/check.c,$(wildcard tests/check/*.c))
FUZZ_C	:= $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
CLI_T	:= $(wildcard tests/cli/*.t)
BENCH_C	:= $(wildcard tests/bench/*.c)
GPU_C	:= $(wildcard tests/bench/gpu/*.c)

LIB_O	:= $(LIB_C:lib/%.c=$B/lib/%.o)
KERN_O	:= $(KERN_C:kernels/%.c=$B/kernels/%.o)
KCPU_O	:= $(foreach i,$(ISAS),$(KCPU_C:kernels/cpu/%.c=$B/cpu/$i/%.o))
PROGS	:= $(BIN_C:bin/%.c=$B/bin/%)
UNIT	:= $(UNIT_C:tests/unit/%.c=$B/tests/unit/%.t)
CHECKS	:= $(CHECK_C:tests/check/%.c=$B/tests/check/%.t)
REPLAY	:= $(FUZZ_C:tests/fuzz/%.c=$B/tests/fuzz/%.t)
FUZZ	:= $(FUZZ_C:tests/fuzz/%.c=$B/fuzz/%)
BENCH	:= $(BENCH_C:tests/bench/%.c=$B/tests/bench/%)
GPU	:= $(GPU_C:tests/bench/gpu/%.c=$B/tests/bench/gpu/%)
FAULT	:= $B/tests/fault/drive $B/tests/fault/fail.so
ARCHIVES = $B/lib/libgv.a $B/lib/libgvk.a

# gv-view draws with cairo, and is left out where that is missing.
CAIRO	:= $(shell pkg-config --exists cairo 2>/dev/null && echo yes)
ifneq ($(CAIRO),yes)
PROGS	:= $(filter-out $B/bin/gv-view,$(PROGS))
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all check check-run check-gpu lint bench bench-run bench-gpu demo \
    demo-rl fuzz setup install dist clean

all: $(PROGS) $(ARCHIVES) $(CUDA_SO)

$B/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$B/kernels/%.o: kernels/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

define cpu_rule
$B/cpu/$1/%.o: kernels/cpu/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(KOPT) $$(ISA_$1) -DGVK_ISA=$1 \
	    -fPIC -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call cpu_rule,$i)))

$B/cuda/%.o: kernels/cuda/%.cu $(wildcard kernels/cuda/*.h kernels/cuda/*.cuh) \
    $(wildcard kernels/*.h)
	@mkdir -p $(@D)
	$(NVCC) -O3 -std=c++17 -I kernels -Xcompiler -fPIC,-Wall,-Wextra \
	    $(foreach s,$(SM),-gencode arch=compute_$s,code=sm_$s) \
	    -c -o $@ $<

$B/lib/libgvk-cuda.so: $(CUDA_CU:kernels/cuda/%.cu=$B/cuda/%.o)
	@mkdir -p $(@D)
	$(NVCC) -shared -o $@ $^ -lcublasLt

$B/lib/libgv.a: $(LIB_O)
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $^

$B/lib/libgvk.a: $(KERN_O) $(KCPU_O)
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $^

$B/cli.o: bin/cli.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$B/bin/%.o: bin/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(XCFLAGS_$*) -MMD -MP -c -o $@ $<

XCFLAGS_gv-view = $(shell pkg-config --cflags cairo)
XLIBS_gv-view = $(shell pkg-config --libs cairo)

$B/bin/%: $B/bin/%.o $B/cli.o $(ARCHIVES)
	$(CC) $(LDFLAGS) -o $@ $< $B/cli.o $(ARCHIVES) $(LIBS) $(XLIBS_$*)

$B/tests/unit/%.t: tests/unit/%.c tests/unit/tap.h $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -iquote tests/unit $(LDFLAGS) -MMD -MP \
	    -o $@ $< $(ARCHIVES) $(LIBS)

$B/tests/check/check.o: tests/check/check.c tests/check/check.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$B/tests/check/%.t: tests/check/%.c $B/tests/check/check.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< \
	    $B/tests/check/check.o $(ARCHIVES) $(LIBS)

# What fuzzing has found worth keeping, run once more, without a fuzzer.
$B/tests/fuzz/replay.o: tests/fuzz/replay.c tests/unit/tap.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -iquote tests/unit -MMD -MP -c -o $@ $<

$B/tests/fuzz/%.t: tests/fuzz/%.c $B/tests/fuzz/replay.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< \
	    $B/tests/fuzz/replay.o $(ARCHIVES) $(LIBS)

# build/fuzz/NAME -max_len=65536 NEW tests/fuzz/corpus/NAME looks for more; its
# kernels are the usual ones.  With CLANG=afl-clang-fast, and AFL_USE_ASAN=1 in
# the environment, the same become programs for afl-fuzz.
SANITIZE = address,undefined -fno-sanitize-recover=all
FUZZ_O	:= $(LIB_C:lib/%.c=$B/fuzz/lib/%.o)
$B/fuzz/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=c11 -O2 -g -pthread \
	    -fsanitize=fuzzer-no-link,$(SANITIZE) -MMD -MP -c -o $@ $<

$B/fuzz/libgv.a: $(FUZZ_O)
	rm -f $@ && $(AR) rcs $@ $^

$B/fuzz/%: tests/fuzz/%.c $B/fuzz/libgv.a $B/lib/libgvk.a
	$(CLANG) $(CPPFLAGS) -std=c11 -O1 -g -fsanitize=fuzzer,$(SANITIZE) \
	    $(LDFLAGS) -MMD -MP -o $@ $< $B/fuzz/libgv.a $B/lib/libgvk.a $(LIBS)

fuzz: $(FUZZ)

$B/tests/bench/%: tests/bench/%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(ARCHIVES) \
	    $(LIBS) -lopenblas

$B/tests/bench/gpu/%: tests/bench/gpu/%.c tests/bench/gpu/bench.h $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(ARCHIVES) \
	    $(LIBS)

$B/tests/fault/drive: tests/fault/drive.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(ARCHIVES) \
	    $(LIBS)

# Preloaded into programs under test, so without a sanitizer of its own.
FAIL_C	:= $(addprefix tests/fault/,arm.c alloc.c call.c)
$B/tests/fault/fail.so: $(FAIL_C) tests/fault/fault.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=c11 -O2 -g $(WARN) -fPIC -shared -o $@ $(FAIL_C)

# Set-up installs what is missing, so the rest runs in a make of its own that
# sees it; on all cores, unless the caller says how many.
JOBS	= $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
setup:
	@sh pipelines/setup.sh

check: setup
	@$(MAKE) --no-print-directory $(JOBS) check-run

check-run: all $(UNIT) $(CHECKS) $(REPLAY) $(FAULT)
	$(PROVE) --timer -j2 $(UNIT) $(CHECKS) $(REPLAY) $(CLI_T)

# Every kernel check on the GPU: CUDA against the reference in double.
check-gpu: all $(CHECKS)
	LD_LIBRARY_PATH=$(abspath $B/lib) $(PROVE) --timer \
	    $(filter-out %/vmath.t,$(CHECKS)) :: 20261123 cuda

demo: setup
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(MAKE) --no-print-directory -f pipelines/easy-vqa.mk

# Gnuplot draws the curves, and without it there are none.
demo-rl: setup
	@sh pipelines/setup.sh gnuplot-nox || true
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(MAKE) --no-print-directory -f pipelines/easy-vqa-rl.mk

# OpenBLAS is what the matrix products are compared with.
bench:
	@sh pipelines/setup.sh libopenblas-dev
	@$(MAKE) --no-print-directory $(JOBS) bench-run

bench-run: all $(BENCH)
	@for b in $(BENCH); do echo "# $$b"; $$b || exit 1; done

# SECTIONS="ops train" for some, RESULTS=DIR to keep the rows; PyTorch's side
# needs python3 with it.
bench-gpu: all $(GPU)
	@BUILD=$B sh tests/bench/gpu/bench.sh

lint:
	sh tests/lint.sh

install: all
	mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
	    $(DESTDIR)$(PREFIX)/include/gv
	for p in $(PROGS); do install -m 755 $$p $(DESTDIR)$(PREFIX)/bin; done
	install -m 644 $(ARCHIVES) $(CUDA_SO) $(DESTDIR)$(PREFIX)/lib
	install -m 644 $(filter-out lib/banned.h lib/pack.h %_priv.h \
	    %_impl.h,$(wildcard lib/*.h)) \
	    kernels/gvk.h $(DESTDIR)$(PREFIX)/include/gv
	for s in 1 5 7; do \
	    mkdir -p $(DESTDIR)$(PREFIX)/share/man/man$$s; \
	    install -m 644 man/man$$s/*.$$s \
	        $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; \
	done
	mkdir -p $(DESTDIR)$(PREFIX)/share/gv
	cp -R pipelines $(DESTDIR)$(PREFIX)/share/gv/
	for l in gv gvk; do \
	    sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	        lib/lib$$l.pc.in \
	        >$(DESTDIR)$(PREFIX)/lib/pkgconfig/lib$$l.pc || exit 1; \
	done

dist:
	@mkdir -p $B
	git archive --prefix=ghostvis-$(VERSION)/ \
	    -o $B/ghostvis-$(VERSION).tar.gz HEAD

clean:
	rm -rf $B

-include $(LIB_O:.o=.d) $(KCPU_O:.o=.d) $(PROGS:=.d) $(KERN_O:.o=.d) $B/cli.d \
    $(UNIT:.t=.d) $(CHECKS:.t=.d) $(BENCH:=.d) $(GPU:=.d) $B/tests/check/check.d \
    $(REPLAY:.t=.d) $B/tests/fuzz/replay.d $(FUZZ:=.d) $(FUZZ_O:.o=.d) \
    $B/tests/fault/drive.d
