# Aileron. `make run` starts it, `make test` tests it, `make help` lists the rest.
# SKIP_DEPS=1 keeps make from installing anything. MODE=release|asan|tsan|cov picks the flavour.

MODE ?= release
OUT := build/$(MODE)
DATA ?= data

# What the build and the tests need, by their Debian names; nowhere else are they listed.
BUILD_PACKAGES := gcc libc6-dev libmicrohttpd-dev libjansson-dev libsodium-dev libpq-dev \
	libcmark-gfm-dev libcmark-gfm-extensions-dev libzstd-dev zlib1g-dev libdnnl-dev \
	libcurl4-openssl-dev unicode-data postgresql \
	libjs-katex libjs-highlight.js libjs-chart.js fonts-katex gzip
TEST_PACKAGES := check clang libclang-rt-dev python3 python3-venv chromium chromium-driver \
	fonts-noto-cjk procps curl qemu-user

CC := gcc
CFLAGS_MODE_release := -O2 -D_FORTIFY_SOURCE=2
CFLAGS_MODE_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
CFLAGS_MODE_tsan := -O1 -fsanitize=thread
CFLAGS_MODE_cov := -O0 --coverage
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wconversion $(if $(CI)$(WERROR),-Werror)
CFLAGS := -std=c17 -D_GNU_SOURCE -g -fstack-protector-strong -fPIE $(WARNINGS) \
	$(CFLAGS_MODE_$(MODE)) -Ibuild/gen -I/usr/include/postgresql
LDFLAGS := -pie -Wl,-z,relro,-z,now $(filter -fsanitize=% --coverage,$(CFLAGS_MODE_$(MODE)))
LIBS := -lmicrohttpd -lpq -ljansson -lsodium -lcmark-gfm-extensions -lcmark-gfm -lcurl \
	-lzstd -lz -lm -lpthread
CHECK_LIBS := -lcheck -lsubunit -lrt

SOURCES := $(wildcard server/*.c server/*/*.c)
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
LIBRARY := $(OUT)/libaileron.a
QUERIES := $(wildcard schema/queries/*.sql)
MIGRATIONS := $(wildcard schema/migrations/*.sql)
GENERATED := build/gen/sql_list.h build/gen/migration_list.h
SUPPORT := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/support/*.c))
C_TESTS := $(patsubst %.c,$(OUT)/%,$(filter-out tests/model/%,$(wildcard tests/*/test_*.c)))
BENCHES := $(patsubst %.c,$(OUT)/%,$(wildcard tests/bench/bench_*.c))
FUZZERS := $(patsubst %.c,build/fuzz/%,$(notdir $(wildcard tests/fuzz/fuzz_*.c)))
JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
VENDOR := build/vendor/.stamp
JS := /usr/share/javascript
PYTHON := build/venv/bin/python
.PHONY: all server run test bench fresh-check gpu-check help tidy fmt lint fuzz asan tsan cov \
	clean schema deps test-deps c-tests benches fuzzers FORCE
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

all: build/aileron ## build the programs
	@$(MAKE) --no-print-directory build/aileron-rm

server: $(OUT)/aileron $(VENDOR) ## build the server in MODE

run: deps ## install what is missing, build, and serve a demo project
	@$(MAKE) --no-print-directory build/aileron
	build/aileron serve --demo --data $(DATA)

test: deps test-deps ## install what is missing and run every test that needs no GPU
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(JOBS) c-tests $(if $(SKIP_DEPS),,$(PYTHON))
	@tests/run_all.sh

bench: deps test-deps ## measure, each figure beside its limit; lines in build/bench/
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(JOBS) benches $(if $(SKIP_DEPS),,$(PYTHON))
	@tests/bench/run.sh

fresh-check: ## prove `make run` and `make test` on a bare Debian (root; minutes)
	@tests/fresh_check.sh

gpu-check: ## build, parity tests and benchmarks on a machine with an NVIDIA GPU
	@if [ -x tests/gpu/check.sh ]; then tests/gpu/check.sh; \
	else echo "gpu-check: nothing in this version needs a GPU"; fi

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

tidy: ## check the rules of the code: includes, lengths, banned calls, unused statements
	@tests/tidy.sh

schema: c-tests ## write schema/schema.sql anew from the migrations
	tests/schema/dump.sh > schema/schema.sql.new && mv schema/schema.sql.new schema/schema.sql

fmt: ## format the C sources
	clang-format -i $(wildcard $(addsuffix .[ch],server/* server/*/* reward_model/*/* tests/*/*))

