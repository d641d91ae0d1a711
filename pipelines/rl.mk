# Reinforcement learning, from any model and any prompts: samples, rewards and
# updates in one pipe, then the checkpoints' accuracies, and curves.
#
# This is what grpo.mk and reinforce.mk share; they name the objective and its
# settings.  Everything in capitals may be set by the caller:
#
#	make -f pipelines/grpo.mk OUT=/big/grpo MODEL=/big/sft \
#	    PROMPTS=/big/prompts MIX=vqav2:0.6,textvqa:0.4 \
#	    HELDOUT=/big/prompts/val.gv
#
# Prompts are streams of `gv-tokenize --prompt`, joined with their images by
# gv-paste --many; each record has its task and its answers.
#
# The pipe's exit status is that of gv-train, its last program.  That is enough:
# a program that fails never ends its stream, so those behind it fail, too.  And
# it has to be so: after the last step nobody reads the prompts that are left,
# and what writes them ends by SIGPIPE, which a shell's pipefail would take for
# a failure.
#
# Interrupted, by whatever, the next make goes on from the last checkpoint.

# ---- what is learned from ----------------------------------------------------

# The model to start from, and where everything goes.
MODEL	=
OUT	= build/rl/$(OBJECTIVE)
BIN	= build/bin
SEED	= 1

# Streams $(PROMPTS)/NAME.gv by weight; or any command that writes prompts, the
# same in each call.
PROMPTS	= .
MIX	=
SOURCE	= gv-shuf -q --seed $(SEED) --records $(RECORDS) $(STREAMS)

# Prompts that are kept out of it, for evaluation.
HELDOUT	=

# A sum of tasks for all answers, where not the record's own; what counts in
# evaluation; other options of gv-reward.
TASK	=
EVAL_TASK ?= $(TASK)
JUDGE	?=

# ---- how -----------------------------------------------------------------------

# Parts with their rates; steps, of so many prompts, with so many answers, of so
# many tokens; by how many steps sampling may be ahead; steps between
# checkpoints, each of which is evaluated and kept.
PARTS	= language=1e-6
STEPS	= 500
GROUPS	= 16
GROUP	= 16
TOKENS	= 256
LAG	= 1
EVERY	= 100
WAIT	= 60
KL	?= 0
LAW	?=

# Other options of gv-rollout, in training and evaluation: a tool, stop strings.
SAMPLING ?=

# Samples take their images along for parts that train on them.
IMAGES	= --images

# `yes` keeps the samples with their rewards, as a stream.  Such a run begins
# anew if it was interrupted.
RECORD	=

# What `replay` makes of them: another objective, another sum of tasks.
REPLAY	= dr-grpo --longest $(TOKENS)
REPLAY_TASK = $(TASK)

# --------------------------------------------------------------------------------

include $(dir $(lastword $(MAKEFILE_LIST)))stage.mk

ifeq ($(and $(MODEL),$(HELDOUT),$(or $(MIX),$(filter-out file,$(origin SOURCE)))),)
$(error MODEL, HELDOUT and MIX must be set)
endif

# Groups of equal rewards may be drawn anew, so there are prompts to spare.
RECORDS	= $$(($(STEPS) * $(GROUPS) * 10))
comma	= ,
STREAMS	= $(foreach m,$(subst $(comma), ,$(MIX)),$(PROMPTS)/$(subst :,.gv:,$m))

judge	= gv-reward -q $(if $1,--task '$1') $(JUDGE)
learn	= gv-train -q -m $(MODEL) -o $(@D) --train $(PARTS) \
	  --batch $(GROUPS) --steps $(STEPS) $(LAW) \
	  $(if $(filter-out 0,$(KL)),--kl $(KL) --reference $(MODEL))
examine	= mkdir -p $(@D); gv-rollout -q -m $1 --temperature 0 \
	  --max-tokens $(TOKENS) $(SAMPLING) $(HELDOUT) | \
	  $(call judge,$(EVAL_TASK)) --summary --json -o $@
