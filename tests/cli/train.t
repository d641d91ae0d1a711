#!/bin/sh
# gv-train: what it trains, that a run survives anything, and what it refuses.
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/cli/ranks.sh
. "$SRC/tests/cli/ranks.sh"

# ---- a small text model and its data ------------------------------------------

i=0
while [ $i -lt 120 ]; do
	echo "the $((i % 7)) little cats and $((i % 5)) dogs sat in box $i"
	i=$((i + 1))
done >text.txt
cat >config.json <<'E'
{"model_type":"qwen2","hidden_size":32,"intermediate_size":64,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
"max_position_embeddings":256,"rope_theta":10000.0,"rms_norm_eps":1e-6,
"tie_word_embeddings":true,"hidden_act":"silu"}
E
ok 'a vocabulary' gv-tokenize train --vocab 300 -o tok text.txt
ok 'a fresh model' gv-model init config.json --tokenizer tok -o m0 --seed 3
ok 'tokens' gv-tokenize -m m0 --text -o text.gv text.txt
ok 'other tokens' gv-tokenize -m m0 --text -o eval.gv config.json

# the run of this test, as a command of its own, so that it can be killed
cat >train <<'E'
#!/bin/sh
exec gv-train -q -m m0 --train language=3e-3 --batch 8 --steps 30 \
    --warmup .1 --weight-decay .1 --save-every 4 "$@"
E
chmod +x train
PATH=$T:$PATH
gv-shuf --epochs 2 --seed 5 -o passes.gv text.gv

# ---- a run ----------------------------------------------------------------------

ok 'a run' train -o ref --log ref.log --eval eval.gv passes.gv
is 'a line a step and one for the evaluation' "$(wc -l <ref.log)" 31
is 'the loss falls' "$(jq -s '.[29].loss < .[0].loss * 0.8' ref.log)" true
is 'bits a byte are known' "$(jq -s '.[30].eval_bpb > 0' ref.log)" true
is 'warm-up is linear' \
    "$(jq -s '[.[0,1,2].lr * 3 | round] == [1,2,3]' ref.log)" true
is 'the cosine ends low' "$(jq -s '.[29].lr < 0.01' ref.log)" true
ok 'the result has a tokenizer' test -s ref/tokenizer.json
ok 'the result can be read' gv-model show ref
ok 'checkpoints are gone when the run has finished' test ! -e ref.run

same() { # DESC DIR: the weights are those of ref
	ok "$1" cmp ref/model.safetensors "$2/model.safetensors"
}
ok 'from a pipe' sh -c 'gv-shuf --epochs 2 --seed 5 text.gv |
	gv-train -q -m m0 --train language=3e-3 --batch 8 --steps 30 \
	    --warmup .1 --weight-decay .1 -o piped'
same 'a pipe gives the same bits' piped
ok 'with one thread' train -o one --threads 1 passes.gv
same 'one thread gives the same bits' one
ok 'layers run again' train -o again --recompute passes.gv
same 'recomputation gives the same bits' again
ok 'moments in bf16' train -o coarse --optimizer-state bf16 --log coarse.log \
    passes.gv
is '... learn as much' "$(jq -s '
	(.[29].loss - .[60].loss | fabs) < 0.05' ref.log coarse.log)" true
ok 'evaluated on the way' train -o seen --eval eval.gv --eval-every 7 passes.gv
same 'evaluation changes no bits' seen
ok 'in small micro-batches' train -o micro --micro-tokens 40 --log micro.log \
    passes.gv
is 'micro-batches give the same losses' "$(jq -s '
	[.[0:30], .[31:61]] | transpose |
	all(.[0].loss - .[1].loss | fabs < 1e-4)' ref.log micro.log)" true

# ---- stopping and going on --------------------------------------------------------

