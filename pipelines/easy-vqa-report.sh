#!/bin/sh
# easy-vqa-report.sh DIR: what the demo in DIR has reached, and what each stage
# has cost.
set -eu

cd "$1"

# accuracy LABEL FILE
accuracy() {
	row=$(jq -r '"\(.n) \(.accuracy) \(.low) \(.high)"' "$2")
	echo "$row" | awk -v label="$1" '{
		printf "%-20s %9d %9.2f %%   %.2f to %.2f\n", label, $1,
		    100 * $2, 100 * $3, 100 * $4
	}'
}

# work LOG: steps, tokens, images and operations of a training run.
work() {
	jq -rs 'def commas: tostring | if length > 3 then
	        (.[:-3] | commas) + "," + .[-3:] else . end;
	    map(select(.loss))
	    | "\(length | commas) steps, " +
	      "\(map(.records) | max | commas) records, " +
	      "\(map(.tokens) | add | commas) trained tokens, " +
	      "\(map(.flops) | add / 1e10 | round / 100) TFLOP"' "$1"
}

# stage LABEL WORK FILE...: the sum of the files' costs.
stage() {
	label=$1 work=$2
	shift 2
	awk -v label="$label" -v work="$work" '
	    { wall += $1; cpu += $2 }
	    END { printf "%s\t%.2f\t%.2f\t%s\n", label, wall, cpu, work }' "$@"
}

echo "task: easy-VQA, all questions of its test split"
echo
printf '%-20s %9s %11s   %s\n' image questions accuracy '95 % interval'
accuracy "the right one" right.json
accuracy "another record's" other.json
accuracy "grey" grey.json
echo
printf '%-20s %9s %9s   %s\n' stage seconds 'cpu s' work
{
	cd cost
	stage "fetch, unpack" "5,000 images, 48,248 questions" \
	    easy_vqa-*.whl data.done
	stage "lists" "" ./*.jsonl
	stage "vocabulary" "$(jq '.model.vocab | length' \
	    ../vocab/tokenizer.json) ids" vocab.tokenizer.json
	stage "tokenize" "" text.gv ./*.tokens.gv
	stage "decode" "7,000 images" ./*.images.gv train.gv
	stage "train: language" "$(work ../model1.log)" \
	    model0.model.safetensors model1.model.safetensors
	stage "train: everything" "$(work ../model.log)" \
	    model.model.safetensors
	stage "encode" "3,000 images" ./*.embeds.gv
	stage "answer, judge" "29,019 questions" ./*.answers.gv
	stage "contact sheet" "$1/sheet.png" sheet.png
} | awk -F '\t' '
	{ print_row($1, $2, $3, $4); wall += $2; cpu += $3 }
	END { print_row("all", wall, cpu, "") }
	function print_row(label, w, c, work) {
		printf "%-20s %9.1f %9.1f   %s\n", label, w, c, work
	}' | sed 's/ *$//'
