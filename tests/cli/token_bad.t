#!/bin/sh
# gv-tokenize and what nobody should give it: text that isn't UTF-8, JSON that
# spells no text, vocabularies that can't be, no memory, compiled forms that
# others left.
. "$(dirname "$0")/tap.sh"

G=$SRC/tests/golden/tokens
said() { # DESC WORDS: on the one line that must_fail saw
	is "$1" "$(grep -c -e "$2" "$T/.err")" 1
}
mkdir good llama
cp "$G/qwen2/tokenizer.json" good
cp "$G/llama2/tokenizer.json" llama

# ---- text
# A byte, half a character, a surrogate, too long a form, too high, a NUL.
printf 'a\377 b\303\nc\355\240\200d \300\257 \364\220\200\200 \0e' >bytes
{ cat bytes && echo; } >want
for m in good llama; do
	gv-tokenize -m $m --text --whole bytes |
		gv-tokenize -m $m --decode >got
	ok "$m: bytes that are not UTF-8, and a NUL, come back" cmp got want
done
gv-tokenize -m good --text bytes | gv-tokenize -m good --decode >got
ok "... line by line" cmp got want
must_fail 1 "or are refused" gv-tokenize -m good --text --strict -o x bytes
said "... by line and byte" "'bytes': line 1: byte 2 is not UTF-8"
must_fail 1 "in a whole file" gv-tokenize -m good --text --whole --strict -o x \
	bytes
said "... by byte" "'bytes': byte 2 is not UTF-8"
printf 'a\0b\n' >nul
ok "a NUL is UTF-8" gv-tokenize -m good --text --strict -o nul.gv nul
printf '\357\273\277a\n' >bom
is "so is a byte order mark, which is kept" "$(gv-tokenize -m good --text \
	--strict bom | gv-tokenize -m good --decode | od -An -tx1 | tr -d ' ')" \
	efbbbf610a

# ---- JSON lines
# Each is a line behind a good one, and is refused by number in all modes.
user='{"role": "user", "content": "hi"}'
for bad in '\u0000' '\ud800' '\udc00' '\ud83dx' '\ud800\ud800' '\uDE42\uD83D' \
	'\x41' '\u12' "$(printf '\377')" "$(printf '\355\240\200')" \
	"$(printf '\001')"; do
	printf '{"text": "fine", "messages": [%s]}\n' "$user" >bad.jsonl
	printf '{"text": "%s", "messages": [%s, {"role": "user", "content":
	"%s"}]}\n' "$bad" "$user" "$bad" | tr -d '\n\t' >>bad.jsonl
	n=$(printf %s "$bad" | od -An -tx1 | tr -d ' ')
	for mode in --text --chat --prompt; do
		timeout 20 gv-tokenize -m good $mode -o x bad.jsonl 2>"$T/.err"
		is "$mode: text of $n is no JSON" \
			"$? $(grep -c "'bad.jsonl': line 2: not valid JSON: " \
				"$T/.err") $(wc -l <"$T/.err")" "1 1 1"
	done
done
must_fail 1 "nor is it to learn from" gv-tokenize train -v 300 -o x bad.jsonl
said "... which names the line" "'bad.jsonl': line 2: not valid JSON"
must_fail 1 "or to count" gv-tokenize stats -m good bad.jsonl
is "a pair of surrogates is a character" "$(printf '%s\n' \
	'{"text": "\ud83d\ude42"}' | gv-tokenize -m good --text --jsonl |
	gv-tokenize -m good --decode)" "$(printf '\360\237\231\202')"
head -c 100000 /dev/zero | tr '\0' '[' >deep.jsonl
must_fail 1 "a line of brackets" gv-tokenize -m good --text -o x deep.jsonl
is "nothing is left of all these" "$(ls x .x* 2>/dev/null)" ""

# ---- vocabularies
mkdir bad
J=bad/tokenizer.json
edit() { # FILTER: the good one, changed
	jq -c "$1" good/tokenizer.json >$J
}
refused() { # WORDS: what is said of $J
	must_fail 1 "refused: $1" gv-tokenize -m bad --text -o x nul
	said "... by name" "^gv-tokenize: '$J'.*$1"
}
edit '.model.vocab.zzz = 1000000000'
refused 'token id 1000000000 is not between 0 and 1048575'
edit '.model.vocab.zzz = 0.5'
refused "'zzz' is not a number"
edit '.model.vocab.zzz = 1' && sed -i 's/"zzz":1/&000000000000000000000/' $J
refused 'too big integer'
edit '.model.vocab.zzz = -1'
refused 'token id -1 is not between'
edit '.model.vocab.zzz = 5'
refused 'token id 5 stands for two tokens'
for name in '!' '\\u0021'; do
	edit . && sed -i "s/\"vocab\":{/&\"$name\":900,/" $J
	refused 'duplicate object key'
done
edit '.model.vocab[""] = 900 | .model.merges += [["a", ""]]'
refused 'a token without bytes'
edit '.model.merges += [["a", ""]]'
refused 'uses a token that is not in the vocabulary'
edit '.model.merges += [["", ""]]'
refused 'uses a token that is not in the vocabulary'
edit '.model.merges = [["a", "b", "c"]]'
refused 'merge 0 is not a pair'
edit '.pre_tokenizer = reduce range(100) as $i (.pre_tokenizer;
	{type: "Sequence", pretokenizers: [.]})'
refused "pre-tokenizer 'Sequence' is not supported"
edit '.normalizer = reduce range(100) as $i (.normalizer;
	{type: "Sequence", normalizers: [.]})'
