#!/bin/sh
# The demo's makefile: what it would do, and its data from a package of three
# pictures that is made here.
. "$(dirname "$0")/tap.sh"

demo() {
	make --no-print-directory -C "$SRC" -f pipelines/easy-vqa.mk \
		BIN="$B/bin" OUT="$T/out" COPY="$T/mini.whl" \
		SHA256="$sum" "$@"
}

# ---- the package: three pictures, five questions, out of order
mkdir -p easy_vqa/data/train/images easy_vqa/data/test/images
cat >easy_vqa/data/train/questions.json <<'END'
[["what color is it?", "red", 1], ["is it a circle?", "no", 0],
 ["is it \"red\"?", "yes", 1], ["what is it?", "circle", 0],
 ["is there a circle?", "yes", 10]]
END
cp easy_vqa/data/train/questions.json easy_vqa/data/test/questions.json
base64 -d >pixel.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3
A0FDAAAAAElFTkSuQmCC
END
for i in 0 1 10; do
	cp pixel.png easy_vqa/data/train/images/$i.png
	cp pixel.png easy_vqa/data/test/images/$i.png
done
python3 -m zipfile -c mini.whl easy_vqa || exit 1
sum=$(sha256sum mini.whl | cut -d' ' -f1)

# ---- the plan
ok "the whole demo can be planned" demo -n
plan=$(cat "$T/.out")
for p in gv-tokenize gv-model gv-decode gv-paste gv-shuf gv-train \
	gv-encode-vision gv-rollout gv-reward gv-view; do
	case $plan in
	*"$p "*) r=0 ;;
	*) r=1 ;;
	esac
	tap_point $r "$p has a part in it"
done
ok "planning makes nothing" test ! -e out

# ---- learning from rewards
rl() {
	make --no-print-directory -n -C "$SRC" -f "pipelines/$1.mk" \
		BIN="$B/bin" OUT="$T/rl" MODEL="$T/m" HELDOUT="$T/held.gv" \
		MIX=vqav2:0.6,textvqa:0.4 PROMPTS=/p STEPS=250 EVERY=100 "$2"
}
mkdir m && touch m/model.safetensors held.gv
for o in grpo reinforce; do
	plan=$(rl $o all | tr -s ' \\\n' ' ')
	case $plan in
	*"/p/vqav2.gv:0.6 /p/textvqa.gv:0.4 | gv-rollout "*" | gv-reward -q | \
gv-train "*" --objective $o "*) r=0 ;;
	*) r=1 ;;
	esac
	tap_point $r "$o: prompts by weight, samples, rewards, updates"
	is '... and every checkpoint is examined' "$(rl $o all |
		grep -o 'json -o .*/eval/[0-9]*' | sed 's/.*eval.//' | tr '\n' ' ')" \
		'00000000 00000100 00000200 00000250 '
done
is 'GRPO is held to where it started' "$(rl grpo all |
	grep -c -- "--kl 0.02 --reference $T/m")" 1
is 'REINFORCE is not' "$(rl reinforce all | grep -c -- --reference)" 0
must_fail 2 'without a model there is no recipe' make --no-print-directory \
	-C "$SRC" -f pipelines/grpo.mk
rm -r m held.gv

# Even where there is nothing yet, no data and no program.
ok "rewards on easy-VQA can be planned" make --no-print-directory -n -C "$SRC" \
	-f pipelines/easy-vqa-rl.mk BIN="$T/bin" TOP="$T/top"
plan=$(tr -s ' \\\n' ' ' <"$T/.out")
case $plan in
*" 'include \"easy-vqa\"; rewarded' "*" -f pipelines/grpo.mk "*) r=0 ;;
*) r=1 ;;
esac
tap_point $r "... from data to GRPO"
ok "... and nothing is made" test ! -e top

# ---- the lists
lists="$T/out/train.jsonl $T/out/text.jsonl $T/out/test.jsonl
	$T/out/right.jsonl $T/out/other.jsonl $T/out/grey.jsonl"
# shellcheck disable=SC2086 # the list is meant to split
ok "lists from the package" demo -j2 $lists
is "a line an image" "$(jq -c '[.id, .image, (.conversations | length)]' \
	out/train.jsonl | tr '\n' ' ')" \
	'["0","images/0.png",2] ["1","images/1.png",2] ["10","images/10.png",1] '
is "a conversation a question" "$(jq -c '.conversations[1]' out/train.jsonl |
	sed -n 2p)" \
	'[{"role":"user","content":"is it \"red\"?"},{"role":"assistant","content":"yes"}]'
