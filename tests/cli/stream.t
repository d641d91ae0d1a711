#!/bin/sh
# The format as others know it: gv-stream(5)'s example filter, and Python.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

page=$SRC/man/man5/gv-stream.5

# example WORD: the literal block of the page that holds the word.
example() {
	awk -v word="$1" '/^\.Bd -literal/ { text = ""; on = 1; next }
	    /^\.Ed/ { if (on && index(text, word)) printf "%s", text; on = 0 }
	    on { text = text $0 "\n" }' "$page" | sed 's/\\e/\\/g'
}

example 'gv-pick:' >gv-pick.c
ok "the manual's filter compiles without a warning" build gv-pick gv-pick.c
is "it is short" "$(wc -l <gv-pick.c | awk '{ print ($1 > 20 && $1 < 60) }')" 1
tokens 0 12 >a.gv
ok "it runs" sh -c './gv-pick k1 <a.gv >k1.gv'
is "and picks" "$(keys k1.gv)" "k1 k10 k11 k12 "
is "and says so" "$(gv-stat --json k1.gv | jq -c '.prog[-1]|[.name,.args]')" \
    '["gv-pick",["k1"]]'
must_fail 1 "it refuses a cut stream" \
    sh -c 'head -c 1000 a.gv | ./gv-pick k1 >cut.gv'
must_fail 1 "and what it wrote until then is refused" gv-stat cut.gv
must_fail 1 "a full device" sh -c './gv-pick k1 <a.gv >/dev/full'

# the bytes that the page shows are those that are written
echo '{"key":"k0","tokens":[7,8]}' | "$MK" t 'tokens=I32 (T)' >two.gv
size=$(wc -c <two.gv)
tail -c +$((size - 64 - 192 + 1)) two.gv | head -c 188 | od -An -v -tx1 |
    tr -d ' \n' >got
example 'map of 6, gv: rec' | sed 's/  .*//; s/^.*34 00 \.\.\. 00$/c4 03 70 61 64 c4 34 ZERO52/
    s/^.*29 00 \.\.\. 00$/a3 70 61 64 c4 29 ZERO41/; s/xx//g' | tr -d ' \n' |
    sed "s/ZERO52/$(printf '%0104d' 0)/; s/ZERO41/$(printf '%082d' 0)/" >want
ok "the bytes of a record are those of the page" cmp got want

python=
for p in "${PYTHON:-python3}" /usr/bin/python3; do
	if "$p" -c 'import msgpack, msgpack_numpy' 2>/dev/null; then
		python=$p
		break
	fi
done
if [ -z "$python" ]; then
	ok "Python # SKIP no msgpack and msgpack-numpy here" true
	finish
fi
note "$("$python" -c 'import msgpack, numpy
print("msgpack", msgpack.version, "numpy", numpy.__version__)')"

example 'import msgpack' >reader.py
is "the manual's reader in Python" "$("$python" reader.py | tr '\n' ' ' |
    cut -c 1-27)" "head None rec k0 rec k1 rec"
ok "Python checks a stream of ours" \
    sh -c "$python $SRC/tests/stream.py read <a.gv >a.json"
is "and finds what is in it" "$(sed -n 4p a.json |
    jq -c '[.key,.tokens,.id]')" '["k2",[2,4,-1],"id 2"]'
ok "and one of two parts" sh -c \
    "cat a.gv k1.gv | $python $SRC/tests/stream.py read >ab.json"
is "all of it" "$(grep -c '"gv": "rec"' ab.json)" 17
ok "Python writes a stream" \
    sh -c "$python $SRC/tests/stream.py write 9 >py.gv"
ok "that is valid here" gv-stat --check py.gv
is "with its values" "$(gv-stat --json py.gv | jq -c \
    '[.records,(.fields[]|select(.name!="bool" and .max!=15)|.name)]')" \
    '[9,"meta"]'
ok "and comes back to it" sh -c \
    "gv-cat py.gv | $python $SRC/tests/stream.py read >py.json"
is "unchanged" "$(sed -n 4p py.json | jq -c '[.key,.f16==[[0,1],[2,3]],.meta.list[2:]]')" \
    '["k2",true,["é",-1099511627776]]'
finish
