#!/bin/sh
# The pipe of reinforcement learning: that it runs, what the log says of the
# weights that sampled, that nothing hangs and nothing is lost when one of the
# three is killed, and what is refused.
# shellcheck disable=SC2094
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

# ---- a small text model, and prompts -----------------------------------------

i=0
while [ $i -lt 40 ]; do
	echo "{\"messages\":[{\"role\":\"user\",\"content\":\"say $i\"}],\
\"answers\":[\"a\"]}"
	i=$((i + 1))
done >q.jsonl
cat >config.json <<'EOF_CONFIG'
{"model_type":"qwen2","hidden_size":32,"intermediate_size":64,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
"max_position_embeddings":64,"rope_theta":10000.0,"rms_norm_eps":1e-6,
"tie_word_embeddings":true,"hidden_act":"silu"}
EOF_CONFIG
gv-tokenize train --vocab 280 --template nano -o tok q.jsonl >/dev/null &&
	gv-model init config.json --tokenizer tok -o m0 --seed 3 >/dev/null &&
	gv-tokenize -m m0 --prompt -o p1.gv q.jsonl || exit 1
gv-cat -o p.gv p1.gv p1.gv p1.gv p1.gv p1.gv p1.gv || exit 1
STEPS=30

# The three, each a process of its own whose number is known.  Half of the
# samples of a fresh model have one of these letters.
cat >sampler <<'EOF_SAMPLER'
#!/bin/sh
exec gv-rollout -q --threads 1 -m m0 --follow w --wait 600 --group 4 \
    --max-tokens 4 p.gv
EOF_SAMPLER
cat >judge <<'EOF_JUDGE'
#!/bin/sh
exec gv-reward -q --task format --format '[a-z]'
EOF_JUDGE
cat >learner <<'EOF_LEARNER'
#!/bin/sh
exec gv-train -q --threads 1 -m m0 --objective grpo --train language=1e-3 \
    --batch 4 --publish w "$@"
EOF_LEARNER
chmod +x sampler judge learner
PATH=$T:$PATH
mkfifo samples rewards

# start TRAIN-ARGS...: the pipe, in the background.
start() {
	sampler >samples 2>sampler.err &
	sampler_pid=$!
	judge <samples >rewards 2>judge.err &
	judge_pid=$!
	learner "$@" <rewards 2>learner.err &
	learner_pid=$!
}

# gone PID: within 15 seconds; its exit status is in $status.
gone() {
	n=0
	while [ $n -lt 300 ] && kill -0 "$1" 2>/dev/null; do
		sleep 0.05
		n=$((n + 1))
	done
	if kill -0 "$1" 2>/dev/null; then
		status=hangs
		kill -9 "$1"
	fi
	wait "$1" 2>/dev/null
	got=$?
	[ "$status" = hangs ] || status=$got
}