TRAINED	= $(OUT)/model/model.safetensors
POINTS	= $(shell seq -f %08.0f $(EVERY) $(EVERY) $$(($(STEPS) - 1)))
STEP_LAST = $(shell printf %08d $(STEPS))
EVALS	= $(patsubst %,$(OUT)/eval/%.json,00000000 $(POINTS) $(STEP_LAST))

.PHONY: all curves replay clean

all: $(OUT)/report.txt curves
	@cat $<

# ---- the pipe ------------------------------------------------------------------

$(TRAINED): $(MODEL)/model.safetensors | $(BIN)/gv-rollout $(BIN)/gv-reward \
    $(BIN)/gv-train
	mkdir -p $(OUT)
	$(if $(RECORD),rm -rf $(@D).run)
	[ -d $(@D).run ] || rm -f $(OUT)/log.jsonl
	$(SOURCE) |
	gv-rollout -q -m $(MODEL) --follow $(OUT)/weights --wait $(WAIT) \
	    --group $(GROUP) --max-tokens $(TOKENS) --seed $(SEED) $(IMAGES) \
	    $(SAMPLING) |
	$(call judge,$(TASK)) |$(if $(RECORD), tee $(OUT)/samples.part |)
	$(learn) --objective $(OBJECTIVE) --publish $(OUT)/weights \
	    --max-lag $(LAG) --save-every $(EVERY) --keep $(STEPS) --keep-run \
	    --resume --log $(OUT)/log.jsonl
	$(if $(RECORD),mv $(OUT)/samples.part $(OUT)/samples.gv)

# ---- the same samples again ------------------------------------------------------

# From the recording alone: judged anew, and learned from however old they are.
replay: $(OUT)/replay/model.safetensors

$(OUT)/samples.gv: $(TRAINED)
	[ -s $@ ] || { echo 'rl: nothing recorded: RECORD=yes' >&2; exit 1; }

$(OUT)/replay/model.safetensors: $(OUT)/samples.gv
	rm -f $(OUT)/replay.jsonl
	$(call judge,$(REPLAY_TASK)) $< |
	$(learn) --objective $(REPLAY) --max-lag -1 --log $(OUT)/replay.jsonl

# ---- evaluation ------------------------------------------------------------------

# The model before, checkpoints, the model after.
$(OUT)/eval/00000000.json: $(HELDOUT) $(MODEL)/model.safetensors
	$(call examine,$(MODEL))

$(OUT)/eval/$(STEP_LAST).json: $(HELDOUT) $(TRAINED)
	$(call examine,$(OUT)/model)

$(OUT)/eval/%.json: $(HELDOUT) $(TRAINED)
	$(call examine,$(OUT)/model.run/step-$*)

$(OUT)/eval.tsv: $(EVALS)
	printf 'step\taccuracy\tlow\thigh\n' >$@
	for f in $^; do
		jq -r '[(input_filename | split("/")[-1] | rtrimstr(".json")
		    | tonumber), .accuracy, .low, .high] | @tsv' $$f >>$@
	done

# One line a step; after a resume the steps behind the checkpoint stand there
# again, and the last ones count.
$(OUT)/log.tsv: $(TRAINED) $(HERE)rl-log.jq
	jq -rsf $(HERE)rl-log.jq $(OUT)/log.jsonl >$@

$(OUT)/report.txt: $(OUT)/eval.tsv $(OUT)/log.tsv $(HERE)rl-report.sh
	sh $(HERE)rl-report.sh $(OUT) >$@.part
	mv $@.part $@

# ---- curves ----------------------------------------------------------------------

ifeq ($(shell command -v gnuplot),)
curves:
	@echo 'rl: no curves: there is no gnuplot' >&2
else
curves: $(OUT)/curves.png $(OUT)/curves.svg
endif

$(OUT)/curves.%: $(OUT)/log.tsv $(OUT)/eval.tsv $(HERE)curves.gp
	gnuplot -e "kind='$*'; log='$(OUT)/log.tsv'; eval='$(OUT)/eval.tsv'" \
	    -e "kl=$(KL)" $(HERE)curves.gp >$@

clean:
	rm -rf $(OUT)
