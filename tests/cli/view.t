#!/bin/sh
# gv-view: records as text, and as a sheet of pictures.
# shellcheck disable=SC2016 # what sh -c gets is for it to expand
. "$(dirname "$0")/tap.sh"
[ -x "$B/bin/gv-view" ] || {
	echo "1..0 # SKIP built without cairo"
	exit 0
}
. "$SRC/tests/cli/stream.sh"

# ---- text
cat >lines <<'EOF'
{"key": "a", "count": 3, "x": [1, 2.5, "NaN"], "text": "two\nlines", "answers": ["p", "q"]}
{"key": "b\u0007", "count": 4, "x": [], "text": "\u001b[31m", "answers": []}
EOF
"$MK" samples count=plain 'x=F32 (T)' text=plain answers=plain <lines >t.gv
ok "records as text" sh -c 'gv-view t.gv >t.txt'
cat >want <<'EOF'
record 0 'a'
  count        3
  x            F32 (3) 1 2.5 nan
  text         "two\nlines"
  answers      ["p", "q"]
record 1 'b\x07'
  count        4
  x            F32 (0)
  text         "\u001B[31m"
  answers      []
EOF
ok "... with every field, and no control bytes" diff want t.txt
ok "--head 1" sh -c 'gv-view --head 1 <t.gv | diff - want | grep -c "^>" |
	grep -qx 5'
ok "two streams" sh -c 'gv-view t.gv t.gv | wc -l | grep -qx 20'
{
	printf '{"key":"k","x":['
	seq -s, 1000 | tr -d '\n'
	printf '],"text":"'
	head -c 5000 /dev/zero | tr '\0' z
	printf '"}\n'
} | "$MK" long 'x=I32 (T)' text=plain >long.gv
ok "long values are cut" sh -c 'gv-view long.gv | grep -q "8 \.\.\.$" &&
	[ $(gv-view long.gv | wc -c) -lt 400 ]'
ok "... text is not with -v" sh -c '[ $(gv-view -v long.gv | wc -c) -gt 5000 ]'

# ---- sheets
one() { # REWARD TEXT: a record with a picture of 2x2 pixels
	printf '%s' '{"key": "k", "image": [[[[1,2,3],[250,251,252]],' \
		'[[9,9,9],[7,77,177]]]], "messages": [' \
		'{"role": "user", "content": "the first"},' \
		'{"role": "assistant", "content": "x"},' \
		'{"role": "user", "content": [{"type": "image"},' \
		'{"type": "text", "text": "what is it?"}]}],' \
		'"answers": ["cat"], "text": "'"$2"'", "reward": '"$1"'}'
	echo
}
sheet_of() { # NAME RECORD...: a stream and its sheet
	name=$1
	shift
	for r; do
		echo "$r"
	done | "$MK" reward 'image=U8 (N,H,W,3)' 'reward=F32 ()' \
		messages=plain answers=plain text=plain >"$name.gv"
	gv-view --sheet 9 -o "$name.png" "$name.gv"
}
has() { # NAME HEX: the sheet has three such pixels side by side
	gv-decode -s "$h"x"$w" "$1.png" | perl -e 'undef $/; $_ = <STDIN>;
		exit(index($_, pack("H*", $ARGV[0] x 3)) < 0)' "$2"
}
lacks() {
	! has "$@"
}
ok "a sheet of a right answer" sheet_of right "$(one 1 cat)"
# the bytes of IHDR hold width and height
# shellcheck disable=SC2046 # two words
set -- $(od -An -tu1 -j16 -N8 right.png)
w=$(($3 * 256 + $4)) h=$(($7 * 256 + $8))
is "... is a tile and its margins wide" "$w" 272
for p in 010203 fafbfc 090909 074db1; do
	ok "... has the picture's pixel $p" has right $p
done
ok "... is on white" has right ffffff
ok "... is green" has right 1a7f37
ok "... and not red" lacks right cf222e
ok "a sheet of a wrong answer" sheet_of wrong "$(one 0 cat)"
ok "... is red" has wrong cf222e
ok "... and not green" lacks wrong 1a7f37
ok "another text looks different" sheet_of other "$(one 1 dog)"
is "..." "$(cmp -s right.png other.png; echo $?)" 1
sed 's/what is it/who is that/' <<EOF >asked
$(one 1 cat)
EOF
ok "another question looks different" sheet_of asked "$(cat asked)"
is "..." "$(cmp -s right.png asked.png; echo $?)" 1
ok "an earlier message does not" \
	sheet_of early "$(one 1 cat | sed 's/the first/something/')"
ok "..." cmp right.png early.png
ok "the same again gives the same bytes" \
	sh -c 'gv-view --sheet 9 <right.gv | cmp - right.png'
ok "a title" sh -c 'gv-view --sheet 9 --title "A & B" right.gv >title.png'
is "... is drawn" "$(cmp -s right.png title.png; echo $?)" 1
ok "five of one column" sh -c 'gv-view --sheet 5 --columns 1 right.gv wrong.gv \
	right.gv wrong.gv right.gv wrong.gv >five.png'
# shellcheck disable=SC2046 # two words
set -- $(od -An -tu1 -j16 -N8 five.png)
is "... is one tile wide" "$(($3 * 256 + $4))" 272
ok "... and five high" test $(($7 * 256 + $8)) -gt $((4 * h))
ok "records without pictures or verdicts" \
	sh -c 'gv-view --sheet 2 t.gv >bare.png'
ok "... make a sheet" sh -c 'gv-decode -s 8 bare.png | gv-stat --check'

# ---- what is refused
ok "a good stream" cp t.gv good.gv
bad_input gv-view -o out.gv
bad_output gv-view t.gv
bad_output gv-view --sheet 1 right.gv
head -c 200 right.gv >cut.gv
must_fail 1 "a cut stream makes no sheet" gv-view --sheet 1 -o x.png cut.gv
printf '{"key":"k","image":[1,2]}\n' | "$MK" odd 'image=I32 (T)' >odd.gv
must_fail 1 "an image that is none" gv-view --sheet 1 -o x.png odd.gv
"$MK" none count=plain </dev/null >none.gv
must_fail 1 "no record" gv-view --sheet 1 -o x.png none.gv
ok "... is no text" sh -c '[ -z "$(gv-view none.gv)" ]'
must_fail 2 "--sheet 0" gv-view --sheet 0 -o x.png right.gv
must_fail 2 "--title without a sheet" gv-view --title x right.gv
must_fail 2 "--head with a sheet" gv-view --head 1 --sheet 1 right.gv
is "nothing is left over" "$(find . -name 'x.png' -o -name '*.tmp')" ""
finish
