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

# ---- several tasks, and groups ----------------------------------------------

gv-reward --task 'exact:0.5,format:2,gsm8k:0' --format '^[A-Z]' -o sum.gv in.gv
is "a sum of tasks" "$(gv-stat --json sum.gv |
	jq -c '.fields[] | select(.name == "reward") | [.min, .max, .mean]')" \
	'[0,2.5,0.75]'
is "and its parts in a summary" "$(gv-reward --summary --json --format '^[A-Z]' \
	--task 'exact:0.5,format:2,gsm8k:0' in.gv |
	jq -c '[.interval, .tasks[0].parts]')" \
	'["normal",{"exact":0.5,"format":0.25,"gsm8k":0}]'
must_fail 2 "a wrong weight" gv-reward --task exact:x in.gv
must_fail 2 "a task without its option" gv-reward --task format in.gv
must_fail 2 "a pattern that is none" \
	gv-reward --task format --format '(' in.gv
must_fail 1 "no lengths" gv-reward --task length --max-length 9 in.gv

cat >group.jsonl <<'X'
{"text": "1", "answers": "1", "group": 0, "loss_mask": [0, 0, 1, 0, 1]}
{"text": "2", "answers": "1", "group": 0, "loss_mask": [0, 1, 1, 1, 1]}
{"text": "3", "answers": "3", "group": 1, "loss_mask": [1, 1, 1, 1, 1]}
{"text": "3", "answers": "3", "group": 1, "loss_mask": [0, 0, 0, 0, 0]}
X
mk text=plain answers=plain group=plain 'loss_mask=U8 (T)' \
	<group.jsonl >group.gv
# keys tell groups apart, too: here each record has its own
jq -c '.key = ""' group.jsonl | "$MK" samples text=plain answers=plain \
	group=plain 'loss_mask=U8 (T)' >group.gv
is "pass@k" "$(gv-reward --summary --json --task exact group.gv |
	jq -c '[.groups, .pass]')" '[2,{"1":0.75,"2":1}]'
is "as text" "$(gv-reward --summary --task exact group.gv | tr -s ' ' |
	sed -n '/pass/p;/all/q')" ' pass@1 2 0.7500
 pass@2 2 1.0000'
is "from another reward on" "$(gv-reward --summary --json --pass 0 \
	--task exact group.gv | jq -c .pass)" '{"1":1,"2":1}'
is "for some k" "$(gv-reward --summary --json --task exact --pass-at 2 \
	group.gv | jq -c .pass)" '{"2":1}'
must_fail 1 "for more than there are" gv-reward --summary --task exact \
	--pass-at 1 --pass-at 3 group.gv
must_fail 2 "for falling k" gv-reward --summary --task exact \
	--pass-at 2 --pass-at 1 group.gv
must_fail 2 "for no k" gv-reward --summary --task exact --pass-at 0 group.gv
is "lengths are of the answer" "$(gv-reward --task length --max-length 5 \
	--length-margin 3 -o - group.gv | gv-stat --json |
	jq -c '.fields[] | select(.name == "reward") |
		[.min, .max, (.mean * 12 | round)]')" '[-1,0,-6]'

# ---- captions, options ------------------------------------------------------

cat >refs.jsonl <<'X'
{"key": "a", "answers": ["A man rides a horse.", "A man on a horse"]}
{"key": "b", "answers": "A man isn't here."}
{"key": "b", "answers": ["The horse is here"]}
{"key": "", "answers": []}
{"key": "", "answers": ["A dog."]}
X
"$MK" prompts answers=plain <refs.jsonl >refs.gv
is "document frequencies" "$(gv-reward --make-df refs.gv | tr '\t' :)" \
	'gv-df 1 3 4
3:a
2:a man
2:horse
2:man'
ok "go to a file" gv-reward --make-df -o refs.df refs.gv
jq -c '.text = "A man."' refs.jsonl | head -1 |
	"$MK" samples answers=plain text=plain >cap.gv
is "and judge captions" "$(gv-reward --task cider --df refs.df \
	--summary --json cap.gv | jq '.accuracy * 10000 | round')" 11816
must_fail 2 "no frequencies" gv-reward --task cider cap.gv
must_fail 1 "frequencies that aren't there" \
	gv-reward --task cider --df none.df cap.gv
head -c 30 refs.df >cut.df
must_fail 1 "cut ones" gv-reward --task cider --df cut.df cap.gv
must_fail 1 "a stream instead" gv-reward --task cider --df refs.gv cap.gv
must_fail 2 "two things at once" gv-reward --make-df --summary refs.gv
: >none.jsonl
"$MK" prompts answers=plain <none.jsonl >no-refs.gv
must_fail 1 "no references" gv-reward --make-df no-refs.gv

cat >mc.jsonl <<'X'
{"text": "(B)", "answers": "B", "options": ["red", "blue"]}
{"text": "it is 4.", "answers": "4", "options": null}
{"text": "what", "answers": "A", "options": ["red", "blue"]}
X
mk text=plain answers=plain options=plain <mc.jsonl >mc.gv
is "options, open questions and guesses" "$(gv-reward --summary --json \
	--task mmmu,mmmu-strict:0 mc.gv | jq -c '.tasks[0].parts')" \
	'{"mmmu":1,"mmmu-strict":0.666666667}'
