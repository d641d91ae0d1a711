# The easy-VQA demo's second half: a model that was fine-tuned too shortly learns
# on from its own answers, right or wrong, by GRPO or REINFORCE.
#
#	make demo-rl			what this file is for
#	make -f pipelines/easy-vqa-rl.mk OBJECTIVE=reinforce SEED=2
#	make -f pipelines/easy-vqa-rl.mk six
#					both objectives, three seeds; the curves
#	make ... clean			remove what was made with this seed
#
# First the model learns to name what it sees, from questions that yes or no
# don't answer.  Then it is fine-tuned on all kinds, and stopped where it answers
# about three of four questions: what it says to yes or no depends on the picture,
# but is often wrong.  There the rewards go on.
#
# Most questions of yes or no have an answer that their wording tells: "no" is
# right about "is there a red shape?" seven times in eight.  Rewards teach what
# pays first, which would be to guess by that, and a model that is sure of its
# guesses never draws the other answer, so it learns no more.  So there are as
# many questions with the one answer as with the other here, for each wording:
# only looking pays.  Groups whose answers are all right, or all wrong, teach
# nothing and are passed over.
#
# What is chosen - this course, and where the fine-tuning stops - is chosen by
# pictures of the training split that nothing is learned from, one in ten.  The
# test split, of which the questions have the answers that they happen to have,
# is for the report.
#
# All parts train, from pixels.  Questions stay in the order of their pictures,
# which are in random order, so that neighbours share a picture: it is encoded
# once for all of them.

