#!/bin/sh
# gv-cat: joins streams, and lets nothing through that is none.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 4 >a.gv
tokens 5 6 >b.gv
images 0 1 >other.gv
tokens 0 -1 >none.gv

ok "two files" gv-cat a.gv b.gv -o ab.gv
is "all their records" "$(keys ab.gv)" "k0 k1 k2 k3 k4 k5 k6 "
is "one END" "$(grep -c 'gv.endd*.recs' ab.gv)" 1
is "the program named itself" \
    "$(gv-stat --json ab.gv | jq -c '[.prog[].name]')" '["mkstream","gv-cat"]'
ok "cat's output of two is a stream" sh -c 'cat a.gv b.gv | gv-cat >c.gv'
ok "and gv-cat makes the same of it" cmp ab.gv c.gv
ok "from standard input, a file" sh -c 'gv-cat <ab.gv >d.gv'
ok "and a pipe" sh -c 'cat ab.gv | gv-cat >e.gv'
ok "the same bytes" cmp d.gv e.gv
ok "a file and a pipe" sh -c 'cat b.gv | gv-cat a.gv - >f.gv'
ok "the same bytes again" cmp ab.gv f.gv
ok "a FIFO" timeout 5 sh -c \
    'mkfifo p; cat b.gv >p & gv-cat a.gv p >f.gv; wait; rm p'
ok "the same bytes from it" cmp ab.gv f.gv
ok "no records are a stream" sh -c 'gv-cat none.gv | gv-stat --check'
ok "in place of its input" sh -c 'cp a.gv x.gv; gv-cat x.gv b.gv -o x.gv'
ok "whole" cmp ab.gv x.gv

must_fail 1 "another kind" gv-cat a.gv other.gv -o out.gv
said "both are named" \
    "join 'other.gv' to 'a.gv': kind 'embeds'"
tokens 0 1 >one.gv
"$MK" tokens 'tokens=I32 (N,3)' 'id=plain' </dev/null >rank.gv
must_fail 1 "another shape" gv-cat one.gv rank.gv -o out.gv
said "both are shown" "field 'tokens' I32 (N,3), not 'tokens' I32 (T)"
images 2 3 v2 >v2.gv
must_fail 1 "other weights" gv-cat other.gv v2.gv -o out.gv
said "the digest is named" \
    "another 'vision' (v2, not v1)"
must_fail 1 "other weights in one file" sh -c 'cat other.gv v2.gv | gv-cat'
ok "no file is left" test ! -e out.gv

# a cut input never becomes a whole output
size=$(wc -c <a.gv)
bad=0
n=0
for at in $(seq 1 29 $((size - 1))); do
	n=$((n + 1))
	head -c "$at" a.gv >cut
	gv-cat cut >out 2>/dev/null && bad=$((bad + 1))
	head -c "$at" a.gv | gv-cat >out2 2>/dev/null && bad=$((bad + 1))
	gv-stat --check out 2>/dev/null && bad=$((bad + 1))
done
is "$n cuts, and none passes" "$bad" 0

cp a.gv good.gv
bad_input gv-cat -o out.gv
bad_output gv-cat good.gv
unread good.gv gv-cat
must_fail 1 "a directory for output" gv-cat a.gv -o dir
ok "a reader that goes away is no error message" sh -c \
    'for i in 1 2 3 4 5 6; do cat ab.gv ab.gv ab.gv ab.gv >y; cp y ab.gv; done
    { gv-cat ab.gv; echo $? >rc; } 2>err | head -c 1; test $(cat rc) = 141 -a ! -s err'
finish