sed 's/\["red", "blue"\]/"red"/' mc.jsonl |
	mk text=plain answers=plain options=plain >mc2.gv
must_fail 1 "options that are no list" gv-reward --task mmmu mc2.gv

# ---- a program --------------------------------------------------------------

cat >judge.py <<'X'
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    print(len(r["text"]) + 0.5 * (r["answers"] == "red") + len(r["key"]) * 0)
X
is "a program judges" "$(gv-reward --task 'exec:python3 judge.py' in.gv |
	gv-stat --json |
	jq -c '.fields[] | select(.name == "reward") | [.min, .max]')" '[0,4.5]'
is "as a part" "$(gv-reward --exec 'python3 judge.py' --summary --json \
	--task exact,exec:0.25 in.gv | jq -c '.tasks[0].parts')" \
	'{"exact":0.5,"exec":2.625}'
is "records may name the task" "$(jq -c '.task = "exec"' in.jsonl |
	mk text=plain answers=plain task=plain |
	gv-reward --summary --json --exec 'python3 judge.py' | jq .accuracy)" \
	2.625
jq -c '.task = "exec:echo 1"' in.jsonl |
	mk text=plain answers=plain task=plain >evil.gv
must_fail 1 "but no command" gv-reward evil.gv
said "that is said" "a record may not name a program to run"

bad_program() { # DESC TEXT COMMAND
	must_fail 1 "$1" gv-reward --task "exec:$3" --timeout 0.5 \
		--max-errors 9 -o bad-out.gv in.gv
	said "$1: is said" "$2"
	ok "$1: leaves no output" test ! -e bad-out.gv
	ok "$1: nor anything beside it" sh -c '! ls .bad-out* 2>/dev/null'
}
bad_program "a program that dies" "ended with status 3" 'read -r l; exit 3'
bad_program "at its second record" "ended with status 0" \
	'read -r l; echo 1; read -r l'
bad_program "of a signal" "killed by signal 9" 'read -r l; kill -9 $$'
bad_program "that says why" "it said: no such luck" \
	'read -r l; echo no such luck >&2; exit 1'
bad_program "that isn't there" "status 127" './no-such-judge'
bad_program "that prints garbage" "'good', which is no number" \
	'while read -r l; do echo good; done'
for x in nan NaN inf -Infinity 1e999 0x10 '' '1 2' '1,' 'true' '"1"'; do
	bad_program "that prints '$x'" "is no number" \
		"while read -r l; do echo '$x'; done"
done
bad_program "that says too much" "more than" \
	'while read -r l; do echo 1; echo 2; done'
must_fail 1 "a program that wants too much memory" gv-reward --memory 64Mi \
	--task 'exec:python3 -c "x = bytearray(1 << 28); print(input()[:0] + \"1\")"' \
	in.gv
said "is told so" "it said: MemoryError"
bad_program "that hangs" "no answer in 0.5 s" 'exec sleep 100'
bad_program "that doesn't flush" "no answer in 0.5 s" \
	'cat >/dev/null; yes 1'
# ended STATUS WANTED: so it is, and what the program started is there no more.
ended() {
	[ "$1" -eq "$2" ] || return 1
	for i in 1 2 3 4 5 6 7 8 9; do
		grep -s "^State:[^a-zA-Z]*[^Z	 ]" "/proc/$(cat pid)/status" ||
			return 0
		sleep 0.2
	done
	return 1
}
gv-reward --task 'exec:sleep 1234 & echo $! >pid; while read -r l; do
	echo 1; done' in.gv >/dev/full 2>/dev/null
ok "a program is ended with all that it started when the output fails" ended $? 1
rm pid
gv-reward --task 'exec:sleep 1234 & echo $! >pid; read -r l; sleep 1234' \
	in.gv >/dev/null 2>&1 &
judge=$!
for i in 1 2 3 4 5 6 7 8 9; do
	[ -s pid ] || sleep 0.2
done
kill -TERM $judge
wait $judge
ok "... and when a signal ends gv-reward" ended $? 143
bad_program "that ends badly" "status 4" \
	'while read -r l; do echo 1; done; exit 4'
bad_program "that goes on at the end" "more than it was asked" \
	'while read -r l; do echo 1; done; echo 1'
bad_program "that doesn't end" "doesn't end" \
	'while read -r l; do echo 1; done; exec sleep 100'
ok "the reader of a pipe sees that it failed" sh -c \
	'! gv-reward --task "exec:read -r l; echo 1" in.gv 2>/dev/null |
		gv-stat 2>/dev/null'
must_fail 2 "no program" gv-reward --task exec in.gv

echo '{"text": "a"}' | mk text=plain >none.gv
must_fail 1 "no field answers" gv-reward --task exact none.gv
bad_input gv-reward --task exact
unread good.gv gv-reward --task exact
head -c 700 in.gv >cut.gv
must_fail 1 "a cut stream" gv-reward --task exact -o cut-out.gv cut.gv
ok "leaves no output" test ! -e cut-out.gv
must_fail 1 "a full device" sh -c 'gv-reward --task exact in.gv >/dev/full'
must_fail 1 "a full device for a summary" \
	sh -c 'gv-reward --task exact --summary in.gv >/dev/full'
must_fail 1 "a closed stdout" sh -c 'gv-reward --task exact in.gv >&-'
finish
