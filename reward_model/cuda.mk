# cuda.mk - the backend "cuda": with nvcc and cuBLASLt for a GPU, and without either, under an
# emulator, for its tests. Included by rules.mk.
#
# CUDA_INCLUDE=DIR and CUDA_LIB=DIR name places of cublasLt.h and libcublasLt.so that nvcc does not
# know; CUDA=no leaves the backend out.

comma := ,
NN_SOURCES := $(wildcard reward_model/nn/*.c) server/base/arena.c server/base/err.c
CUDA_SOURCES := $(wildcard reward_model/nn/cuda/*.cu)
CUDA_HEADERS := $(wildcard reward_model/nn/cuda/*.h) reward_model/nn/ops.h reward_model/nn/choices.h

# ---- for a GPU ----

NVCC := $(if $(filter no,$(CUDA)),,$(shell PATH="$$PATH:/usr/local/cuda/bin" command -v nvcc))
ifneq ($(NVCC),)
CUDA_TOP := $(shell $(NVCC) --dryrun -x cu -E /dev/null 2>&1 | sed -n 's/^\#\$$ TOP=//p')
CUDA_LT_HEADER := $(firstword $(wildcard $(addsuffix /cublasLt.h,$(CUDA_INCLUDE) \
	$(CUDA_TOP)/include $(CUDA_TOP)/targets/*/include /usr/include)))