OBJECTIVE = grpo
TOP	= build/demo/easy-vqa-rl
SEED	= 1
OUT	= $(TOP)/$(SEED)
BIN	= build/bin
COPY	= $(firstword $(wildcard build/demo/easy-vqa/*.whl $(TOP)/*/data/*.whl))

# The course: 2,000 steps of 8 pictures with what is in them; at most 1,400 of 8
# with questions of all kinds, to the first checkpoint that answers so many of
# 1,000 that were held out; then 200 of 64 questions, answered 8 times each, by
# rewards alone.
NAMES	= 2000
SFT	= 1400
ENOUGH	= 0.77
TOO_MUCH = 0.82
STEPS	= 200
EVERY	= 20

include $(dir $(lastword $(MAKEFILE_LIST)))stage.mk

E	= $(OUT)/data
R	= $(OUT)/$(OBJECTIVE)
TRAIN	= $(E)/data/easy_vqa/data/train
.PHONY: all six curves clean

# Better than before; by looking, not by guessing, which gets none of the rarer
# answers right; and blind without the picture: without looking 67.0 % can be
# had.
all: $(R)/test.txt $(R)/rarer.tsv
	@cat $(R)/report.txt $<
	awk -F '\t' '$$4 > $$3 && $$6 > $$5 && $$8 <= 68 { good = 1 }
	    END { exit !good }' $(R)/result.tsv || {
		echo 'easy-vqa-rl: not better, or above 68 % on grey' >&2
		exit 1
	}

# ---- data, by the demo's first half ----------------------------------------

DATA	= $(addprefix $(E)/,data.done model1/model.safetensors test.tokens.gv \
	  right.images.gv other.images.gv grey.images.gv)

$(OUT)/data.done:
	$(call recipe,easy-vqa) OUT=$(E) SEED=$(SEED) COPY='$(COPY)' $(DATA)
	touch $@

LISTS	= $(addprefix $(OUT)/,naming.jsonl mixed.jsonl rewarded.jsonl \
	  validation.jsonl)

$(LISTS): $(OUT)/%.jsonl: $(OUT)/data.done $(HERE)easy-vqa.jq
	jq -c -L $(HERE) 'include "easy-vqa"; $*' $(TRAIN)/questions.json \
	    >$@.part
	mv $@.part $@

$(OUT)/naming.gv $(OUT)/mixed.gv: FORM = --chat
$(OUT)/rewarded.gv $(OUT)/validation.gv: FORM = --prompt --keep question_type

$(LISTS:.jsonl=.gv): %.gv: %.jsonl | $(BIN)/gv-tokenize $(BIN)/gv-decode \
    $(BIN)/gv-paste
	gv-tokenize -q -m $(E)/model0 $(FORM) -o $*.tokens.gv $<
	gv-decode -q -m $(E)/model0 --root $(TRAIN) $< |
	gv-paste -q -o $@ $*.tokens.gv -

$(OUT)/sample.gv: $(OUT)/validation.gv | $(BIN)/gv-shuf
	gv-shuf -q --seed $(SEED) --head 1000 -o $@ $<

# The test split with the right pictures, others, and none.
IMAGES	= right other grey
$(IMAGES:%=$(OUT)/%.gv): $(OUT)/%.gv: $(OUT)/data.done | $(BIN)/gv-paste
	gv-paste -q --many -o $@ $(E)/test.tokens.gv $(E)/$*.images.gv

# ---- naming, and the short fine-tuning --------------------------------------

parts	= vision=$1,projector=$1,language=$1

$(OUT)/names/model.safetensors: $(OUT)/naming.gv | $(BIN)/gv-shuf $(BIN)/gv-train
	gv-shuf -q --seed $(SEED) --epochs 5 $< |
	gv-train -q -m $(E)/model1 -o $(@D) --batch 8 --steps $(NAMES) \
	    --train $(call parts,1e-3) --warmup 0.05 --schedule linear \
	    --weight-decay 0.05 --resume

$(OUT)/all/model.safetensors: $(OUT)/mixed.gv $(OUT)/names/model.safetensors \
    | $(BIN)/gv-shuf $(BIN)/gv-train
	rm -rf $(OUT)/all $(OUT)/all.run
	gv-shuf -q --seed $(SEED) --epochs 4 $< |
	gv-train -q -m $(OUT)/names -o $(OUT)/all --batch 8 --steps $(SFT) \
	    --train $(call parts,5e-4) --warmup 80 --schedule constant \
	    --weight-decay 0.05 --save-every 50 --keep $(SFT) --keep-run

$(OUT)/sft/model.safetensors: $(OUT)/all/model.safetensors $(OUT)/sample.gv \
    | $(BIN)/gv-rollout $(BIN)/gv-reward
	for m in $(OUT)/all.run/step-*; do
		right=$$(gv-rollout -q -m $$m --temperature 0 --max-tokens 4 \
		    $(OUT)/sample.gv | gv-reward -q --summary --json)
		if echo "$$right" | jq -e '.accuracy >= $(ENOUGH) and
		    .accuracy <= $(TOO_MUCH)' >/dev/null
		then
			rm -rf $(@D)
			cp -r $$m $(@D)
			echo "$${m##*-}" >$(OUT)/sft.txt
			exit
		fi
	done
	echo 'easy-vqa-rl: no checkpoint answers $(ENOUGH)' >&2
	exit 1

# ---- reinforcement learning ------------------------------------------------

$(R)/model/model.safetensors: $(OUT)/sft/model.safetensors $(OUT)/rewarded.gv \
    $(OUT)/validation.gv
	$(call recipe,$(OBJECTIVE)) MODEL=$(OUT)/sft OUT=$(R) SEED=$(SEED) \
	    SOURCE='gv-cat -q $(foreach i,1 2 3 4 5 6 7 8 9 10 11 12 13 14,\
	    $(OUT)/rewarded.gv)' \
	    HELDOUT=$(OUT)/validation.gv STEPS=$(STEPS) GROUPS=64 GROUP=8 \
	    TOKENS=4 KL=0 EVERY=$(EVERY) PARTS=$(call parts,5e-4) \
	    LAW='--schedule linear --warmup 0.02 --beta2 0.99 \
	    --equal-groups drop' $(R)/report.txt curves

# ---- the test split, before and after ---------------------------------------

test	= mkdir -p $(@D); gv-rollout -q -m $1 --temperature 0 --max-tokens 4 $< | \
	  gv-reward -q --summary --json -o $@

$(OUT)/before.json: $(OUT)/right.gv $(OUT)/sft/model.safetensors
	$(call test,$(OUT)/sft)

$(IMAGES:%=$(R)/%.json): $(R)/%.json: $(OUT)/%.gv $(R)/model/model.safetensors
	$(call test,$(R)/model)

$(R)/test.txt: $(OUT)/before.json $(IMAGES:%=$(R)/%.json) \
    $(HERE)easy-vqa-rl-report.sh $(HERE)easy-vqa-wording.jq
	sh $(HERE)easy-vqa-rl-report.sh $(OUT) $(SEED) $(OBJECTIVE) >$@.part
	mv $@.part $@

$(R)/result.tsv: $(R)/test.txt ;

# At each checkpoint, where the wording misleads.
$(R)/rarer.tsv: $(R)/model/model.safetensors $(HERE)easy-vqa-wording.jq
	printf 'step\taccuracy\n' >$@
	for f in $(R)/eval/*.json; do
		jq -rf $(HERE)easy-vqa-wording.jq $$f | awk -F '\t' -v f=$$f '
		    /^the rarer/ { sub(/.*\//, "", f)
			print f + 0 "\t" $$2 }' >>$@
	done

# ---- both objectives, three seeds --------------------------------------------

RUNS	= $(foreach s,1 2 3,$(foreach o,grpo reinforce,$(TOP)/$s/$o))

six:
	for s in 1 2 3; do
		for o in grpo reinforce; do
			$(call recipe,easy-vqa-rl) TOP=$(TOP) COPY='$(COPY)' \
			    SEED=$$s OBJECTIVE=$$o >/dev/null
		done
	done
	$(call recipe,easy-vqa-rl) TOP=$(TOP) $(TOP)/six.txt curves
	cat $(TOP)/six.txt

$(TOP)/six.txt: $(RUNS:=/result.tsv)
	sh $(HERE)easy-vqa-rl-six.sh $^ >$@.part
	mv $@.part $@

curves: $(TOP)/six.png

$(TOP)/six.png: $(RUNS:=/result.tsv) $(HERE)easy-vqa-rl.gp
	gnuplot -e "top='$(TOP)'" $(HERE)easy-vqa-rl.gp >$@

clean:
	rm -rf $(OUT)