# ends DESC: all three do; their statuses are "sampler judge learner".
ends() {
	all=
	for p in $sampler_pid $judge_pid $learner_pid; do
		status=
		gone "$p"
		all="$all $status"
	done
	all=${all# }
}

# steps LOG: how many different steps it has, and the last one.
steps() {
	jq -s '[.[].step] | "\(unique | length) \(max)"' -r "$1"
}

# ---- a run -----------------------------------------------------------------------

start --steps $STEPS -o whole --log whole.log
ends
is 'the pipe runs, and all three end well' "$all" '0 0 0'
is '... with all its steps' "$(steps whole.log)" "$STEPS $STEPS"
is '... whose samples are of the weights that learn (--max-lag 0)' \
    "$(jq -s 'map(.lag) | max' whole.log)" 0
is '... and of the same arithmetic' \
    "$(jq -s 'map(.gap_max) | max < 1e-4' whole.log)" true
is '... as are its groups' "$(jq -s 'map(.samples) | unique' -c whole.log)" '[16]'
ok '... to other weights' sh -c '! cmp -s m0/model.safetensors \
    whole/model.safetensors'

start --steps $STEPS -o late --log late.log --max-lag 1
ends
is 'with --max-lag 1, too' "$all" '0 0 0'
is '... where sampling is ahead, by a step at most' \
    "$(jq -s 'map(.lag) | [max, (add > 0)]' -c late.log | sed 's/\.0//')" \
    '[1,true]'
is '... so the gap is one of weights' \
    "$(jq -s 'map(.gap) | max > 1e-4' late.log)" true

# ---- killed ------------------------------------------------------------------------

lines() {
	if [ -f run.log ]; then wc -l <run.log; else echo 0; fi
}

# A run in which WHO is killed when the log has LINES lines, and its second half.
killed() { # WHO LINES
	rm -rf run run.run w run.log
	start --steps $STEPS -o run --log run.log --save-every 2
	n=0
	while [ $n -lt 1000 ] &&
	    [ "$(lines)" -lt "$2" ]; do
		sleep 0.01
		n=$((n + 1))
	done
	eval "victim=\$$1_pid"
	# shellcheck disable=SC2154 # victim, by eval
	# a shell that waits for the other end of a fifo would leave that waiting
	while [ $n -lt 1000 ] &&
	    ! grep -qs '^gv-' "/proc/$victim/comm"; do
		sleep 0.01
		n=$((n + 1))
	done
	# shellcheck disable=SC2154 # by eval
	kill -9 "$victim" 2>/dev/null
	ends
	case "$all" in
	*hangs* | *0*0*0*) tap_point 1 "$1 killed after $2 steps: $all" ;;
	*) tap_point 0 "$1 killed after $2 steps ends all ($all)" ;;
	esac
	[ ! -e run ]
	tap_point $? '... with no model'
	start --steps $STEPS -o run --log run.log --save-every 2 --resume
	ends
	is '... and started again it runs to the end' "$all $(steps run.log)" \
	    "0 0 0 $STEPS $STEPS"
}
for who in sampler judge learner; do
	killed $who 0
	killed $who 9
done
is 'a run that was killed has the weights of one that never was' \
    "$(sha256sum <run/model.safetensors)" \
    "$(sha256sum <whole/model.safetensors)"

# A learner that fails before it publishes, and one that doesn't even start:
# nobody waits for its weights, nor the judge for their samples.
rm -rf w
start --steps $STEPS -o /nowhere/run
ends
is 'a learner that fails at once ends all' "$all $(wc -l <learner.err)" \
    '141 141 1 1'
start --steps $STEPS -o run --no-such-option
ends
is '... as does one with a wrong command line' "$all" '141 141 2'

# ---- reward programs ------------------------------------------------------------------

# reward DESC COMMAND: what a pipe does whose judge is that program.
reward() {
	cat >judge <<-EOF_EXEC
		#!/bin/sh
		exec gv-reward -q --task exec --timeout 1 --exec '$2'
	EOF_EXEC
	rm -rf bad bad.run w
	start --steps 5 -o bad
	ends
	is "a reward program that $1 ends the pipe" "${all##* } $(wc -l \
	    <judge.err) $(wc -l <learner.err)" '1 1 1'
	is '... and no model is left' "$(ls -d bad 2>/dev/null)" ''
}
reward 'dies' 'read x; echo 1; exit 3'
reward 'hangs' 'read x; echo 1; sleep 20'
reward 'prints garbage' 'while read x; do echo good; done'
reward 'says nan' 'while read x; do echo nan; done'

# ---- the recipe ----------------------------------------------------------------------------

# recipe TARGET: grpo.mk with a mixture, a reference, two rewards, a recording.
cp p1.gv p2.gv
recipe() {
	make -s -C "$SRC" -f pipelines/grpo.mk BIN="$B/bin" MODEL="$T/m0" \
	    OUT="$T/recipe" PROMPTS="$T" MIX=p1:0.6,p2:0.4 HELDOUT="$T/p1.gv" \
	    STEPS=8 GROUPS=4 GROUP=4 TOKENS=4 EVERY=4 WAIT=5 IMAGES= RECORD=yes \
	    TASK=format,length:0.1 EVAL_TASK=format \
	    JUDGE="--format '[a-z]' --max-length 4 --length-margin 2" \
	    PARTS=language=1e-3 REPLAY_TASK=format "$1"
}
ok 'the recipe runs' recipe "$T/recipe/report.txt"
is '... and evaluates its checkpoints' "$(cut -f1 recipe/eval.tsv | tr '\n' ' ')" \
    'step 0 4 8 '
