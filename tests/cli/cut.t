#!/bin/sh
# gv-cut: fields and records of streams, chosen by name, number and key.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 9 >good.gv
tokens 10 14 >more.gv
images 0 9 >images.gv
gv-paste good.gv images.gv -o both.gv

# what FILE: its fields
what() {
	gv-stat --json "$1" | jq -c '[.kind,.fields[].name]'
}

ok "some fields" gv-cut --fields id,embeds both.gv -o some.gv
is "they are there, in their order" "$(what some.gv)" \
    '["tokens","id","embeds"]'
ok "all others" gv-cut --drop tokens both.gv -o others.gv
is "the same ones" "$(what others.gv)" '["tokens","id","embeds"]'
is "with their values" "$(gv-stat --json some.gv | jq -c '.fields[1].max')" 9
is "who made them is known still" \
    "$(gv-stat --json some.gv | jq -c '[.prog[].digests],.prog[-1].args')" \
    '[{"tokenizer":"abc"},{"vision":"v1"},{},{}]
["--fields","id,embeds"]'
ok "together they are what was cut" sh -c '
    gv-cut --fields tokens both.gv | gv-paste - some.gv -o whole.gv &&
    gv-stat whole.gv'

ok "records by number" gv-cut --records 0-2,5,8- good.gv -o out.gv
is "they are these" "$(keys out.gv)" "k0 k1 k2 k5 k8 k9 "
ok "the first ones" gv-cut --records -1 good.gv -o out.gv
is "they are two" "$(keys out.gv)" "k0 k1 "
ok "numbers count through all inputs" \
    gv-cut --records 8-11 good.gv more.gv -o out.gv
is "they are those" "$(keys out.gv)" "k8 k9 k10 k11 "
ok "a range may reach beyond the end" gv-cut --records 8-99 good.gv -o out.gv
is "it gives what is there" "$(keys out.gv)" "k8 k9 "
ok "all but these" gv-cut --except --records 1-8 good.gv -o out.gv
is "are the others" "$(keys out.gv)" "k0 k9 "
ok "records by key" gv-cut --key k7 --key k3 good.gv -o out.gv
is "they keep their order" "$(keys out.gv)" "k3 k7 "
printf 'k5\nk1\nk5\n' >list
ok "keys of a file" gv-cut --keys list --key k9 good.gv -o out.gv
is "they are these" "$(keys out.gv)" "k1 k5 k9 "
ok "keys of the standard input" sh -c \
    'gv-cut --keys - good.gv -o out2.gv --key k9 <list && cmp out.gv out2.gv'
ok "numbers and keys" gv-cut --records 2- --key k5 --key k9 good.gv -o out.gv
is "are what is both" "$(keys out.gv)" "k5 k9 "
ok "all but these keys, of which some aren't there" \
    gv-cut --except --key k0 --key k99 good.gv -o out.gv
is "are the others" "$(keys out.gv)" "k1 k2 k3 k4 k5 k6 k7 k8 k9 "
ok "from a pipe" sh -c \
    'cat good.gv | gv-cut --except --key k0 --key k99 | cmp - out.gv'
cp good.gv hurt.gv
printf x | dd of=hurt.gv bs=1 seek=$(($(wc -c <good.gv) - 200)) conv=notrunc \
    2>dd.err
ok "what is behind the last one chosen isn't read" \
    gv-cut --records 0-2 hurt.gv -o out.gv
must_fail 1 "unless it might be chosen" gv-cut --key k1 hurt.gv -o out.gv

must_fail 1 "a field that isn't there" gv-cut --fields id,none good.gv -o out.gv
said "it is named" "cannot cut 'good.gv': there is no field 'none'"
must_fail 1 "an empty name" gv-cut --fields id, good.gv -o out.gv
must_fail 1 "no field left" gv-cut --drop id,tokens good.gv -o out.gv
said "that is said" "no field would be left"
must_fail 1 "a record that isn't there" gv-cut --records 3,10- good.gv -o out.gv
said "it is named" "there is no record 10: the input has 10"
must_fail 1 "a key that isn't there" gv-cut --key k1 --key kk good.gv -o out.gv
said "it is named" "no record has the key 'kk'"
for list in '' ',' '1,' ',1' - '1,-' a 1-a -1-2 3-2 5,3 0-5,5 1--2 +1 \
    99999999999999999999; do
	must_fail 2 "'$list' is no list of numbers" \
	    gv-cut --records "$list" good.gv -o out.gv
done
must_fail 1 "no file of keys" gv-cut --keys missing good.gv -o out.gv
printf 'k1\nk\0002\n' >nul
must_fail 1 "a key with a NUL" gv-cut --keys nul good.gv -o out.gv
said "its line is named" "'nul', line 2"
head -c 300 /dev/zero | tr '\0' k >long
must_fail 1 "a key that is too long" gv-cut --keys long good.gv -o out.gv
must_fail 2 "nothing chosen" gv-cut good.gv -o out.gv
must_fail 2 "--except of nothing" gv-cut --except --drop id good.gv -o out.gv
must_fail 2 "fields both ways" gv-cut --fields id --drop id good.gv -o out.gv
must_fail 1 "streams that don't fit" gv-cut --drop id good.gv images.gv -o out.gv

rm -f out.gv
bad_input gv-cut --drop id -o out.gv
bad_output gv-cut --drop id good.gv
unread good.gv gv-cut --drop id
finish
