# What every recipe begins with: each stage runs as one script, is timed, and
# leaves nothing half-made.  Wants OUT, where everything goes, and BIN, where
# the programs are.
#
# What a stage costs goes to $(OUT)/cost, a file a stage.

HERE	:= $(dir $(lastword $(MAKEFILE_LIST)))
export PATH := $(abspath $(BIN)):$(PATH)

SHELL	= /bin/sh
.SHELLFLAGS = $(HERE)stage.sh $(if $(filter $(OUT)/%,$@),\
	      $(OUT)/cost/$(subst /,.,$(@:$(OUT)/%=%)),/dev/null)

# A recipe that another one calls, by a name that `make -n` doesn't follow: it
# would find that nothing is there yet.
recipe	= $(MAKE) --no-print-directory -f $(HERE)$1.mk BIN=$(BIN)

.ONESHELL:
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

# Programs are order-only prerequisites, and are built elsewhere.
$(BIN)/gv-%:
	@echo '$@ is not built: make' >&2
	exit 1