is '... by what counts there alone' \
    "$(jq '.tasks[0].task' -r recipe/eval/00000008.json)" format
is '... with all its columns' "$(awk -F '\t' 'NR == 1 {
	for (i = 1; i <= NF; i++) at[$i] = i; next
}
$at["kl"] >= 0 && $at["entropy"] > 0 && $at["length"] > 0 && $at["lag"] <= 1 &&
    $at["clip_low"] != "-" && $at["gap"] != "-" && $at["+format"] >= 0 &&
    $at["+length"] <= 0 { n++ }
$at["kl"] > 0 { far++ }
END { print n, (far > 0) }' recipe/log.tsv)" '8 1'
ok '... and its samples are learned from again' recipe replay
is '... for another reward' \
    "$(jq -s '[length, (.[0].rewards | keys)]' -c recipe/replay.jsonl)" \
    '[8,["format"]]'
ok '... to other weights' sh -c '! cmp -s recipe/model/model.safetensors \
    recipe/replay/model.safetensors'

# ---- what is refused ---------------------------------------------------------------------

gv-rollout -q -m m0 --group 4 --max-tokens 4 p1.gv |
	gv-reward -q --task format --format '[a-z]' -o s.gv
gv-rollout -q -m m0 --max-tokens 4 p1.gv |
	gv-reward -q --task format --format '[a-z]' -o one.gv

# refused DESC WHAT TRAIN-ARGS...: one line with WHAT in it, and no model.
refused() {
	desc=$1 what=$2
	shift 2
	must_fail 1 "$desc" gv-train -q -m m0 -o bad --objective grpo \
	    --train language=1e-3 --batch 4 "$@"
	said '... which is said' "$what"
	is '... and no model is left' "$(ls -d bad 2>/dev/null)" ''
}
refused 'groups of one' 'only one sample' --steps 3 one.gv
refused 'a stale policy' '1 behind' --steps 3 s.gv
ok 'recorded samples of any age with --max-lag -1' gv-train -q -m m0 -o again \
    --objective dr-grpo --longest 4 --train language=1e-3 --batch 4 \
    --steps 3 --max-lag -1 s.gv
gv-tokenize train --vocab 280 --template nano -o tok2 config.json >/dev/null &&
	gv-model init config.json --tokenizer tok2 -o other --seed 3 >/dev/null
refused 'a reference of another vocabulary' "'other'.*tokenizer" --steps 3 \
    --max-lag -1 --kl 0.1 --reference other s.gv
sed 's/"max_position_embeddings":64/"max_position_embeddings":8/' \
    config.json >short.json
gv-model init short.json --tokenizer tok -o short --seed 3 >/dev/null
refused 'a reference of fewer positions' "8 positions" --steps 3 \
    --max-lag -1 --kl 0.1 --reference short s.gv
refused 'prompts' "no field 'loss_mask', which gv-rollout writes" --steps 3 p.gv
gv-rollout -q -m m0 --group 4 --max-tokens 4 -o drawn.gv p1.gv
refused 'samples that nobody has judged' \
    "no field 'reward', which gv-reward writes" --steps 3 drawn.gv
refused 'a reference that is nowhere' \
    "no field 'logp_ref', which gv-rollout --score --score-as logp_ref writes" \
    --steps 3 --kl 0.1 s.gv
gv-rollout -q -m m0 --group 4 --max-tokens 4 --temperature 0 p1.gv |
	gv-reward -q --task format --format '[a-z]' -o equal.gv
refused 'groups of equal rewards alone' 'nothing was learned' --steps 3 \
    --max-lag -1 --equal-groups drop equal.gv