refused "normalizer 'Sequence' is not supported"
edit . && sed -i 's/}$/,"x":/' $J && cat deep.jsonl >>$J
refused 'maximum parsing depth'
edit '.model.vocab.zzz = 900' &&
	head -c 10000000 /dev/zero | tr '\0' z >long &&
	sed 's/"zzz.*/"/' $J | tr -d '\n' >start && sed 's/.*"zzz//' $J >end &&
	cat start long end >$J
refused 'is longer than 65536 bytes'
edit '.added_tokens[0].id = 5'
refused "'<|im_start|>' has the id of another token"
edit . && truncate -s 9000 $J
refused 'not valid JSON'
: >$J
refused 'not valid JSON'
truncate -s 3G $J
refused 'is larger than'
rm $J
mkdir $J
must_fail 1 "a directory" gv-tokenize -m bad --text -o x nul
rmdir $J
for to in nowhere tokenizer.json /dev/null; do
	ln -sf $to $J
	must_fail 1 "a link to $to" gv-tokenize -m bad --text -o x nul
done
rm $J
is "nothing is left of all these" "$(find . -name 'x' -o -name '.x*' -o \
	-path './bad/*')" ""

# ---- odd, but sound
# As tokenizers has it: nothing stands for a byte that no token has.
edit '.model.merges |= map(select(all(index("!") | not))) |
	.model.vocab |= with_entries(select(.key | index("!") | not))'
is "bytes without a token are left out" "$(echo 'a!b!' |
	gv-tokenize -m bad --text | gv-tokenize -m bad --decode)" ab
edit '.model.vocab.zzz = 900000'
is "ids may have holes" "$(echo azb | gv-tokenize -m bad --text |
	gv-tokenize -m bad --decode)" azb
must_fail 1 "... which decode to nothing" sh -c \
	'echo 899999 | gv-tokenize -m bad --decode --ids'
said "... and are said" "id 899999 is not in the vocabulary"
edit '.added_tokens += [range(200000) | {id: (. + 1000), special: false,
	content: "<|\(. + 100000)|>"}]'
is "200,000 added tokens take no time" "$(echo 'a<|299999|>b' | timeout 10 \
	gv-tokenize -m bad --text --show | tail -1)" '[a]{<|299999|>}{b}'
edit '.post_processor = {type: "TemplateProcessing", single: [{SpecialToken:
	{id: "<x>", type_id: 0}}], pair: [], special_tokens: {"<x>":
	{id: "<x>", ids: [9999999], tokens: ["<x>"]}}}'
is "what post-processors add is not asked for" "$(echo a |
	gv-tokenize -m bad --text | gv-tokenize -m bad --decode)" a

# ---- without memory
# Of each form of vocabulary: the right ids, or one line and none.
mkdir ranks list
cp "$G/cl100k/cl100k_base.tiktoken" ranks
printf '#version: 0.2\nt h\nth e</w>\n' |
	gzip >list/bpe_simple_vocab_16e6.txt.gz
GV_FAULT_SO=$B/tests/fault/fail.so
export GV_FAULT_SO
echo 'The 123' >t
for m in good llama ranks list; do
	rm -f want
	gv-tokenize -m $m --text -o want t
	for f in alloc alloc+; do
		ok "$m: $f" "$B/tests/fault/drive" -c 01 -n 24 -o out -w want \
			fault $f -- gv-tokenize -m $m --text -o out t
	done
done

# ---- compiled forms
# Worth one, for its blanks; old enough in two seconds.
mkdir large
{ head -c 600000 /dev/zero | tr '\0' ' ' && cat good/tokenizer.json; } \
	>large/tokenizer.json
echo 'The <|im_start|> 123' >t
gv-tokenize -m good --text -o want.gv t
same() { # DESC: the ids are those of the file
	timeout 10 gv-tokenize -m large --text -o got.gv t
	gv-cut --fields tokens,targets,bytes got.gv | gv-stat --json |
		jq -c '[.records, .fields]' >got
	gv-cut --fields tokens,targets,bytes want.gv | gv-stat --json |
		jq -c '[.records, .fields]' >want
	ok "$1" cmp got want
}
I=large/.gv-tokenizer
sleep 2.1
same "the first opening"
ok "... leaves a compiled form" test -s $I
cp $I first
same "the second opening"
for n in 0 1 100 1259 4096 100000; do
	head -c $n first >$I
	same "cut at $n bytes it is not used"
done
ok "... but made again" cmp $I first
printf 'gv-tokenizer 5' | dd of=$I conv=notrunc 2>/dev/null
same "nor is another version's"
ok "... but made again" cmp $I first
rm $I
for kind in fifo directory link; do
	case $kind in
	fifo) mkfifo $I ;;
	directory) mkdir $I ;;
	link) echo mine >mine && ln -s ../mine $I ;;
	esac
	same "a $kind in its place"
	rm -r $I
done
is "... is let be" "$(cat mine)" mine
chmod a-w large
same "a directory that can't be written"
is "... has no compiled form" "$(find large -name '.*gv*')" ""
chmod u+w large
same "it can be again"
edit 'del(.model.merges[3:])'
{ head -c 600000 large/tokenizer.json && cat $J; } >other
mv other large/tokenizer.json
cp $J good
gv-tokenize -m good --text -o want.gv t
same "another vocabulary in its place"
mkdir blobs cache
mv large/tokenizer.json blobs/0
ln -s ../blobs/0 cache/tokenizer.json
sleep 2.1
ok "a vocabulary behind a link" gv-tokenize -m cache --text -o 1.gv t
ok "... is compiled beside the link" test -s cache/.gv-tokenizer
ok "... and taken from there" gv-tokenize -m cache --text -o 2.gv t
ok "... to the same ids" cmp 1.gv 2.gv
finish
