#!/bin/sh
# gv-paste: fields of several streams, side by side by key.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 4 >good.gv
images 0 4 >images.gv
images 0 3 >short.gv
images 0 5 >long.gv
{ images 0 1 && images 3 4; } >hole.gv

ok "two streams" gv-paste good.gv images.gv -o both.gv
is "the keys" "$(keys both.gv)" "k0 k1 k2 k3 k4 "
is "the fields of both" "$(gv-stat --json both.gv |
    jq -c '[.kind,.fields[].name]')" '["tokens","tokens","id","embeds"]'
is "who made either" "$(gv-stat --json both.gv |
    jq -c '[.prog[].digests]')" '[{"tokenizer":"abc"},{"vision":"v1"},{}]'
ok "the values" gv-stat both.gv
is "of the second" "$(gv-stat --json both.gv |
    jq -c '.fields[2]|[.max,.nan]')" '[4,5]'
ok "from a pipe" sh -c 'cat images.gv | gv-paste good.gv - >both2.gv'
ok "the same bytes" cmp both.gv both2.gv

must_fail 1 "a stream too short" gv-paste good.gv short.gv -o out.gv
said "it is named" \
    "record 4 of 'good.gv' has key 'k4', but 'short.gv' has no more"
must_fail 1 "a stream too long" gv-paste good.gv long.gv -o out.gv
said "with its key" \
    "record 5 of 'long.gv' has key 'k5', but 'good.gv'"
must_fail 1 "a record missing" gv-paste good.gv hole.gv -o out.gv
said "both keys are named" \
    "key 'k2', but record 2 of 'hole.gv' has key 'k3'"
must_fail 1 "a field in both" gv-paste good.gv both.gv -o out.gv
said "it is named" \
    "field 'tokens', too"
ok "unless the first is preferred" gv-paste --prefer-first good.gv both.gv \
    -o first.gv
is "then fields are united" "$(gv-stat --json first.gv |
    jq -c '[.fields[].name]')" '["tokens","id","embeds"]'

# ten questions, three images
for k in a a a b c c c c c c; do
	echo "{\"key\":\"$k\",\"tokens\":[1]}"
done | "$MK" tokens 'tokens=I32 (T)' >questions.gv
for k in a b c; do
	echo "{\"key\":\"$k\",\"embeds\":[[[7,8]]]}"
done | "$MK" embeds 'embeds=F32 (N,R,2)' >three.gv
ok "--many" gv-paste --many questions.gv three.gv -o many.gv
is "each question has its image" "$(keys many.gv)" "a a a b c c c c c c "
is "its rows" "$(gv-stat --json many.gv | jq -c '.fields[1].values')" 20
must_fail 1 "not without --many" gv-paste questions.gv three.gv -o out.gv
said "the keys are named" \
    "record 1 of 'questions.gv' has key 'a', but record 1 of 'three.gv' has key 'b'"
for k in a c; do
	echo "{\"key\":\"$k\",\"embeds\":[[[7,8]]]}"
done | "$MK" embeds 'embeds=F32 (N,R,2)' >two.gv
must_fail 1 "--many with an image missing" \
    gv-paste --many questions.gv two.gv -o out.gv
for k in a b c d; do
	echo "{\"key\":\"$k\",\"embeds\":[[[7,8]]]}"
done | "$MK" embeds 'embeds=F32 (N,R,2)' >four.gv
must_fail 1 "--many with an image too many" \
    gv-paste --many questions.gv four.gv -o out.gv
for k in b a c; do
	echo "{\"key\":\"$k\",\"embeds\":[[[7,8]]]}"
done | "$MK" embeds 'embeds=F32 (N,R,2)' >turned.gv
must_fail 1 "--many with images out of order" \
    gv-paste --many questions.gv turned.gv -o out.gv

# dimensions of one name must agree within a record
echo '{"key":"k0","at":[1,2]}' | "$MK" at 'at=I32 (T)' >t2.gv
echo '{"key":"k0","tokens":[1,2,3]}' | "$MK" tokens 'tokens=I32 (T)' >t3.gv
must_fail 1 "two sizes of T" gv-paste t3.gv t2.gv -o out.gv
said "both fields are named" \
    "'tokens' and 'at' differ"
images 0 4 v2 | sed s/embeds/embodd/g >odd.gv
must_fail 1 "a stream edited by hand" gv-paste images.gv odd.gv -o out.gv

# who cuts a mapped file short ends its readers, with a message
cp images.gv shrinks.gv
mkfifo p
timeout 5 sh -c 'exec >p; sleep 0.2; : >shrinks.gv; cat good.gv' &
must_fail 1 "a mapped file that shrinks" gv-paste shrinks.gv p -o out.gv
wait

must_fail 2 "one stream" gv-paste good.gv
must_fail 2 "standard input twice" gv-paste - -
bad_input gv-paste --prefer-first -o out.gv
bad_output gv-paste good.gv images.gv
unread good.gv gv-paste - images.gv
finish
