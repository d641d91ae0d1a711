#!/bin/sh
# GSM8K's recipe: what becomes of answers and their calls, and all of its
# stages on a dozen invented problems, which a small model learns by heart.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

# ---- answers as parts of a message -------------------------------------------

# parts ANSWER: what a part is by a letter, o for what comes back, and its text.
parts() {
	jq -nc -L "$SRC/pipelines" --arg answer "$1" 'include "gsm8k";
	    {question: "?", answer: $answer} | conversation.messages[1].content
	    | map({text: "t", python: "p", python_output: "o"}[.type] + .text)'
}

is 'a call and what comes back' "$(parts 'So 48/2 = <<48/2=24>>24.
#### 24')" '["tSo 48/2 = ","p48/2","o24","t24.\n#### 24"]'
is 'several, at the ends' "$(parts '<<1+1=2>>2<<2*3=6>>')" \
    '["p1+1","o2","t2","p2*3","o6"]'
is 'no call' "$(parts '#### 5')" '["t#### 5"]'
is 'what comes back is as the calculator writes it' "$(
    for n in .50 20.00 -.5 007 5. 0.10 -3.40 100; do
	parts "<<1=$n>>" | jq -r '.[1][1:]'
    done | tr '\n' ' ')" '0.5 20 -0.5 7 5 0.1 -3.4 100 '
is 'what is no number never comes back' \
    "$(parts 'a<<3/4=3/4>>b')" '["ta","tb"]'
is '... and what is no arithmetic is no call' \
    "$(parts 'a<<x=3>>b<<1=2=3>>c<<>>d')" '["ta","tb","tc","td"]'
is 'text with half a mark stays' "$(parts 'a << b >> c <<')" \
    '["ta ","t c ","t<<"]'

# ---- a dozen problems --------------------------------------------------------

mkdir data text
jq -nc 'range(14) | (. + 2) as $a | (. % 4 + 3) as $b | {
    question: "Kim has \($a) bags of \($b) pears. How many pears?",
    answer: "Kim has \($a)*\($b) = <<\($a)*\($b)=\($a * $b)>>\($a * $b) pears.
#### \($a * $b)"}' >data/train.jsonl
head -n 6 data/train.jsonl >data/test.jsonl

gsm8k() {
	make --no-print-directory -C "$SRC" -f pipelines/gsm8k.mk BIN="$B/bin" \
	    GSM8K="$T/data" HELD=2 "$@"
}

must_fail 2 'without the data there is no recipe' make --no-print-directory \
    -C "$SRC" -f pipelines/gsm8k.mk

ok 'the recipe, from nothing' gsm8k OUT="$T/out" VOCAB=300 EPOCHS=50 BATCH=4 \
    STEPS=2 EVERY=1 GROUPS=2 GROUP=2 TOKENS=64 SAMPLED=3 SAMPLES=2
is 'what is held out is not learned from' \
    "$(jq -c '.messages[0].content' out/train.jsonl out/held.jsonl | sort -u |
    wc -l) $(wc -l <out/train.jsonl) $(wc -l <out/learn.jsonl)" '14 12 12'
is 'the model calls the calculator, and is right' \
    "$(jq -c '[.n, .accuracy >= 0.5, .tasks[0].parts.format >= 0.5, .calls > 0,
    .right == .calls]' out/test/sft.json)" '[6,true,true,true,true]'
is 'before, it did not' "$(jq -c '[.accuracy, .tasks[0].parts.format]' \
    out/test/before.json)" '[0,0]'
cat >wrong <<'EOF_TOOL'
#!/bin/sh
sed -u 's/.*/{"output":"99"}/'
EOF_TOOL
chmod +x wrong
is 'what comes back is the word of the tool, right or wrong' "$(
    gv-rollout -q -m out/sft --temperature 0 --tool ./wrong out/test.gv |
    gv-tokenize -m out/sft --decode --specials |
    sed -n 's/.*<|output_start|>\(.*\)<|output_end|>.*/\1/p' | sort -u)" 99
is 'both parts of the reward are in the log' \
    "$(jq -sc 'map(.rewards | keys) | unique' out/grpo/log.jsonl)" \
    '[["format","gsm8k"]]'
is 'the report has three models, twice' \
    "$(grep -cE '^(before|sft|rl) ' out/report.txt)" 6

# ---- a vocabulary without tokens for calls -----------------------------------

build dump "$SRC/tests/cli/dump.c" || exit 1
gv-tokenize train -q --vocab 300 --template chatml -o text/vocab \
    out/train.jsonl || exit 1
gv-model init "$SRC/pipelines/gsm8k.json" --tokenizer text/vocab -o text/model \
    >/dev/null || exit 1
ok "another model's vocabulary" gsm8k OUT="$T/text/out" MODEL="$T/text/model" \
    "$T/text/out/train.gv"
is '... spells calls as GSM8K does' \
    "$(gv-tokenize -m text/vocab --decode text/out/train.gv |
    grep -o 'Kim has 2\*.*')" 'Kim has 2*3 = <<2*3=6>>6 pears.'
is '... and learns all of them but what comes back' \
    "$(./dump <text/out/train.gv | head -n 1 | jq -r '.targets
    | map(select(. >= 0) | tostring) | join(" ")' |
    gv-tokenize -m text/vocab --decode --ids | head -n 1)" \
    'Kim has 2*3 = <<2*3=6 pears.'
finish
