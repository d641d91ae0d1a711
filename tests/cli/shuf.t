#!/bin/sh
# gv-shuf: every record once a pass, in an order that the seed decides.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 99 >good.gv
tokens 100 109 >b.gv

sorted() {
	keys "$1" | tr ' ' '\n' | sort | uniq -c | awk '{ print $1 }' | uniq -c |
	    tr -s ' \n' ' '
}

ok "a shuffle" gv-shuf --seed 1 good.gv -o s1.gv
is "each record once" "$(sorted s1.gv)" " 100 1 "
is "in another order" "$(test "$(keys s1.gv)" != "$(keys good.gv)"; echo $?)" 0
gv-shuf --seed 1 <good.gv >s1f.gv
cat good.gv | gv-shuf --seed 1 >s1p.gv
ok "the same bytes from a file" cmp s1.gv s1f.gv
ok "and from a pipe" cmp s1.gv s1p.gv
gv-shuf --seed 2 good.gv -o s2.gv
is "another seed, another order" \
    "$(test "$(keys s1.gv)" != "$(keys s2.gv)"; echo $?)" 0
is "the record's fields came along" "$(gv-stat --json s1.gv |
    jq -c '.fields[0]|[.min,.max,.mean]')" \
    "$(gv-stat --json good.gv | jq -c '.fields[0]|[.min,.max,.mean]')"
is "the arguments that matter" "$(gv-stat --json s1.gv |
    jq -c '.prog[1]|[.name,.args]')" \
    '["gv-shuf",["--seed","1","--epochs","1"]]'

ok "three passes" gv-shuf --seed 1 --epochs 3 good.gv -o e.gv
is "each record three times" "$(sorted e.gv)" " 100 3 "
first=$(keys e.gv | cut -d ' ' -f 1-100)
is "the first pass is that of one" "$first " "$(keys s1.gv)"
is "the second is another" \
    "$(test "$first" != "$(keys e.gv | cut -d ' ' -f 101-200)"; echo $?)" 0
is "which has each record, too" "$(keys e.gv | cut -d ' ' -f 101-200 |
    tr ' ' '\n' | sort -u | wc -l)" 100

gv-shuf --seed 1 --head 7 good.gv -o h.gv
is "--head" "$(keys h.gv)" "$(keys s1.gv | cut -d ' ' -f 1-7) "
gv-shuf --head 1000 good.gv -o h.gv
is "--head beyond the end" "$(sorted h.gv)" " 100 1 "
gv-shuf --seed 1 --records 250 good.gv -o r.gv
is "--records" "$(keys r.gv)" "$(keys e.gv | cut -d ' ' -f 1-250) "

ok "two files are one pool" gv-shuf good.gv b.gv -o ab.gv
is "each record once of both" "$(sorted ab.gv)" " 110 1 "
is "mixed" "$(keys ab.gv | cut -d ' ' -f 1-100 | tr ' ' '\n' |
    awk 'length == 4' | wc -l | awk '{ print ($1 > 0 && $1 < 11) }')" 1

ok "by weight" gv-shuf --seed 3 --records 4000 good.gv:3 b.gv:1 -o w.gv
n=$(keys w.gv | tr ' ' '\n' | grep -c 'k10[0-9]')
# 1000 expected, standard deviation 27
is "about a quarter ($n)" "$((n > 860 && n < 1140))" 1
is "b's records evenly" "$(keys w.gv | tr ' ' '\n' | grep 'k10[0-9]' | sort |
    uniq -c | awk '{ if (!lo || $1 < lo) lo = $1; if ($1 > hi) hi = $1 }
    END { print hi - lo <= 1 }')" 1
gv-shuf --seed 3 --records 4000 good.gv:3 b.gv:1 -o w2.gv
ok "the same seed, the same bytes" cmp w.gv w2.gv
is "weights are arguments, paths are not" "$(gv-stat --json w.gv |
    jq -c '.prog[-1].args')" '["--seed","3","--records","4000","3","1"]'
cp b.gv b:2
ok "a file whose name has a colon" gv-shuf b:2 -o c.gv
is "is a file" "$(sorted c.gv)" " 10 1 "

tokens 0 -1 >none.gv
is "no records" "$(gv-shuf none.gv | gv-stat | head -1)" \
    "standard input: tokens, 0 records, $(gv-shuf none.gv | wc -c) bytes"
is "one empty input of two" "$(gv-shuf none.gv b.gv none.gv | gv-stat |
    grep -c ' 10 records')" 1
must_fail 1 "drawing from no records" gv-shuf --records 5 none.gv -o out.gv
images 0 3 >images.gv
must_fail 1 "another kind" gv-shuf good.gv images.gv -o out.gv
must_fail 2 "weights without --records" gv-shuf good.gv:1 b.gv:2
must_fail 2 "one weight of two" gv-shuf --records 5 good.gv:1 b.gv
must_fail 2 "a weight of zero" gv-shuf --records 5 good.gv:0 b.gv:1
must_fail 2 "--epochs and --records" gv-shuf --records 5 --epochs 2 good.gv
must_fail 2 "no epochs" gv-shuf --epochs 0 good.gv
must_fail 2 "standard input twice" gv-shuf - -
must_fail 1 "nowhere to spool to" \
    sh -c 'cat good.gv | TMPDIR=/nonexistent gv-shuf -o out.gv'
bad_input gv-shuf -o out.gv
bad_output gv-shuf good.gv
finish
