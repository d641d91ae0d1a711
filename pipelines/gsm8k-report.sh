#!/bin/sh
# gsm8k-report.sh DIR OBJECTIVE: how a run of gsm8k.mk in DIR answers the test,
# before, after learning by example and after learning by rewards, and what the
# two have cost.
set -eu

cd "$1"
echo "task: GSM8K, $(jq .n test/rl.json) problems of its test split"
echo
printf '%-8s %8s  %-15s %9s %8s %7s %8s\n' model accuracy '95 % interval' \
	flexible form calls right
for stage in before sft rl; do
	jq -r --arg stage "$stage" '.tasks[0].parts as $part
	    | [$stage, .accuracy, .low, .high, $part["gsm8k-flexible"],
	       $part.format, .calls,
	       (if .calls > 0 then .right / .calls else 0 end)] | @tsv' \
		"test/$stage.json"
done | awk -F '\t' '{
	printf "%-8s %6.2f %%", $1, 100 * $2
	printf "  %5.2f to %-6.2f %7.2f %% %6.2f %% %7.2f %6.1f %%\n",
	    100 * $3, 100 * $4, 100 * $5, 100 * $6, $7, 100 * $8
}'
echo
for stage in before sft rl; do
	jq -r --arg stage "$stage" '[$stage, .groups,
	    (.pass | to_entries | map("\(.key)=\(.value)"))] | flatten | @tsv' \
		"test/$stage.pass.json"
done | awk -F '\t' '
NR == 1 {
	printf "%-8s", "of " $2
	for (i = 3; i <= NF; i++) {
		split($i, pass, "=")
		printf " %8s", "pass@" pass[1]
	}
	print ""
}
{
	printf "%-8s", $1
	for (i = 3; i <= NF; i++) {
		split($i, pass, "=")
		printf " %6.2f %%", 100 * pass[2]
	}
	print ""
}'
echo
awk '{ printf "%s: %.0f s, %.0f s of a processor\n",
    FILENAME ~ /sft/ ? "by example" : "by rewards", $1, $2 }' \
	cost/sft.model.safetensors "$2/cost/model.model.safetensors"