CUDA_LIBS := $(CUDA_LIB) $(CUDA_TOP)/lib64 $(wildcard $(CUDA_TOP)/targets/*/lib) \
	$(wildcard /usr/lib/*-linux-gnu)
CUDA_LT := $(firstword $(wildcard $(addsuffix /libcublasLt.so,$(CUDA_LIBS)) \
	$(addsuffix /libcublasLt.so.*,$(CUDA_LIBS))))
CUDA_RUNTIME := $(firstword $(wildcard $(addsuffix /libcudart_static.a,$(CUDA_LIBS)) \
	$(addsuffix /libcudart.so,$(CUDA_LIBS))))
endif
CUDA_MISSING := $(strip $(if $(filter no,$(CUDA)),CUDA=no says so,$(if $(NVCC),$(if \
	$(CUDA_LT_HEADER),,cublasLt.h) $(if $(CUDA_LT),,libcublasLt.so) $(if \
	$(CUDA_RUNTIME),,libcudart),nvcc)))
# (the sanitizers and the driver's memory do not go together)
CUDA_BUILT := $(if $(CUDA_MISSING),,$(patsubst reward_model/nn/cuda/%.cu,build/cuda/%.o,$(CUDA_SOURCES)))
CUDA_OBJECTS := $(if $(filter release,$(MODE)),$(CUDA_BUILT))
CUDA_LINK := $(if $(CUDA_BUILT),$(CUDA_LT) -Wl$(comma)-rpath$(comma)$(dir $(CUDA_LT)) \
	$(CUDA_RUNTIME) -Wl$(comma)-rpath$(comma)$(dir $(CUDA_RUNTIME)) -ldl -lrt -lpthread)
CUDA_TARGETS := -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
	-gencode arch=compute_90,code=compute_90
NVCC_FLAGS := -std=c++17 -O3 -lineinfo $(CUDA_TARGETS) -Xptxas -v \
	-Xcompiler -Wall,-Wextra,-fPIE,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics \
	$(if $(CI)$(WERROR),-Werror all-warnings) $(addprefix -I,$(dir $(CUDA_LT_HEADER)))

# What ptxas says of registers and spills stays in build/ptxas/.
build/cuda/%.o: reward_model/nn/cuda/%.cu $(CUDA_HEADERS) reward_model/cuda.mk
	@mkdir -p $(@D) build/ptxas
	$(NVCC) $(NVCC_FLAGS) -c -o $@ $< 2> build/ptxas/$*.txt || { cat build/ptxas/$*.txt; exit 1; }
	@grep -E 'warning|error' build/ptxas/$*.txt || true

.PHONY: cuda-said cuda-kernels emulated-tests
cuda-kernels: $(patsubst reward_model/nn/cuda/%.cu,build/cuda/%.o,$(filter-out \
	$(if $(CUDA_LT_HEADER),,%/product.cu %/product_call.cu),$(CUDA_SOURCES)))
cuda-said:
	@echo "cuda: $(if $(CUDA_MISSING),not in this build; missing: $(CUDA_MISSING),in this build\
	($(NVCC)$(comma) $(CUDA_LT)))"

# ---- under the emulator: the same sources, with gcc alone ----

EMULATED := build/emulated
EMULATED_FLAGS := -g -O2 -fopenmp -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
EMULATED_OBJECTS := $(patsubst %,$(EMULATED)/%.o,$(CUDA_SOURCES) $(wildcard tests/cuda/*.cpp)) \
	$(NN_SOURCES:%.c=$(EMULATED)/%.o)
EMULATED_TESTS := $(addprefix $(EMULATED)/tests/model/,test_ops test_ops_shapes test_ops_turn \
	test_ops_attention test_model test_recompute) $(EMULATED)/tests/cuda/emulated_device
EMULATE := -x c++ -std=c++17 -DCUDA_EMULATED -include tests/cuda/emulate.h -Itests/cuda

$(EMULATED)/%.o: %.c reward_model/cuda.mk
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(WARNINGS) $(EMULATED_FLAGS) -ffp-contract=fast -Wno-psabi \
		-DOPS_BACKENDS='"cuda"' -DMODEL_BACKEND='"cuda"' -MMD -MP -c -o $@ $<

$(EMULATED)/%.o: % reward_model/cuda.mk
	@mkdir -p $(@D)
	g++ $(EMULATE) -Wall -Wextra -Wno-unknown-pragmas $(if $(CI)$(WERROR),-Werror) \
		$(EMULATED_FLAGS) -MMD -MP -c -o $@ $<

emulated-tests: $(EMULATED_TESTS)
$(EMULATED_TESTS): %: %.o $(EMULATED_OBJECTS)
	g++ $(EMULATED_FLAGS) -o $@ $^ $(CHECK_LIBS) -lm

# The same again with every access of a kernel followed (tests/cuda/emulate_race.cpp), which the
# compiler's calls for its thread sanitizer serve; the sanitizer itself is not linked.
RACED := build/raced
RACED_OBJECTS := $(EMULATED_OBJECTS:$(EMULATED)/%=$(RACED)/%)
RACED_TESTS := $(addprefix $(RACED)/tests/,model/test_ops model/test_ops_shapes model/test_ops_turn \
	model/test_ops_attention cuda/emulated_device)
$(RACED)/%.o: %.c reward_model/cuda.mk
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(WARNINGS) -g -O2 -fopenmp -ffp-contract=fast -Wno-psabi \
		-DEMULATED_RACES -DOPS_BACKENDS='"cuda"' -MMD -MP -c -o $@ $<
$(RACED)/%.cu.o $(RACED)/tests/cuda/check_device.cpp.o: FOLLOWED := -fsanitize=thread \
	--param=tsan-instrument-func-entry-exit=0
$(RACED)/%.o: % reward_model/cuda.mk
	@mkdir -p $(@D)
	g++ $(EMULATE) -Wall -Wextra -Wno-unknown-pragmas $(if $(CI)$(WERROR),-Werror) -g -O2 -fopenmp \
		$(FOLLOWED) -MMD -MP -c -o $@ $<
emulated-tests: $(RACED_TESTS) $(RACED)/check
$(RACED_TESTS): %: %.o $(RACED_OBJECTS)
	g++ -fopenmp -o $@ $^ $(CHECK_LIBS) -lm
$(RACED)/check: $(patsubst %.c,$(RACED)/%.o,$(wildcard tests/gpu/*.c)) $(RACED_OBJECTS)
	g++ -fopenmp -o $@ $^ -lm

# ---- for `make gpu-check`: nn/ alone, with plain CPU products ----

GPU_OBJECTS := $(patsubst %.c,build/gpu/%.o,$(wildcard tests/gpu/*.c) $(NN_SOURCES))
build/gpu/%.o: %.c reward_model/cuda.mk
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE -g -O3 -fPIE -fopenmp $(WARNINGS) -ffp-contract=fast \
		-fno-math-errno -fno-trapping-math -Wno-psabi $(if $(NVCC),-DCHECK_WITH_CUDA \
		-isystem $(firstword $(wildcard $(CUDA_TOP)/include $(CUDA_TOP)/targets/*/include))) \
		-MMD -MP -c -o $@ $<
build/gpu/check: $(GPU_OBJECTS) $(CUDA_BUILT)
	$(if $(CUDA_BUILT),$(CC) -pie -fopenmp -o $@ $^ $(CUDA_LINK) -lm,\
		@echo "check is not linked; missing: $(CUDA_MISSING)")
$(EMULATED)/check: $(patsubst %.c,$(EMULATED)/%.o,$(wildcard tests/gpu/*.c)) $(EMULATED_OBJECTS)
	g++ $(EMULATED_FLAGS) -o $@ $^ -lm

-include $(GPU_OBJECTS:.o=.d) $(patsubst %.c,$(EMULATED)/%.d,$(wildcard tests/gpu/*.c))
-include $(EMULATED_OBJECTS:.o=.d) $(EMULATED_TESTS:=.d) $(RACED_OBJECTS:.o=.d) $(RACED_TESTS:=.d)