is "prompts, by image" "$(jq -r '"\(.id) \(.answers[0]) \(.task)"' \
	out/test.jsonl | tr '\n' ',')" \
	'0 no exact,0 circle exact,1 red exact,1 yes exact,10 yes exact,'
is "no prompt shows an answer" \
	"$(jq -c '.messages | map(.role)' out/test.jsonl | sort -u)" '["user"]'
is "documents" "$(jq -c .text out/text.jsonl | sed -n 2p)" \
	'"is it a circle?\nno"'
is "the right picture" "$(jq -r .image out/right.jsonl | tr '\n' ' ')" \
	'images/0.png images/1.png images/10.png '
is "another picture" "$(jq -r '"\(.id):\(.image)"' out/other.jsonl |
	tr '\n' ' ')" '0:images/1.png 1:images/10.png 10:images/0.png '
# shellcheck disable=SC2086
is "a second time there is nothing to do" \
	"$(demo $lists | grep -vc 'up to date')" 0
is "a stage says what it has cost" \
	"$(grep -cE '^[0-9.]+ [0-9.]+$' out/cost/train.jsonl)" 1

# ---- lists for rewards
list() { jq -c -L "$SRC/pipelines" "include \"easy-vqa\"; $1"; }
# as [question, answer, picture], picture 10 held out
cat >q.json <<'END'
[["is there a red shape?","no",1], ["is there a teal shape?","no",2],
 ["is there a blue shape?","no",3], ["is there a gray shape?","yes",4],
 ["is no circle present?","yes",5], ["what is it?","circle",6],
 ["what is it?","triangle",7], ["what color is it?","red",7],
 ["is there a red shape?","yes",10]]
END
is "a tenth of the pictures is held out" \
	"$(list validation <q.json | jq -r '"\(.id) \(.question_type)"')" \
	'10 is there a COLOUR shape? yes'
is "of a wording there are as many of each answer" \
	"$(list 'learned | even(1) | map(.[2]) | sort' <q.json)" '[1,4,6,7,7]'
is "... and fewer of the others" \
	"$(list 'learned | even(2) | map(.[2]) | sort' <q.json)" '[1,4,6]'
is "naming asks for no yes or no" \
	"$(list naming <q.json | jq -c '.conversations | length' |
		tr '\n' ' ')" '1 2 '
is "who guesses by the wording is right at the commoner answer" "$(echo '
{"tasks": [{"types": [
 {"type": "is there a SHAPE? yes", "n": 1, "accuracy": 0},
 {"type": "is there a SHAPE? no", "n": 3, "accuracy": 1},
 {"type": "is no SHAPE present? yes", "n": 1, "accuracy": 0.6},
 {"type": "is no SHAPE present? no", "n": 3, "accuracy": 0.5},
 {"type": "what is it?", "n": 2, "accuracy": 0.5}]}]}' |
	jq -rf "$SRC/pipelines/easy-vqa-wording.jq" | tr '\t' ' ')" \
	'is no SHAPE present? - 0.6 0.5
is there a SHAPE? - 0 1
what is it? 0.5 - -
the commoner answer 0.9 - -
the rarer answer 0.375 - -'

# ---- vocabulary, tokens and pixels
ok "vocabulary, model, tokens, pixels" demo "$T/out/train.gv" \
	"$T/out/test.tokens.gv" "$T/out/grey.images.gv"
rows=$(printf '<|image|>%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
end='<|user_end|><|assistant_start|>'
is "each question is a sequence with the image" \
	"$(gv-tokenize -m out/model0 --decode --specials out/train.tokens.gv |
		sed -n 1p)" \
	"<|bos|><|user_start|>${rows}is it a circle?${end}no<|assistant_end|>\
<|bos|><|user_start|>${rows}what is it?${end}circle<|assistant_end|>"
is "a record an image" "$(gv-stat --json out/train.gv | jq -c '.records')" 3
is "grey is grey" "$(gv-stat --json out/grey.images.gv |
	jq -c '.fields[] | select(.name == "image") | [.min, .max]')" \
	'[128,128]'

# ---- what is wrong stops it
sum=0000000000000000000000000000000000000000000000000000000000000000
rm -rf out
demo "$T/out/data.done" >log 2>&1
is "a package with another digest is refused" "$?" 2
is "and nothing of it is left" "$(ls out/*.whl out/data* 2>/dev/null)" ""

finish