lint: $(GENERATED) ## static analysis
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr -Ibuild/gen \
		--error-exitcode=1 server
	clang-tidy --quiet $(SOURCES) -- $(filter-out -Werror,$(CFLAGS))

fuzz: ## fuzz every target for FUZZ_SECONDS (default 600) each
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} tests/fuzz/run.sh

asan tsan: ## build the server and its C tests with a sanitizer, and run the unit tests
	@$(MAKE) --no-print-directory MODE=$@ build/$@/aileron c-tests
	@tests/run_all.sh --mode $@ unit

cov: ## line coverage of the unit tests, by file
	@$(MAKE) --no-print-directory MODE=cov build/cov/aileron c-tests
	@tests/run_all.sh --mode cov unit
	@cd build/cov && gcov -n -o . $$(find server -name '*.gcda') | \
		awk '/^File .server/{f=$$2} /^Lines/&&f{print f, $$0; f=""}' | sort

clean: ## remove what was built
	rm -rf build

# ---- installing ----

# $(call install,PACKAGES): only what is missing, and the package lists only when something is.
define install
@missing=; for p in $(1); do \
	dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q '^install ok' || missing="$$missing $$p"; \
done; [ -z "$$missing" ] && exit 0; \
echo "installing:$$missing"; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef

deps:
	$(if $(SKIP_DEPS),,$(call install,$(BUILD_PACKAGES)))

test-deps: deps
	$(if $(SKIP_DEPS),,$(call install,$(TEST_PACKAGES)))

$(PYTHON): tests/requirements.txt
	@rm -rf build/venv && python3 -m venv build/venv
	@build/venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# ---- building ----

build/aileron: FORCE
	@$(MAKE) --no-print-directory $(JOBS) MODE=release server
	@cmp -s build/release/aileron $@ || { cp build/release/aileron $@.new && mv $@.new $@; }

$(OUT)/aileron: $(OUT)/server/main.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# main.o stays out of the library, so that tests link against everything else.
$(LIBRARY): $(filter-out $(OUT)/server/main.o,$(OBJECTS))
	@rm -f $@ && ar qcs $@ $^

$(OUT)/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/server/db/sql.o $(OUT)/server/db/migrate.o $(OUT)/server/formats/demo.o: \
	$(QUERIES) $(MIGRATIONS) schema/demo.jsonl
$(OUT)/server/api/health.o: server/api/openapi.json

c-tests: $(C_TESTS)
benches: $(BENCHES)
$(C_TESTS) $(BENCHES): $(OUT)/%: $(OUT)/%.o $(SUPPORT) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBS)

fuzzers: $(FUZZERS)
build/fuzz/%: tests/fuzz/%.c $(filter-out server/main.c,$(SOURCES)) $(GENERATED)
	@mkdir -p $(@D)
	clang -g -O1 -std=c17 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Ibuild/gen \
		-I/usr/include/postgresql -o $@ $< $$(sed -n 's,^// sources: ,,p' $<) $(LIBS)

# The directory is the list: each header is rewritten only when its content changes.
build/gen/sql_list.h: FORCE
	@mkdir -p $(@D) && awk 'BEGIN{printf "#define SQL_LIST(X)"} FNR==1{n=FILENAME; \
		gsub(/.*\/|\.sql$$/,"",n); if($$0!~/^-- lane: [a-z]+$$/){print FILENAME \
		": the first line must be -- lane: NAME" > "/dev/stderr"; exit 1} \
		printf " \\\n    X(%s, %s)",n,$$3} END{print ""}' $(sort $(QUERIES)) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build/gen/migration_list.h: FORCE
	@mkdir -p $(@D) && { printf '#define MIGRATION_LIST(X)'; for f in $(sort $(MIGRATIONS)); do \
		n=$$(basename $$f .sql); printf ' \\\n    X(m%s, "%s")' $$n $$n; done; echo; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(VENDOR): Makefile
	@rm -rf build/vendor && mkdir -p $(addprefix build/vendor/,katex/fonts highlight chart)
	@cp -L $(JS)/katex/katex.min.js $(JS)/katex/katex.min.css build/vendor/katex/
	@cp -L $(JS)/katex/fonts/*.woff2 build/vendor/katex/fonts/
	@cp -L $(JS)/highlight.js/highlight.min.js build/vendor/highlight/
	@cp -L $(JS)/chart.js/chart.min.js build/vendor/chart/
	@gzip -9kn build/vendor/*/*.js build/vendor/*/*.css && touch $@

include reward_model/rules.mk
-include $(OBJECTS:.o=.d) $(C_TESTS:=.d) $(BENCHES:=.d) $(SUPPORT:.o=.d)
