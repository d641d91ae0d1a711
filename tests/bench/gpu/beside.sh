#!/bin/sh
# Do processes that share one GPU hurt each other?  Reinforcement learning at
# SmolLM2-135M's shapes with random weights, as several pipes side by side
# (gv-rollout --follow | gv-reward | gv-train); one that has ended begins anew,
# with an empty cache of chosen products.  Prints a row for each that failed,
# then how many began, their steps, and how many failed; exits with 1 if any did.
#
#	beside.sh BUILD TOKENIZER [SECONDS [PIPES [STEPS]]]
#
# TOKENIZER is a directory with tokenizer.json.  With another GPU, driver or
# cuBLAS, 20 minutes of it are worth their while before a long run.
set -eu

build=$(cd "$1" && pwd) vocab=$(cd "$2" && pwd)
seconds=${3:-1200} pipes=${4:-3} steps=${5:-40}
PATH=$build/bin:$PATH
LD_LIBRARY_PATH=$build/lib
export PATH LD_LIBRARY_PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

cat >config.json <<'EOF'
{"model_type":"llama","hidden_act":"silu","tie_word_embeddings":true,
"vocab_size":49152,"hidden_size":576,"num_hidden_layers":30,
"intermediate_size":1536,"max_position_embeddings":8192,
"num_attention_heads":9,"num_key_value_heads":3,"head_dim":64,
"rope_theta":100000,"rms_norm_eps":1e-5,"initializer_range":0.02}
EOF
gv-model init config.json --tokenizer "$vocab" --seed 1 -o m

awk 'BEGIN {
	srand(1)
	for (i = 0; i < 1000; i++) {
		printf "{\"messages\":[{\"role\":\"user\",\"content\":\""
		for (n = 30 + int(90 * rand()); n > 0; n--)
			printf " %s", substr("onetwosixteneyecathat",
			    1 + 3 * int(7 * rand()), 3)
		print "\"}],\"answers\":[\"x\"],\"task\":\"format\"}"
	}
}' | gv-tokenize -m m --prompt -o prompts.gv
end=$(($(date +%s) + seconds))

# One run of pipe $1, its number $2: a row in results.
run() {
	dir=$tmp/pipe.$1
	mkdir "$dir"
	XDG_CACHE_HOME=$dir
	export XDG_CACHE_HOME
	failed=0
	gv-shuf -q --seed "$1$2" --epochs 1000 prompts.gv |
	gv-rollout -q -m m --follow "$dir/run" --wait 100 --group 16 \
	    --max-tokens 256 --batch 512 --stop q --seed "$1$2" \
	    2>"$dir/rollout.err" |
	gv-reward -q --task format --format 'a[a-m]' 2>"$dir/reward.err" |
	timeout -s KILL "$((end - $(date +%s)))" gv-train -q -m m \
	    -o "$dir/out" --train language=2e-5 --batch 32 \
	    --steps "$steps" --schedule constant --dtype bf16 \
	    --objective grpo --max-lag 1 --publish "$dir/run" \
	    --log "$dir/log" 2>"$dir/train.err" || failed=$?
	[ "$failed" != 137 ] || failed=0 # the time is up
	touch "$dir/log"
	if [ "$failed" != 0 ]; then
		printf 'beside: pipe %s, run %s, step %s: ' "$1" "$2" \
		    "$(wc -l <"$dir/log")"
		cat "$dir/train.err" "$dir/rollout.err" | head -n 2 | tr '\n' ' '
		echo
	fi
	printf '%d %d\n' "$(wc -l <"$dir/log")" "$((failed != 0))" >>results
	rm -rf "$dir"
}

pipe=1
while [ "$pipe" -le "$pipes" ]; do
	(
		trap - EXIT
		i=1
		while [ "$(date +%s)" -lt "$((end - 10))" ]; do
			run "$pipe" "$i"
			i=$((i + 1))
		done
	) &
	pipe=$((pipe + 1))
done
wait
awk '{
	steps += $1
	failed += $2
}
END {
	printf "beside: %d runs, %d steps, %d failed\n", NR, steps, failed
	exit failed > 0
}' results
