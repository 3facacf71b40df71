# rules.mk - how build/aileron-rm and its tests are built; included by the Makefile at the top.
# nn/ (model, ops, losses) needs no library but OpenMP, and takes oneDNN where it is installed; the
# other folders need what the server needs.

RM_SOURCES := $(filter-out reward_model/run/parallel_nccl.c,\
	$(wildcard reward_model/*.c reward_model/*/*.c))
RM_OBJECTS := $(RM_SOURCES:%.c=$(OUT)/%.o)
RM_LIBRARY := $(OUT)/libaileron_rm.a
RM_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/model/test_*.c tests/model/probe_*.c))
RM_BENCHES := $(patsubst %.c,$(OUT)/%,$(wildcard tests/model/bench_*.c))
DNNL := $(if $(wildcard /usr/include/oneapi/dnnl/dnnl.h),yes)
RM_CFLAGS := -fopenmp $(if $(filter release,$(MODE)),-O3) $(if $(DNNL),-DHAVE_DNNL)
RM_LIBS := $(if $(DNNL),-ldnnl) -fopenmp $(LIBS)
$(RM_OBJECTS) $(RM_TESTS:=.o) $(RM_BENCHES:=.o): CFLAGS += $(RM_CFLAGS)
# The kernels: a * b + c may be one instruction, and vectors pass between inlined functions only.
$(OUT)/reward_model/nn/ops_cpu%.o: CFLAGS += -ffp-contract=fast -fno-math-errno \
	-fno-trapping-math -Wno-psabi

# Character classes and compositions, from Debian's unicode-data.
UNICODE := $(addprefix /usr/share/unicode/,DerivedAge.txt PropList.txt \
	DerivedNormalizationProps.txt UnicodeData.txt)
build/gen/unicode_tables.h: reward_model/text/unicode.awk $(wildcard $(UNICODE))
	@[ -r $(lastword $(UNICODE)) ] || { echo "the package unicode-data is needed"; exit 1; }
	@mkdir -p $(@D) && LC_ALL=C awk -f $< $(UNICODE) > $@
RM_FUZZERS := $(addprefix build/fuzz/fuzz_,safetensors tokenizer config)
$(OUT)/reward_model/text/unicode.o $(RM_FUZZERS): build/gen/unicode_tables.h
$(RM_FUZZERS): $(filter reward_model/text/% reward_model/hub/% reward_model/nn/config.c,$(RM_SOURCES))

include reward_model/cuda.mk
# Several GPUs: where NCCL's header is (CUDA_INCLUDE=DIR may name its place, too). The library is
# looked for at run time.
NCCL_HEADER := $(if $(CUDA_OBJECTS),$(firstword $(wildcard $(addsuffix /nccl.h,$(CUDA_INCLUDE) \
	$(CUDA_TOP)/include $(CUDA_TOP)/targets/*/include /usr/include))))
NCCL_OBJECT := $(if $(NCCL_HEADER),build/cuda/parallel_nccl.o)
build/cuda/parallel_nccl.o: reward_model/run/parallel_nccl.c $(wildcard reward_model/run/parallel*.h) \
	reward_model/nn/ops.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -Werror,$(CFLAGS)) $(addprefix -isystem ,$(dir $(NCCL_HEADER)) \
		$(CUDA_TOP)/include $(wildcard $(CUDA_TOP)/targets/*/include)) -c -o $@ $<

$(OUT)/aileron-rm: $(OUT)/reward_model/main.o $(CUDA_OBJECTS) $(NCCL_OBJECT) $(RM_LIBRARY) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(RM_LIBS) $(if $(CUDA_OBJECTS),$(CUDA_LINK))

build/aileron-rm: FORCE cuda-said
	@$(MAKE) --no-print-directory $(JOBS) MODE=release build/release/aileron-rm
	@cmp -s build/release/aileron-rm $@ || { cp build/release/aileron-rm $@.new && mv $@.new $@; }

$(RM_LIBRARY): $(filter-out $(OUT)/reward_model/main.o,$(RM_OBJECTS))
	@rm -f $@ && ar qcs $@ $^

c-tests: $(RM_TESTS)
benches: $(RM_BENCHES)
$(RM_TESTS) $(RM_BENCHES): $(OUT)/%: $(OUT)/%.o $(SUPPORT) $(RM_LIBRARY) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(RM_LIBS)

-include $(RM_OBJECTS:.o=.d) $(RM_TESTS:=.d) $(RM_BENCHES:=.d)
