# Repogate. `make help` lists what can be built; `make V=1` shows the commands.

VERSION := 0.1.0
PREFIX  ?= /usr/local
SAN     ?=
CI      ?=

ifeq ($(SAN),)
VARIANT := release
else ifeq ($(SAN),thread)
VARIANT := tsan
else
VARIANT := asan
endif

B := build/$(VARIANT)
Q := $(if $(V),,@)

PACKAGES := libmicrohttpd libcurl jansson libjwt libcrypto lua5.4 libcyaml yaml-0.1 sqlite3 libpq
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS   = $(shell pkg-config --libs check)

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
            -Wwrite-strings -Wpointer-arith -Wundef $(if $(CI),-Werror)
CFLAGS_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fstack-clash-protection -fcf-protection
LDFLAGS_release := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=$(SAN)
LDFLAGS_asan := -fsanitize=$(SAN)
CFLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_tsan := -fsanitize=thread

ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -DREPOGATE_VERSION='"$(VERSION)"' -Igateway -pthread $(WARNINGS) $(CFLAGS_$(VARIANT)) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP
ALL_LDFLAGS = -pthread $(LDFLAGS_$(VARIANT)) $(LDFLAGS)

SOURCES := $(filter-out gateway/main.c,$(sort $(wildcard gateway/*.c gateway/*/*.c)))
OBJECTS := $(SOURCES:gateway/%.c=$(B)/%.o)
LIB     := $(B)/libgateway.a
PROGRAM := $(if $(SAN),$(B)/repogate,build/repogate)

UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
BENCH := $(patsubst tests/bench/%.c,$(B)/bench/%,$(sort $(wildcard tests/bench/*.c)))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

.PHONY: all check unit replay fuzz bench lint install uninstall clean help
all: $(PROGRAM) ## the gateway: build/repogate (SAN=address,undefined or SAN=thread: build/asan/, build/tsan/)

$(PROGRAM): $(B)/main.o $(LIB)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(LIB): $(OBJECTS)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: gateway/%.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/pages/style.o: gateway/pages/style.css

$(B)/tests/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(CHECK_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(PKG_LIBS) $(CHECK_LIBS) -lm

unit: $(UNIT)

check: unit replay ## unit tests and fuzz corpora, with SAN as given
	$(Q)scripts/lib/run-unit $(UNIT)
	$(Q)scripts/lib/run-replay $(B) $(FUZZ)

replay: $(FUZZ:%=$(B)/fuzz/%)

$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay_main.c $(LIB)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@ (replay)"
	$(Q)$(CC) $(ALL_CFLAGS) -include tests/fuzz/target.h $(ALL_LDFLAGS) -o $@ $< tests/fuzz/replay_main.c $(LIB) $(PKG_LIBS) -lm

fuzz: ## fuzz each target for SECONDS (default 60) with clang's libFuzzer
	$(Q)scripts/fuzz $(or $(SECONDS),60) $(FUZZ)

$(B)/bench/%: tests/bench/%.c tests/bench/workload.h $(LIB)
	@mkdir -p $(@D)
	@echo "  BENCH $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(PKG_LIBS) -lm

bench: all $(BENCH) ## the figures of the README, as ratios in one run (ONLY=name for one)
	$(Q)scripts/bench $(ONLY)

lint: ## formatting, static analysis, shell scripts, floors of the house
	$(Q)scripts/lint

install: all ## to $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/repogate

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/repogate

clean: ## removes build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

-include $(OBJECTS:.o=.d) $(B)/main.d $(wildcard $(B)/tests/*.d $(B)/fuzz/*.d $(B)/bench/*.d)
