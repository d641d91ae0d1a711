#!/bin/sh
# Reinforcement learning as a pipe on one GPU: gv-rollout, gv-reward and gv-train
# around vlm_1.5b with random weights.  16 prompts a step of 192 tokens, 64 of
# them image rows; 8 samples each of 256 tokens; GRPO on all of the language
# part.  Prints rows as bench.h describes: samples/s of the whole loop, and where
# the time of a step goes.
#
#	loop.sh BUILD TOKENIZER PICTURES [STEPS]
#
# TOKENIZER is a directory with tokenizer.json, PICTURES one with 16 images.
set -eu

build=$1 vocab=$2 pictures=$3 steps=${4:-8}
PATH=$build/bin:$PATH
LD_LIBRARY_PATH=$build/lib
export PATH LD_LIBRARY_PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

gv-model init vlm_1.5b --tokenizer "$vocab" --dtype bf16 --seed 1 -o m

# 128 tokens of text beside each picture's rows, less what the template adds
n=0
for f in "$pictures"/*; do
	words=$(awk -v n=$n 'BEGIN {
		srand(n)
		for (i = 0; i < 118; i++)
			printf " %s", substr("onetwosixteneyecathat",
			    1 + 3 * int(7 * rand()), 3)
	}')
	printf '{"id":"%d","image":"%s","messages":[{"role":"user",' $n "$f"
	printf '"content":"%s"}],"answers":["x"],"task":"format"}\n' "$words"
	n=$((n + 1))
	[ $n -lt 16 ] || break
done >prompts.jsonl

gv-decode -m m -o images.gv prompts.jsonl
gv-encode-vision -m m --stage full -o embeds.gv images.gv
gv-tokenize -m m --prompt -o tokens.gv prompts.jsonl
gv-paste -o prompts.gv tokens.gv embeds.gv

gv-shuf --seed 1 --epochs "$steps" prompts.gv |
gv-rollout -m m --follow run --group 8 --max-tokens 256 --batch 128 \
    --images -v 2>rollout.log |
gv-reward --task format --format e 2>reward.log |
gv-train -m m -o out --publish run --objective grpo --batch 16 \
    --steps "$steps" --train language=1e-6 --schedule constant --warmup 0 \
    --micro-tokens 16384 --micro-images 64 --dtype bf16 --log log -q

# the first two steps warm up
sed 1,2d log | awk -v rows=128 '
function value(key) {
	match($0, "\"" key "\": *[-+.eE0-9]*")
	return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
}
{
	all += value("seconds")
	waited += value("waited")
	publish += value("publish_seconds")
	n++
}
END {
	all += publish
	printf "loop 16x8 192+256\t%.6g\tsamples/s\t%.6g\n", rows * n / all, all / n
	printf "loop rollout\t%.6g\ts\t%.6g\n", waited / n, waited / n
	printf "loop train\t%.6g\ts\t%.6g\n", (all - waited - publish) / n,
	    (all - waited - publish) / n
	printf "loop publish\t%.6g\ts\t%.6g\n", publish / n, publish / n
}'
cat rollout.log >&2