# killed as soon as there is a checkpoint, then again and again on the way
train -o killed passes.gv 2>/dev/null &
pid=$!
n=0
while kill -0 $pid 2>/dev/null && [ ! -e killed.run/latest ] && [ $n -lt 999 ]
do
	n=$((n + 1))
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
tries=0
for ms in 05 07 09 11 17 23 31 43; do
	[ -e killed/config.json ] && break
	timeout -s KILL "0.$ms" train -o killed --resume passes.gv 2>/dev/null
	tries=$((tries + 1))
done
note "resumed and killed $tries times"
ok 'resume after kill -9' train -o killed --resume passes.gv
same 'a killed and resumed run gives the same bits' killed
is 'nothing is left of it' "$(find . -maxdepth 1 -name 'killed.*' \
    ! -name '*.lock')" ''

# stopped SIGNAL STATUS: it arrives while half of the input has come.  A shell's
# background jobs ignore SIGINT, hence env.
mkfifo fifo
half=$(($(wc -c <passes.gv) / 2))
stopped() {
	env --default-signal="$1" train -o "$1" <fifo 2>stopped.err &
	pid=$!
	exec 3>fifo
	head -c $half passes.gv >&3
	sleep 0.5
	kill "-$1" $pid
	tail -c +$((half + 1)) passes.gv >&3 2>/dev/null
	exec 3>&-
	wait $pid
	is "SIG$1 ends the run by that signal" $? "$2"
	ok '... it was saved' test -e "$1.run/latest/manifest.json"
	ok '... it goes on' train -o "$1" --resume passes.gv
	same '... and gives the same bits' "$1"
}
stopped TERM 143
stopped INT 130

ok 'a run whose checkpoints stay' train -o kept --keep-run passes.gv
rm -r kept
mkdir kept.run/step-00000099.tmp.4194399 # of a save that was killed
printf x | dd of=kept.run/step-00000028/optimizer.safetensors bs=1 seek=999 \
    conv=notrunc 2>/dev/null
train -o kept --keep-run --resume passes.gv 2>kept.err
is 'what a killed save left is swept' "$(find kept.run -name '*.tmp.*')" ''
rm -r kept.run
is 'a damaged checkpoint is named' \
    "$(grep -c 'passing over.*step-00000028' kept.err)" 1
same '... and the one before gives the same bits' kept

ok 'again' train -o kept --keep-run passes.gv
must_fail 1 'an earlier run is not mixed with a new one' \
    train -o kept passes.gv
must_fail 1 'another rate is another run' \
    train -o kept --resume --train language=1e-3 passes.gv
must_fail 1 'other moments are another run' \
    train -o kept --resume --optimizer-state bf16 passes.gv
must_fail 1 'another input is another run' \
    train -o kept --resume text.gv
for f in kept.run/step-*/state.json; do echo '{' >"$f"; done
must_fail 1 'no checkpoint is whole' train -o kept --resume passes.gv
flock busy.lock sleep 5 &
sleep 0.2
must_fail 1 'a second trainer of one directory' train -o busy passes.gv

# ---- reports ---------------------------------------------------------------------

ok 'a plan' gv-train -m m0 --plan --train language=1 passes.gv
gv-train -m m0 --plan --train language=1 --batch 16 --json passes.gv >plan.json
is 'a plan counts parameters' \
    "$(jq '.parts.language.parameters > 10000' plan.json)" true
is 'Adam has two numbers for each gradient' \
    "$(jq '.optimizer_bytes == 2 * .gradients_bytes' plan.json)" true
is 'steps come from the records' "$(jq .steps plan.json)" 15
gv-train -m m0 --plan --train language=1 --batch 16 --json --recompute \
    --optimizer-state bf16 passes.gv >small.json
is 'moments in bf16 are half' \
    "$(jq '.optimizer_bytes == .gradients_bytes' small.json)" true
is 'recomputation spares activations' "$(jq -s '
	.[1].activations_bytes < .[0].activations_bytes' plan.json small.json)" \
    true
