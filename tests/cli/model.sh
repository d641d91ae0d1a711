# What the tests of inference share: $MODEL, a model with random weights,
# $OTHER, one with other weights, and the streams p.gv (prompts), i.gv (their
# pixels) and pi.gv (both).  Needs stream.sh.
# shellcheck shell=sh disable=SC2094

build "$T/mkmodel" "$SRC/tests/cli/mkmodel.c" || exit 1
build "$T/dump" "$SRC/tests/cli/dump.c" || exit 1
PATH=$T:$PATH
MODEL=$T/model
OTHER=$T/other
PICTURES=$SRC/tests/golden/image
mkmodel "$MODEL" 1 && mkmodel "$OTHER" 2 || exit 1

# ask ID QUESTION [PICTURE]: a line for gv-tokenize --prompt and gv-decode.
ask() {
	jq -nc --arg id "$1" --arg q "$2" --arg im "${3:+$PICTURES/$3}" '
		{id: $id, answers: ["red"], task: "exact",
		 messages: [{role: "user", content: (
			(if $im == "" then [] else [{type: "image"}] end)
			+ [{type: "text", text: $q}])}]}
		+ if $im == "" then {} else {image: $im} end'
}

{
	ask a 'what is the shape in the image?' rgb8.png
	ask b 'what colour is it?' rgb8.png
	ask c 'is there a red circle?' rgb8.png
	ask d 'what colour is it?' grey.jpg
	ask e 'yes or no?'
	ask f 'is there a blue square?' base-420.jpg
	ask g 'say something'
} >q.jsonl
gv-tokenize -m "$MODEL" --prompt -o p.gv q.jsonl || exit 1
gv-decode -m "$MODEL" -o i.gv q.jsonl || exit 1
gv-paste -o pi.gv p.gv i.gv || exit 1

# look FILTER <STREAM: the records as jq sees them.
look() {
	dump | jq -rc "$1"
}

# bad_stream GOOD COMMAND...: what a program does with input that is no stream
# of its kind, as operand and on standard input, and with output that goes
# nowhere.
bad_stream() {
	good=$1
	shift
	: >empty
	head -c 5000 /dev/urandom >random
	printf 'The quick brown fox.\n' >text
	mkdir -p dir
	head -c 300 "$good" >cut1
	head -c 700 "$good" >cut2
	head -c $(($(wc -c <"$good") - 1)) "$good" >cut3
	"$MK" pears 'pears=I32 (T)' </dev/null >pears
	for f in empty random text dir cut1 cut2 cut3 pears missing; do
		must_fail 1 "$1: $f" "$@" -o out.gv $f
	done
	for f in empty random text dir cut3 pears; do
		must_fail 1 "$1: $f as standard input" \
		    sh -c "\"\$@\" -o out.gv <$f" sh "$@"
	done
	is "$1: nothing left over" "$(find . -name '*out.gv*')" ""
	must_fail 1 "$1: output to a full disk" \
	    sh -c '"$@" >/dev/full' sh "$@" "$good"
	must_fail 1 "$1: closed output" sh -c '"$@" >&-' sh "$@" "$good"
	must_fail 1 "$1: no such directory" "$@" -o no/out.gv "$good"
	bad_usage "$good" "$@"
}

# bad_usage GOOD COMMAND...: what it does with a wrong command line or model.
bad_usage() {
	good=$1
	shift
	must_fail 2 "$1: an unknown option" "$@" --nonsense
	must_fail 2 "$1: no model" "$1"
	must_fail 1 "$1: a model that isn't there" "$@" -m missing
	must_fail 1 "$1: a model that is a file" "$@" -m "$good"
	must_fail 75 "$1: a device that isn't there" \
	    "$@" --device cuda:99 "$good"
}
