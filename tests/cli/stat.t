#!/bin/sh
# gv-stat: what a stream holds, and whether it is one.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

tokens 0 9 >good.gv
images 0 3 >images.gv
"$MK" mix 'x=F32 ()' 'a=plain' 'u=U8 (N)' >mix.gv <<'END'
{"key":"1","x":1.5,"a":3,"u":[0,7]}
{"key":"2","x":"NaN","a":-1.5,"u":[]}
{"key":"3","x":"Inf","a":"text","u":[255]}
{"key":"4","x":-0.5,"a":[1],"u":[9,9,9]}
END

gv-stat good.gv >text
is "the first line" "$(head -1 text)" \
    "good.gv: tokens, 10 records, $(wc -c <good.gv) bytes"
ok "a tensor's range" grep -q \
    "tokens  *I32  *(3)  *-1 to 81, mean 10.6667" text
ok "a text's lengths" grep -q "id  *text  *bytes 4 to 4" text
ok "the provenance" grep -q "by mkstream .* \[tokenizer abc\]" text
is "two files" "$(gv-stat good.gv images.gv | grep -c records,)" 2
is "a concatenation" "$(cat good.gv good.gv | gv-stat | head -1)" \
    "standard input: tokens, 20 records, $(($(wc -c <good.gv) * 2)) bytes"

j=$(gv-stat --json mix.gv)
is "JSON: records" "$(echo "$j" | jq .records)" 4
is "JSON: numbers that are none" \
    "$(echo "$j" | jq -c '.fields[0]|[.values,.min,.max,.mean,.nan,.inf]')" \
    "[2,-0.5,1.5,0.5,1,1]"
is "JSON: a mixed plain field" \
    "$(echo "$j" | jq -c '.fields[1]|[.holds,.values,.min]')" \
    '["mixed",2,-1.5]'
is "JSON: bytes and a shape's range" \
    "$(echo "$j" | jq -c '.fields[2]|[.shape,.values,.min,.max,.mean]')" \
    '[[[0,3]],6,0,255,48.1666666666667]'
is "JSON: a bfloat16 tensor" "$(gv-stat --json images.gv |
    jq -c '.fields[0]|[.dtype,.shape,.min,.max,.nan]')" \
    '["BF16",[[1,1],[2,2],[2,2]],0,3,4]'

is "--check prints nothing" "$(gv-stat --check good.gv mix.gv; echo $?)" 0
must_fail 1 "--check of a text" gv-stat --check "$0"
must_fail 1 "--check of a cut stream" sh -c 'head -c 999 good.gv | gv-stat --check'
must_fail 2 "--check with --json" gv-stat --check --json good.gv
tokens 0 -1 >none.gv
ok "no records" sh -c 'gv-stat none.gv | grep -q " 0 records"'
is "a name with control characters" \
    "$(cp good.gv "$(printf 'a\033[2J')"; gv-stat a*J | head -1 | cut -c 1-9)" \
    'a\x1b[2J:'

# a header that promises four billion elements, in little memory
printf '\207\242gv\244head\243ver\001\244kind\241t\246fields' >start
for h in '\335\017\377\377\377' '\337\377\377\377\377' '\333\177\377\377\377' \
    '\306\377\377\377\377'; do
	# shellcheck disable=SC2059 # the bytes are the format
	{ cat start; printf "$h"; head -c 100000 /dev/zero; } >hostile
	must_fail 1 "a hostile header, mapped" \
	    sh -c 'ulimit -v 60000; gv-stat hostile'
	must_fail 1 "a hostile header, on a pipe" \
	    sh -c 'ulimit -v 60000; cat hostile | gv-stat'
done
{ cat start; head -c 10000 /dev/zero | tr '\000' '\221'; } >deep
must_fail 1 "lists 10,000 deep" sh -c 'ulimit -v 60000; cat deep | gv-stat'

# a payload of 900 MB that never comes
"$MK" big 'x=U8 (N)' >big.gv <<'END'
{"key":"1","x":[1,2,3]}
END
perl -0777 -pe 's/(shape\x91)\x03(.*data\xc6)..../$1\xce\x35\xa4\xe9\x00$2\x35\xa4\xe9\x00/s;
    s/(pad\xc4)(.)(\0{4})(\0*\xc4\x04data)/$1.chr(ord($2)-4).$4/se' big.gv >promise
must_fail 1 "900 MB promised, on a pipe" \
    sh -c 'ulimit -v 60000; cat promise | gv-stat'
said "it was the payload that was missing" \
    "record 0, field 'x': it is cut short"
must_fail 1 "900 MB promised, mapped" sh -c 'ulimit -v 60000; gv-stat promise'

bad_input gv-stat
bad_output gv-stat good.gv
bad_output gv-stat --json good.gv

finish
