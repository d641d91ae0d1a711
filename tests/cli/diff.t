#!/bin/sh
# gv-diff: two streams, number by number.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 4 >good.gv
tokens 0 5 >longer.gv
images 0 4 >images.gv
gv-paste good.gv images.gv -o both.gv

# differs DESC ARG...: exit 1, and the report in the file report.
differs() {
	what=$1
	shift
	gv-diff "$@" >report 2>err
	is "$what" "$?:$(cat err)" "1:"
}

# numbers FILE DTYPE VALUES...: a record for each list of three numbers
numbers() {
	file=$1 type=$2
	shift 2
	for v; do
		printf '{"key":"k","x":[%s],"y":{"a":[1,%s]}}\n' "$v" "${v%%,*}"
	done | "$MK" numbers "x=$type (3)" y=plain >"$file"
}

ok "a stream and itself" gv-diff good.gv good.gv
is "nothing is said" "$(gv-diff good.gv good.gv)" ""
ok "a copy that other programs made" sh -c \
    'gv-cat good.gv | gv-diff - good.gv'
is "-v says what was compared" "$(gv-diff -v both.gv both.gv | wc -l)" 5
differs "one with more records" good.gv longer.gv
is "they are counted" "$(cat report)" "records: 5, 6"
differs "another kind, other fields" good.gv images.gv
is "both are told" "$(cat report)" "kind: tokens, embeds
field tokens: only in 'good.gv'
field id: only in 'good.gv'
field embeds: only in 'images.gv'"
ok "the fields in both" gv-diff --fields tokens,id both.gv good.gv
differs "all of them" both.gv good.gv
tokens 1 5 >moved.gv
differs "other keys" --fields tokens good.gv moved.gv
is "the first is told" "$(grep key report | tr -s ' ')" \
    "(key) 5 5 record 0 'k0': k0, k1"

# 1 and the next BF16 and F32 after it
numbers a.gv F32 1,2,3 4,5,6
numbers b.gv F32 1,2,3 4,5.000000477,6
differs "a number" a.gv b.gv
is "is told with its place" "$(sed 1d report | tr -s ' ')" \
    "x 6 1 4.77e-07 1 record 1 'k' (1): 5, 5.0000004768371582"
ok "--ulp" gv-diff --ulp 1 a.gv b.gv
ok "--atol" gv-diff --atol 5e-7 a.gv b.gv
differs "--atol is a limit" --atol 4e-7 a.gv b.gv
ok "--rtol" gv-diff --rtol 1e-7 a.gv b.gv
differs "--rtol is a limit" --rtol 9e-8 a.gv b.gv
numbers h.gv BF16 1,2,3 4,5,6
differs "other types are other values" h.gv b.gv
ok "but for a tolerance" gv-diff --ulp 1 --fields x h.gv b.gv
numbers h2.gv BF16 1,2,3 4,5.03125,6
differs "steps are those of the type" h.gv h2.gv
is "BF16's" "$(awk '/^x/ {print $5}' report)" 1
numbers n.gv F32 '"NaN","Infinity",0'
numbers n2.gv F32 '"NaN","Infinity",-0.0'
ok "NaN, infinity and two zeros" gv-diff --fields x n.gv n2.gv
numbers n3.gv F32 '"NaN","-Infinity",0'
differs "infinities of two signs" --fields x --atol 1e300 n.gv n3.gv
numbers n4.gv F32 '0,"Infinity",0'
differs "NaN and a number" --fields x --atol 1e300 n.gv n4.gv
numbers i.gv I64 9007199254740993,1,2
numbers i2.gv I64 9007199254740992,1,2
differs "integers beyond doubles" --fields x i.gv i2.gv
ok "--atol for integers" gv-diff --atol 1 --fields x i.gv i2.gv
printf '{"key":"k","x":[1,2]}\n' | "$MK" numbers 'x=I64 (N)' >s.gv
printf '{"key":"k","x":[1,2,3]}\n' | "$MK" numbers 'x=I64 (N)' >s2.gv
differs "another shape" s.gv s2.gv
is "both are told" "$(sed 1d report | tr -s ' ')" \
    "x 1 1 record 0 'k': I64 (2), I64 (3)"

plain() { # FILE JSON
	printf '{"key":"k","p":%s}\n' "$2" | "$MK" plain p=plain >"$1"
}
plain p.gv '{"a":[1,{"b":"text"}],"c":2.5,"d":null}'
plain p2.gv '{"a":[1,{"b":"texts"}],"c":2.5,"d":null}'
differs "a text deep inside" p.gv p2.gv
is "its place is told" "$(sed 1d report | tr -s ' ')" \
    "p 1 1 record 0 'k' .a[1].b: \"text\", \"texts\""
plain p3.gv '{"a":[1,{"b":"text"}],"c":2.51,"d":null}'
differs "a number inside" p.gv p3.gv
ok "--atol for those" gv-diff --atol 0.011 p.gv p3.gv
plain p4.gv '{"d":null,"c":2.5,"a":[1,{"b":"text"}]}'
ok "members in another order are the same" gv-diff p.gv p4.gv
for v in '[]' '{"a":[1],"c":2.5,"d":null}' '{"a":1,"c":2,"e":3}' 3 '"x"' null; do
	plain p5.gv "$v"
	differs "$v is another" p.gv p5.gv
done

is "--json" "$(gv-diff --json a.gv b.gv |
    jq -c '[.same,.records,.fields[1].different,.fields[1].first.at]')" \
    '[false,[2,2],1,"(1)"]'
gv-diff -q a.gv b.gv >report
is "-q only answers" "$?:$(cat report)" "1:"

must_fail 2 "a field that isn't there" gv-diff --fields none a.gv b.gv
said "it is named" "cannot compare 'a.gv': there is no field 'none'"
must_fail 2 "one stream" gv-diff a.gv
must_fail 2 "three" gv-diff a.gv a.gv a.gv
must_fail 2 "standard input twice" sh -c 'gv-diff - - <a.gv'
for f in /dev/null "$0" . missing; do
	must_fail 2 "$f is no stream" gv-diff a.gv "$f"
	must_fail 2 "nor first" gv-diff "$f" a.gv
done
head -c -1 b.gv >cut.gv
must_fail 2 "a stream that is cut" gv-diff a.gv cut.gv
must_fail 2 "a full disk" sh -c 'gv-diff -v a.gv a.gv >/dev/full'
finish