# rewards FIELDS: a stream of two samples whose first line is changed so.
digest=$(gv-stat --json s.gv | jq -r '[.. | .tokenizer? // empty] | first')
rewards() { # JSON [WITHOUT [DIGEST]]
	types=$(for f in 'tokens=I32 (T)' 'loss_mask=U8 (T)' 'logp=F32 (T)' \
	    'reward=F32 ()' 'rewards=plain' 'group=plain' 'sample=plain' \
	    'policy=plain' 'group_size=plain'; do
		[ "${f%%=*}" = "${2:-none}" ] || printf '%s\n' "$f"
	done)
	echo "$types" >types
	set -- "$1" "${2:-none}" "${3:-$digest}"
	# shellcheck disable=SC2046 # a line an argument
	(
		what=$1 without=$2 sum=$3
		IFS='
'
		# shellcheck disable=SC2016 # jq's
		jq -nc --argjson x "$what" --arg no "$without" '
			range(2) | {key: "k", tokens: [1, 2, 3],
			loss_mask: [0, 0, 1], logp: [0, 0, -1], reward: .,
			rewards: {}, group: 0, sample: ., policy: 0,
			group_size: 2} + (if . == 0 then $x else {} end)
			| del(.[$no])' |
			"$MK" rewards $(cat types) "@tokenizer=$sum"
	)
}
rewards '{}' >fine.gv
ok 'two samples made by hand' gv-train -q -m m0 -o hand --objective grpo \
    --train language=1e-3 --batch 1 --steps 1 fine.gv
rewards '{"reward":"NaN"}' >nan.gv
refused 'a reward that is no number' 'reward' --steps 1 --batch 1 nan.gv
rewards '{}' logp >nologp.gv
refused 'records without logp' 'logp' --steps 1 --batch 1 nologp.gv
rewards '{}' none 0123456789abcdef >other.gv
refused 'another vocabulary' 'tokenizer' --steps 1 --batch 1 other.gv

# useless WHAT TRAIN-ARGS...: an option that would do nothing is a mistake.
useless() {
	what=$1
	shift
	must_fail 2 "$what" gv-train -q -m m0 -o bad --train language=1e-3 \
	    --steps 3 "$@" s.gv
}
useless 'a reference without --kl' --objective grpo --reference m0
useless '--longest without dr-grpo' --objective grpo --longest 8
useless 'a range without --correct' --objective grpo --old trainer \
    --correct-high 3
useless 'a clip without ratios' --objective reinforce --clip-high 0.3
useless 'a lower clip of cispo' --objective cispo --clip-low 0.3
useless 'a schedule of evaluations without a stream' --objective grpo \
    --eval-every 2

# ---- the plan with a reference ---------------------------------------------------

plan() {
	gv-train -m m0 --plan --json --objective grpo --train language=1e-3 \
	    --batch 4 --steps 3 --max-lag -1 --kl 0.1 "$@" s.gv
}
plan --reference m0 >with.json
is 'a plan counts the reference' "$(jq '
	.reference_weights_bytes == .weights_bytes and
	.reference_activations_bytes > 0 and
	.reference_activations_bytes < .activations_bytes' with.json)" true

# ---- going on with another law --------------------------------------------------

gv-train -q -m m0 -o law --objective grpo --train language=1e-3 --batch 4 \
    --steps 3 --max-lag -1 --kl 0.1 --reference m0 --save-every 1 \
    --keep-run s.gv && rm -r law
# another OPTION ARGS...: the run isn't gone on with, and the option is named.
another() {
	what=$1
	shift
	must_fail 1 "another $what is another run" gv-train -q -m m0 -o law \
	    --objective grpo --train language=1e-3 --batch 4 --steps 3 \
	    --max-lag -1 --kl 0.1 --reference m0 --resume "$@" s.gv
	said '... which is said' "another --$what"
}
gv-model init config.json --tokenizer tok -o m1 --seed 4 >/dev/null
another reference --reference m1
another objective --objective dapo
another clip-high --clip-high 0.3
another kl --kl 0.2

finish
