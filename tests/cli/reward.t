#!/bin/sh
# gv-reward: judges, keeps what it is given, sums up, and refuses.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"

# shellcheck source=tests/cli/stream.sh
. "$SRC/tests/cli/stream.sh"

# mk FIELD...: JSON lines in, a stream of plain fields out.
mk() {
	jq -c '.key = (input_line_number | tostring)' |
		"$MK" samples "$@"
}

cat >in.jsonl <<'X'
{"text": "Yes.", "answers": ["yes"], "answer_type": "yes/no", "id": 7}
{"text": "no", "answers": ["yes", "maybe"], "answer_type": "yes/no", "id": 8}
{"text": " Red", "answers": "red", "answer_type": "colour", "id": 9}
{"text": "", "answers": [""], "answer_type": "colour", "id": 10}
X
mk text=plain answers=plain answer_type=plain id=plain <in.jsonl >in.gv

cp in.gv good.gv

ok "records are judged" gv-reward --task exact -o judged.gv in.gv
ok "from a pipe to a pipe" sh -c 'gv-reward --task exact <in.gv >out2.gv'
ok "the same way" cmp judged.gv out2.gv
ok "the output is a whole stream" gv-stat judged.gv
is "with the fields of the input and the rewards" \
	"$(gv-stat --json judged.gv | jq -r '[.fields[].name] | join(" ")')" \
	"text answers answer_type id reward rewards"
is "and its kind" "$(gv-stat --json judged.gv | jq -r .kind)" rewards
ok "which are judged again" gv-reward --task exact -o out3.gv judged.gv
is "without a second field" \
	"$(gv-stat --json out3.gv | jq -r '[.fields[].name] | join(" ")')" \
	"text answers answer_type id reward rewards"

gv-reward --task exact --summary --json in.gv >sum.json
is "a summary counts" "$(jq -c '[.n, .bad, .accuracy]' sum.json)" '[4,0,0.5]'
is "by task and type" \
	"$(jq -c '[.tasks[] | .task, .n, (.types[] | .type, .n, .accuracy)]' \
		sum.json)" '["exact",4,"colour",2,0.5,"yes/no",2,0.5]'
is "with an interval" "$(jq -c '[.low, .high | . * 10000 | round]' sum.json)" \
	'[1500,8500]'
gv-reward --task exact --summary --by id in.gv >sum.txt
is "as text, by another field" "$(tr -s ' ' <sum.txt)" 'task n accuracy 95 % interval
exact 4 0.5000 0.1500 to 0.8500
 10 1 0.0000 0.0000 to 0.7935
 7 1 1.0000 0.2065 to 1.0000
 8 1 0.0000 0.0000 to 0.7935
 9 1 1.0000 0.2065 to 1.0000
all 4 0.5000 0.1500 to 0.8500'
ok "a summary goes to a file" \
	gv-reward --task exact --summary -o sum2.txt --by id in.gv
ok "the same one" cmp sum.txt sum2.txt
is "two inputs are one" \
	"$(gv-reward --task exact --summary --json in.gv in.gv | jq .n)" 8

sed 's/}$/, "task": "exact"}/' in.jsonl |
	mk text=plain answers=plain task=plain >task.gv
is "records name their task" \
	"$(gv-reward --summary --json task.gv | jq .accuracy)" 0.5
sed 's/}$/, "task": "vqa9"}/' in.jsonl |
	mk text=plain answers=plain task=plain >other.gv

must_fail 1 "no task" gv-reward in.gv
must_fail 1 "an unknown task in a record" gv-reward other.gv
must_fail 2 "an unknown task on the command line" \
	gv-reward --task nonsense in.gv
must_fail 2 "--json without --summary" gv-reward --task exact --json in.gv
must_fail 2 "--by without --summary" gv-reward --task exact --by id in.gv
must_fail 1 "--by a field that is not there" \
	gv-reward --task exact --summary --by none in.gv
must_fail 2 "an unknown option" gv-reward --nonsense

cat >bad.jsonl <<'X'
{"text": "yes", "answers": ["yes"]}
{"text": "yes", "answers": []}
{"text": 7, "answers": ["yes"]}
{"text": "yes", "answers": [7]}
{"text": "yes", "answers": {"a": "yes"}}
{"text": "no", "answers": ["yes"]}
X
mk text=plain answers=plain <bad.jsonl >bad.gv
must_fail 1 "a bad record stops the run" \
	gv-reward --task exact -o no.gv bad.gv
ok "and leaves no file" test ! -e no.gv
gv-reward --task exact --max-errors 3 -o no.gv bad.gv 2>err
is "three may pass, not four" "$?" 1
is "the fourth is named, too" "$(wc -l <err)" 4
ok "and leaves no file, either" test ! -e no.gv
gv-reward --task exact --max-errors 4 -o four.gv bad.gv 2>err
is "four may" "$?" 0
is "each is named" "$(wc -l <err)" 4
is "by its number" "$(head -1 err)" \
	"gv-reward: 'bad.gv': record 1: no answers to compare with"
is "and counted" "$(gv-stat --json four.gv | jq .bad)" 4
is "in a summary, too" \
	"$(gv-reward --task exact --max-errors 4 --summary --json bad.gv \
		2>/dev/null | jq -c '[.n, .bad]')" '[2,4]'
is "earlier ones as well" \
	"$(gv-reward --task exact --summary --json four.gv |
		jq -c '[.n, .bad]')" '[2,4]'

echo '{"text": "a"}' | mk text=plain >none.gv
must_fail 1 "no field answers" gv-reward --task exact none.gv
bad_input gv-reward --task exact
head -c 700 in.gv >cut.gv
must_fail 1 "a cut stream" gv-reward --task exact -o cut-out.gv cut.gv
ok "leaves no output" test ! -e cut-out.gv
must_fail 1 "a full device" sh -c 'gv-reward --task exact in.gv >/dev/full'
must_fail 1 "a full device for a summary" \
	sh -c 'gv-reward --task exact --summary in.gv >/dev/full'
must_fail 1 "a closed stdout" sh -c 'gv-reward --task exact in.gv >&-'
finish