names() {
	tr -d '\0' <"$1" | head -c 6000 | grep -ao '"model\.[a-z0-9_.]*"' |
	    sort
}
ok 'gradients' gv-train -m m0 --dump-grads g.safetensors \
    --train language=1 passes.gv
is 'each parameter has one' "$(names g.safetensors)" \
    "$(names m0/model.safetensors)"
ok 'half precision' train -o half --dtype bf16 passes.gv
ok '... is half the size' test \
    "$(wc -c <half/model.safetensors)" -lt \
    "$(($(wc -c <ref/model.safetensors) * 6 / 10))"

# ---- what is refused ----------------------------------------------------------------

: >empty
head -c 3000 passes.gv >cut.gv
head -c 2000 /dev/urandom >junk
gv-tokenize train --vocab 280 -o tok2 config.json
gv-model init config.json --tokenizer tok2 -o other --seed 3
gv-tokenize -m other --text -o foreign.gv text.txt
must_fail 1 'an empty input' train -o no empty
must_fail 1 'a cut input' train -o no cut.gv
must_fail 1 'random bytes' train -o no junk
must_fail 1 'text' train -o no text.txt
must_fail 1 'a directory' train -o no .
must_fail 1 'a missing file' train -o no none.gv
must_fail 1 'tokens of another vocabulary' \
    gv-train -m other -o no --train language=1 passes.gv
# a vocabulary that is no tokenizer.json: the ranks of all bytes
byte_ranks ranks
gv-model init config.json --tokenizer ranks -o ranked --seed 3
gv-tokenize -m ranked --text -o ranked.gv text.txt
ok 'a vocabulary of ranks' gv-train -q -m ranked -o by-ranks \
    --train language=1e-3 --batch 8 --steps 2 ranked.gv
ok '... goes with the model' cmp ranks/bytes.tiktoken by-ranks/bytes.tiktoken
must_fail 1 'tokens of another vocabulary than that of ranks' \
    gv-train -m ranked -o no --train language=1 --steps 2 passes.gv
is '... which is said' "$(grep -c 'another tokenizer' .err)" 1
must_fail 1 'a part that the model lacks' \
    gv-train -m m0 -o no --train vision=1 passes.gv
must_fail 1 'records larger than a micro-batch' \
    train -o no --micro-tokens 8 passes.gv
must_fail 1 'an evaluation stream of another vocabulary' \
    train -o no --eval foreign.gv passes.gv
must_fail 1 'an evaluation stream that is cut' \
    train -o no --eval cut.gv passes.gv
rm -rf no.run
must_fail 1 'an output inside a missing directory' \
    train -o none/no passes.gv
must_fail 1 'an output that is no model' train -o "$SRC/tests" passes.gv
must_fail 1 'a log in a missing directory' \
    train -o no --log none/log passes.gv
must_fail 2 'no part' gv-train -m m0 -o no passes.gv
must_fail 2 'an unknown part' gv-train -m m0 -o no --train eyes=1 passes.gv
must_fail 2 'a rate that is no number' \
    gv-train -m m0 -o no --train language=x passes.gv
must_fail 2 'an unknown option' train -o no --fast passes.gv
must_fail 2 'a pipe without --steps' sh -c \
    'cat passes.gv | gv-train -m m0 -o no --train language=1'
must_fail 1 'a loss that is not finite' \
    gv-train -q -m m0 -o no --train language=1e30 --clip 0 --warmup 0 \
    --batch 8 passes.gv
must_fail 1 'an evaluation that is not finite' \
    gv-train -q -m m0 -o no --train language=1e30 --clip 0 --warmup 0 \
    --batch 8 --steps 1 --eval eval.gv passes.gv
is '... which is said' "$(grep -c 'eval.gv.*not finite' .err)" 1
rm -rf no.run
must_fail 1 'a plan on a full disk' sh -c \
    'gv-train -m m0 --plan --train language=1 passes.gv >/dev/full'
is 'nothing is left of refused runs' "$(find . -maxdepth 1 -name 'no*' \
    ! -name '*.lock')" ''

finish
