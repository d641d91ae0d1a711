#!/bin/sh
# gv-tokenize: lines in, records out, nothing bad passes unnamed; and back.
. "$(dirname "$0")/tap.sh"
. "$SRC/tests/cli/stream.sh"

G=$SRC/tests/golden/tokens
stat() { # FILE FILTER
	gv-stat --json "$1" | jq -rc "$2"
}
back() { # DIR FILE: each record as text
	gv-tokenize -m "$1" --decode --specials "$2"
}

# ---- training
ok "train nano" gv-tokenize train -v 700 -o nano "$G/corpus.txt"
is "two files, no other" "$(find nano -type f | sort | tr '\n' ' ')" \
	"nano/tokenizer.json nano/tokenizer_config.json "
is "700 ids" "$(jq '(.model.vocab | length) + (.added_tokens | length)' \
	nano/tokenizer.json)" 700
ok "train chatml" gv-tokenize train --vocab 700 --template chatml -o chatml \
	"$G/corpus.txt"
ok "train again" gv-tokenize train -v 700 -o again - <"$G/corpus.txt"
ok "... the same bytes" cmp nano/tokenizer.json again/tokenizer.json
jq -Rsc '{text: .}' "$G/corpus.txt" >corpus.jsonl
ok "train on JSON lines" gv-tokenize train -v 700 -o again corpus.jsonl
ok "... the same bytes" cmp nano/tokenizer.json again/tokenizer.json
cat >chat.jsonl <<'EOF'
{"id": "a", "messages": [{"role": "user", "content": "ab ab"}, {"role": "assistant", "content": [{"type": "text", "text": "ab"}]}]}
{"id": "b", "conversations": [[{"role": "user", "content": "ab"}], [{"role": "user", "content": "ab"}]]}
EOF
ok "train on conversations" gv-tokenize train -v 267 -o again chat.jsonl
is "... their text, not their keys" \
	"$(jq -c .model.merges again/tokenizer.json)" '[["a","b"]]'
ok "few words" sh -c 'echo abab | gv-tokenize train -v 5000 -o few --verbose \
	2>said'
is "... are said to be" "$(cat said)" \
	"gv-tokenize: a vocabulary of 267 ids: no pair of tokens is left that occurs twice"
ok "train for another family" gv-tokenize train -v 400 --split smollm \
	--template none --special '<|end|>' --special '<|x|>' --threads 2 \
	--memory 16Mi -o other "$G/corpus.txt"
is "... its cut, normaliser and specials" "$(jq -c '[.normalizer,
	.pre_tokenizer.pretokenizers[0].type, .added_tokens[].content]' \
	other/tokenizer.json)" '[null,"Digits","<|end|>","<|x|>"]'
is "... of which the first ends documents" \
	"$(jq -c .eos_token other/tokenizer_config.json)" '"<|end|>"'
printf 'a1b\na1b\n' >two.txt
ok "train by a pattern" gv-tokenize train -v 300 --template none \
	--split '[a-z0-9]|\n.' -o re two.txt
is "... which cuts so" "$(jq -c .model.merges re/tokenizer.json)" '[]'
ok "train on lines" gv-tokenize train -v 300 --template none --split '(?s).+' \
	--normalizer none --lines -o re two.txt
is "... without newlines" "$(jq -c .model.merges re/tokenizer.json)" \
	'[["1","b"],["a","1b"]]'
must_fail 2 "a special token twice" gv-tokenize train -v 300 -o x \
	--special '<|bos|>' two.txt
must_fail 1 "a pattern that is none" gv-tokenize train -v 300 --split '(' \
	-o x two.txt
must_fail 2 "too little memory" gv-tokenize train -v 300 --memory 1Mi -o x \
	two.txt
must_fail 2 "lines and JSON lines" gv-tokenize train -v 300 --lines --jsonl \
	-o x two.txt
must_fail 2 "no size" gv-tokenize train -o x "$G/corpus.txt"
must_fail 2 "no directory" gv-tokenize train -v 300 "$G/corpus.txt"
must_fail 2 "too small" gv-tokenize train -v 200 -o x "$G/corpus.txt"
must_fail 2 "unknown template" gv-tokenize train -v 300 --template x -o x \
	"$G/corpus.txt"
must_fail 2 "unknown option" gv-tokenize train --nonsense
must_fail 1 "missing text" gv-tokenize train -v 300 -o x missing
must_fail 1 "a directory as text" gv-tokenize train -v 300 -o x nano
must_fail 1 "bad JSON to train on" sh -c \
	'echo "{" | gv-tokenize train -v 300 --jsonl -o x'
must_fail 1 "JSON without text to train on" sh -c \
	'echo "{\"a\": 1}" | gv-tokenize train -v 300 --jsonl -o x'
is "no directory is left of these" "$(ls -d x 2>/dev/null)" ""
must_fail 1 "a directory that cannot be made" \
	gv-tokenize train -v 300 -o no/such/dir "$G/corpus.txt"
is "... is said before any text is read" "$(gv-tokenize train -v 300 \
	-o no/such/dir missing 2>&1 | grep -c no/such/dir)" 1
must_fail 1 "a file where the directory should be" \
	gv-tokenize train -v 300 -o two.txt "$G/corpus.txt"
said "... is said to be one" "'two.txt' is not a directory"
cp -r nano mixed
echo '{{ "ASSISTANT:" }}' >mixed/chat_template.jinja
must_fail 1 "a directory with another vocabulary's template" \
	gv-tokenize train -v 300 --template chatml -o mixed "$G/corpus.txt"
said "... is named" "'mixed/chat_template.jinja' is another vocabulary's"
ok "... and stays as it was" cmp mixed/tokenizer.json nano/tokenizer.json
rm mixed/chat_template.jinja
ok "another vocabulary in its place" gv-tokenize train -v 300 \
	--template chatml -o mixed "$G/corpus.txt"
is "... and its template" "$(gv-tokenize -m mixed --chat --show chat.jsonl |
	grep -c 'im_start')" 4
mkdir mixed/old
mv mixed/*.json mixed/old
mkdir mixed/tokenizer_config.json
must_fail 1 "a directory by the name of a file" \
	gv-tokenize train -v 300 -o mixed "$G/corpus.txt"
rmdir mixed/tokenizer_config.json
# Any of the calls fails that write the two files and put them in place; a
# fault in telling the disk of it, at last, comes when they are there.
gv-tokenize train -v 300 -o new "$G/corpus.txt"
mixed=''
for f in write:ENOSPC fsync:EIO rename:EIO; do
	failed=0
	for i in 1 2 3 4 5 6 7; do
		cp mixed/old/*.json mixed
		head -c 8 /dev/zero >count
		want=new
		LD_PRELOAD=$B/tests/fault/fail.so GV_FAULT=$f:$i GV_FAULT_FD=9 \
			gv-tokenize train -v 300 -o mixed "$G/corpus.txt" \
			9<>count 2>said || {
			failed=$((failed + 1))
			grep -q "sync 'mixed'" said || want=mixed/old
		}
		diff -r -x old mixed $want >/dev/null || mixed="$mixed $f:$i"
	done
	echo "$f $failed"
done >faults
is "the files are both old or both new whatever fails" "$mixed" ''
is "... which is said" "$(cat faults)" "write:ENOSPC 2
fsync:EIO 3
rename:EIO 6"
is "... and nothing else stays" "$(ls -A mixed)" "old
tokenizer.json
tokenizer_config.json"

# ---- statistics
ok "stats" gv-tokenize stats -m nano --against chatml --json -o stats.json \
	"$G/corpus.txt"
is "... of both, on the same text" "$(jq -c '[(.vocabularies[].model),
	.bytes, .documents]' stats.json)" "[\"nano\",\"chatml\",$(($(wc -c \
	<"$G/corpus.txt") - $(wc -l <"$G/corpus.txt"))),$(grep -c \
	'[^[:blank:]]' "$G/corpus.txt")]"
is "... by the same rules as --text" \
	"$(jq '.vocabularies[0].tokens' stats.json)" "$(gv-tokenize -m nano \
	--text "$G/corpus.txt" | gv-stat --json | jq '.fields[0].values - .records')"
is "... as a table" "$(gv-tokenize stats -m nano "$G/corpus.txt" |
	sed -n 's/^tokens   *//p')" "$(jq '.vocabularies[0].tokens' stats.json)"
must_fail 2 "stats of nothing" gv-tokenize stats "$G/corpus.txt"
must_fail 2 "stats in two forms" gv-tokenize stats -m nano --jsonl --whole -
must_fail 1 "stats of no vocabulary" gv-tokenize stats -m nano --against no \
	"$G/corpus.txt"
must_fail 1 "stats of a missing file" gv-tokenize stats -m nano missing
must_fail 1 "stats of bad JSON" sh -c \
	'echo "{}" | gv-tokenize stats -m nano --jsonl'

# ---- chat
cat >c.jsonl <<'EOF'
{"id": "two", "image": "x.png", "conversations": [[{"role": "user", "content": "Shape? <|image|>"}, {"role": "assistant", "content": "circle"}], [{"role": "user", "content": "Colour?"}, {"role": "assistant", "content": "red"}]]}

{"id": 7, "image": ["a", "b"], "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " or "}, {"type": "image"}]}, {"role": "assistant", "content": "a"}]}
{"messages": [{"role": "user", "content": "hi"}]}
EOF
ok "chat" gv-tokenize -m nano --chat --image-rows 3 -o c.gv c.jsonl
is "fields" "$(stat c.gv '[.kind, (.fields[] | [.name, .dtype])]')" \
	'["tokens",["tokens","I32"],["targets","I32"],["bytes","I32"],["image_at","I32"],["starts","I32"]]'
is "keys: id, number, line" "$(keys c.gv)" "two 7 4 "
is "provenance" "$(stat c.gv '.prog[0] | [.name, .args, (.digests | keys)]')" \
	'["gv-tokenize",["--chat","--image-rows","3"],["tokenizer"]]'
P='<|image|><|image|><|image|>'
is "rendered" "$(back nano c.gv)" \
"<|bos|><|user_start|>${P}Shape? <|image|><|user_end|><|assistant_start|>circle<|assistant_end|><|bos|><|user_start|>${P}Colour?<|user_end|><|assistant_start|>red<|assistant_end|>
<|bos|><|user_start|>$P or $P<|user_end|><|assistant_start|>a<|assistant_end|>
<|bos|><|user_start|>hi<|user_end|>"
is "without specials" "$(gv-tokenize -m nano --decode c.gv | head -1)" \
	"Shape? <|image|>circleColour?red"
is "image_at: 4 runs, the first at 2" \
	"$(stat c.gv '.fields[3] | [.shape[0], .min]')" '[[0,2],2]'
is "starts" "$(stat c.gv '.fields[4] | [.shape[0], .min]')" '[[1,2],0]'
ok "chat in ChatML" gv-tokenize -m chatml --chat --image-rows 1 -o m.gv c.jsonl
is "rendered" "$(back chatml m.gv | tail -3)" "<|im_start|>user
hi<|im_end|>"
must_fail 1 "images without rows" gv-tokenize -m nano --chat c.jsonl
ok "rows of a model" sh -c 'gv-model init vlm_tiny --tokenizer nano \
	-o tiny && gv-tokenize -m tiny --chat c.jsonl >tiny.gv'
is "... are 16" "$(back nano tiny.gv | head -1 | grep -o '<|image|>' | wc -l)" 33
must_fail 1 "a path too many" sh -c 'jq -c ".image = [\"a\", \"b\", \"c\"]" \
	c.jsonl | sed -n 2p | gv-tokenize -m nano --chat --image-rows 3'
echo '{"image": "", "messages": [{"role": "user", "content": "q"}]}' >i.jsonl
must_fail 1 "a path without a name" gv-tokenize -m nano --chat \
	--image-rows 1 i.jsonl
said "... is no picture" "'image': neither a path"
# gv-decode takes these lines, one with --field messages
echo '{"image": {"bytes": "aa", "path": "x"}, "messages": [{"role": "user", "content": "q"}]}
{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_image", "image_url": "x"}, {"type": "text", "text": "q"}]}]}' >i.jsonl
is "pictures as other data sets have them" "$(gv-tokenize -m nano --chat \
	--image-rows 1 i.jsonl | gv-tokenize -m nano --decode --specials)" \
	"<|bos|><|user_start|><|image|>q<|user_end|>
<|bos|><|user_start|><|image|><|image|>q<|user_end|>"

# ---- prompts
cat >p.jsonl <<'EOF'
{"id": "x", "image": "i.png", "messages": [{"role": "user", "content": "q"}], "answers": ["1", "2"], "task": "vqa"}
{"id": "y", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}]}
{"id": "z", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "w"}], "answers": "a"}
EOF
ok "prompts" gv-tokenize -m nano --prompt --image-rows 2 -o p.gv p.jsonl
is "rendered" "$(back nano p.gv)" \
"<|bos|><|user_start|><|image|><|image|>q<|user_end|><|assistant_start|>
<|bos|><|user_start|>q<|user_end|><|assistant_start|>
<|bos|><|user_start|>q<|user_end|><|assistant_start|>"
is "fields" "$(stat p.gv '[.fields[].name]')" \
	'["tokens","image_at","messages","answers","task","options"]'
cat >"$T/plain.c" <<'EOF'
#include "stream.h"
#include <stdio.h>
#include <stdlib.h>
int
main(void)
{
	struct gv_error e = {0};
	struct gv_reader *r;
	struct gv_rec rec;
	if (gv_reader_open(&r, NULL, &e))
		return 1;
	while (gv_reader_next(r, &rec, &e) > 0)
		for (int i = 2; i < 5; i++) {
			json_t *v;
			char *s;
			if (gv_value_json(&rec.v[i], &v))
				return 1;
			s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
			printf("%s%s", s, i == 4 ? "\n" : " ");
			free(s);
			json_decref(v);
		}
	gv_reader_close(&r);
	return e.code != 0;
}
EOF
build plain plain.c
is "what the prompts came from" "$(./plain <p.gv)" \
'[{"role":"user","content":"q"}] ["1","2"] "vqa"
[{"role":"user","content":"q"}] ["yes"] null
[{"role":"user","content":"q"}] "a" null'
cat >mc.jsonl <<'EOF'
{"id": "m1", "messages": [{"role": "user", "content": "q"}], "answers": ["B"], "task": "mmmu", "options": ["red", "blue"], "question_type": "colour", "level": 1}
{"id": "m2", "messages": [{"role": "user", "content": "q"}], "answers": ["7"], "task": "mmmu", "question_type": "count"}
EOF
ok "keys to keep" gv-tokenize -m nano --prompt --keep question_type \
	--keep level -o mc.gv mc.jsonl
is "... are fields" "$(stat mc.gv '[.fields[5:][].name]')" \
	'["options","question_type","level"]'
is "... and provenance" "$(stat mc.gv '.prog[0].args | tojson')" \
	'["--prompt","--keep","question_type","--keep","level"]'
gv-model init vlm_tiny --tokenizer nano -o tiny2
ok "... that reach the reward" sh -c 'gv-rollout -m tiny2 --max-tokens 4 \
	--group 2 mc.gv | gv-reward --summary --by question_type --json >by.json'
is "... and its report" \
	"$(jq -c '[.tasks[0].types[] | [.field, .type, .n]]' by.json)" \
	'[["question_type","colour",2],["question_type","count",2]]'
must_fail 2 "--keep is for prompts" gv-tokenize -m nano --chat --keep a c.jsonl
must_fail 1 "a key that is a field already" gv-tokenize -m nano --prompt \
	--keep tokens p.jsonl
must_fail 1 "nothing but an answer" sh -c 'echo \
	"{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}" |
	gv-tokenize -m nano --prompt'

echo '{"image": "x", "messages": [{"role": "system", "content": [{"type": "image"}]}, {"role": "user", "content": "q"}]}' >sys.jsonl
must_fail 1 "a system message with an image" gv-tokenize -m nano --chat \
	--image-rows 2 sys.jsonl
said "... is named" "line 1: message 1: the system message is not text"
# ---- templates
echo '{"id": "t", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "python", "text": "1+1"}, {"type": "python_output", "text": "2"}, {"type": "text", "text": "two"}]}]}' >m.jsonl
shown() { # OPTION...
	gv-tokenize -m chatml "$@" --show m.jsonl | sed 1d | tr -d '[]'
}
is "a template by name" "$(shown --template smollm2 --prompt)" \
'<|im_start|>system\n
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n
<|im_start|>user\n
hi<|im_end|>\n
<|im_start|>assistant\n'
is "no thoughts" "$(shown --template qwen3 --prompt --no-thinking |
	tr -d '\n' | grep -o '<|im_start|>assistant.*')" '<|im_start|>assistant\n<think>\n\n</think>\n\n'
is "marks of a tool: trained, its answer not" "$(shown --chat --tool-start '<<' \
	--tool-end = --tool-output-end '>>' | tail -1)" \
'{<}{<}{1}{+}{1}{=}2>>{tw}{o}{<|im_end|>}\n'
is "are provenance" "$(gv-tokenize -m chatml --chat --template chatml \
	--tool-start '<<' --tool-end = m.jsonl | stat - '.prog[0].args | tojson')" \
	'["--chat","--template","chatml","--tool-start","<<","--tool-end","="]'
must_fail 1 "a tool without marks" gv-tokenize -m chatml --chat m.jsonl
must_fail 2 "half a mark" gv-tokenize -m chatml --chat --tool-start '<<' m.jsonl
must_fail 2 "a template that isn't there" gv-tokenize -m chatml --chat \
	--template vicuna c.jsonl
said "... is named" "no template 'vicuna'"
must_fail 1 "a date where the template says none" gv-tokenize -m chatml \
	--chat --date '1 Jan 2027' c.jsonl
said "... is named" "chatml has no place for a date"
must_fail 1 "no thoughts where it never has any" gv-tokenize -m chatml \
	--prompt --no-thinking c.jsonl
must_fail 1 "one that the vocabulary can't write" gv-tokenize -m chatml --chat \
	--template llama3 c.jsonl
must_fail 2 "templates are for chats" gv-tokenize -m chatml --text \
	--template chatml t.txt
cp -r chatml strange
echo '{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}' \
	>strange/chat_template.jinja
must_fail 1 "a model's template that isn't known" gv-tokenize -m strange \
	--prompt p.jsonl
said "... is refused, not taken for another" "none of those built in"
is "... unless one is named" "$(gv-tokenize -m strange --prompt --image-rows 1 \
	--template chatml p.jsonl | gv-stat --json - | jq .records)" 3
echo "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_end|>' }}" \
	>strange/chat_template.jinja
ok "one that is, in a file of its own" gv-tokenize -m strange --prompt \
	--image-rows 1 p.jsonl
yes '<|im_start|>system' | head -c 1000000 >strange/chat_template.jinja
must_fail 1 "one of 1 MB without an end of a turn" timeout 2 \
	gv-tokenize -m strange --prompt --image-rows 1 p.jsonl
{ yes "'<|im_start|>system'" | head -c 1000000; echo '<|im_end|>'; } \
	>strange/chat_template.jinja
ok "... or with one at its end" timeout 2 gv-tokenize -m strange --prompt \
	--image-rows 1 p.jsonl
echo '{"tools": [{"name": "f"}], "messages": [{"role": "user", "content": "hi"}]}' \
	>tools.jsonl
must_fail 1 "tools where none can be" gv-tokenize -m chatml --chat tools.jsonl
said "... are named" "chatml has no place for 'tools'"

# ---- tiles
printf '%s\n' '{"key":"two","tiles":[[1,2]]}' '{"key":"7","tiles":[[0,0],[1,1]]}' |
	"$MK" image 'tiles=I32 (P,2)' >tiles.gv
ok "pictures in tiles" gv-tokenize -m nano --chat --image-rows 2 \
	--tiles tiles.gv -o tiled.gv c.jsonl
is "... take a run each, and one for the whole" "$(stat tiled.gv \
	'.fields[3] | [.shape[0], .min]') $(gv-tokenize -m nano --chat \
	--image-rows 2 --tiles tiles.gv --show c.jsonl | grep -o ' x2' | wc -l)" \
	'[[0,6],2] 9'
is "... which is provenance" "$(stat tiled.gv '.prog[0].args | tojson')" \
	'["--chat","--image-rows","2","--tiles"]'
echo '{"key":"two","tiles":[[1,2]]}' | "$MK" image 'tiles=I32 (P,2)' >one.gv
must_fail 1 "a line without tiles" gv-tokenize -m nano --chat --image-rows 2 \
	--tiles one.gv c.jsonl
said "... is named" "line 3: '7' has no record of tiles"
echo '{"key":"two","tiles":[[1,2],[0,0]]}' |
	"$MK" image 'tiles=I32 (P,2)' >more.gv
must_fail 1 "tiles of more pictures" gv-tokenize -m nano --chat --image-rows 2 \
	--tiles more.gv c.jsonl
said "... are counted" "1 images in the messages, but tiles of 2 pictures"
gv-cat one.gv one.gv >twice.gv
must_fail 1 "tiles twice" gv-tokenize -m nano --chat --tiles twice.gv c.jsonl
for bad in -1,2 0,2 70,70; do
	echo '{"key":"two","tiles":[['$bad']]}' |
		"$MK" image 'tiles=I32 (P,2)' >odd.gv
	must_fail 1 "$bad tiles" gv-tokenize -m nano --chat --tiles odd.gv c.jsonl
done
must_fail 1 "a stream without tiles" gv-tokenize -m nano --chat --tiles p.gv \
	c.jsonl
must_fail 2 "tiles are for chats" gv-tokenize -m nano --text --tiles one.gv

# ---- to look at
is "tokens to look at" "$(gv-tokenize -m nano --chat --image-rows 3 --show \
	c.jsonl)" \
'two: 45 tokens, 10 trained on, 2 images
[<|bos|>][<|user_start|>][<|image|> x3][S][ha][p][e][?][ ][<][|][i][m][a][g][e][|][>][<|user_end|>][<|assistant_start|>]{c}{ir}{c}{l}{e}{<|assistant_end|>}
[<|bos|>][<|user_start|>][<|image|> x3][C][ol][o][u][r][?][<|user_end|>][<|assistant_start|>]{r}{e}{d}{<|assistant_end|>}
7: 15 tokens, 2 trained on, 2 images
[<|bos|>][<|user_start|>][<|image|> x3][ o][r][ ][<|image|> x3][<|user_end|>][<|assistant_start|>]{a}{<|assistant_end|>}
4: 5 tokens, 0 trained on, 0 images
[<|bos|>][<|user_start|>][h][i][<|user_end|>]'
is "newlines and odd bytes" "$(printf 'a\377\001' |
	gv-tokenize -m nano --text --whole --show | tail -1)" \
	'[<|bos|>]{a}{\xff}{\x01}'
yes "$(printf 'x\302\233y')" | head -50 >c1.txt
gv-tokenize train -v 300 --template none --split '(?s).+' --lines -o c1 c1.txt
is "no command reaches a terminal" "$(printf 'x\302\233y' |
	gv-tokenize -m c1 --text --show | tail -1)" '[x\xc2\x9by]'
must_fail 2 "--show is no stream of tokens" gv-tokenize -m nano --decode --show
must_fail 2 "no bad lines are let pass where none are read" \
	gv-tokenize -m nano --decode --max-errors 1 c.gv

# ---- text
printf 'first line\n\n  \nsecond <|bos|>' >t.txt
ok "documents" gv-tokenize -m nano --text -o t.gv t.txt
is "a line each" "$(back nano t.gv)" "<|bos|>first line
<|bos|>second <|bos|>"
is "keys are lines" "$(keys t.gv)" "1 4 "
is "no images" "$(stat t.gv '[.fields[].name]')" '["tokens","targets","bytes"]'
is "bytes add up to the text" \
	"$(stat t.gv '.fields[2] | .values * .mean | round')" 24
ok "whole" gv-tokenize -m nano --text --whole -o w.gv t.txt t.txt
is "a file each" "$(back nano w.gv | tail -4)" "<|bos|>first line

  
second <|bos|>"
printf '%s\n' '{"id": 5, "text": "one\ntwo"}' >t.jsonl
is "JSON lines by name" "$(gv-tokenize -m chatml --text t.jsonl |
	gv-tokenize -m chatml --decode --specials)" "one
two<|endoftext|>"
is "or by option, with its id" "$(gv-tokenize -m nano --text --jsonl <t.jsonl |
	gv-keys)" 5
ok "nothing in" sh -c 'gv-tokenize -m nano --text </dev/null >none.gv'
is "... is a valid stream of nothing" "$(stat none.gv .records)" 0
ok "... of conversations, too" sh -c \
	'gv-tokenize -m nano --chat </dev/null | gv-stat --check'
head -c 20000 /dev/urandom >random
ok "random bytes as one document" sh -c 'gv-tokenize -m nano --text --whole \
	random | gv-stat --check'

printf 'good\nbad \377\n' >u.txt
ok "bytes that are not UTF-8" gv-tokenize -m nano --text -o u.gv u.txt
must_fail 1 "... are refused with --strict" gv-tokenize -m nano --text \
	--strict u.txt
said "... and named" "'u.txt': line 2: byte 5 is not UTF-8"
must_fail 2 "--strict is for text" gv-tokenize -m nano --chat --strict c.jsonl

# ---- lengths
ok "a cut" gv-tokenize -m nano --chat --image-rows 3 --max-length 6 -o l.gv \
	c.jsonl --max-errors 1
is "... keeps images, or drops the record" "$(back nano l.gv)" \
"<|bos|><|user_start|>${P}S<|bos|><|user_start|>${P}C
<|bos|><|user_start|>hi<|user_end|>"
is "... and counts it" "$(stat l.gv .bad)" 1
must_fail 1 "images that don't fit" gv-tokenize -m nano --chat --image-rows 3 \
	--max-length 4 -o l2.gv c.jsonl
said "... are named" "line 1: conversation 1: the images don't fit into 4"
must_fail 1 "a prompt that doesn't fit" gv-tokenize -m nano --prompt \
	--image-rows 2 --max-length 5 p.jsonl
is "documents are cut" "$(gv-tokenize -m nano --text --max-length 3 t.txt |
	stat - '.fields[0].shape[0]')" '[3,3]'

# ---- threads, order, errors
i=0
while [ $i -lt 300 ]; do cat c.jsonl; i=$((i + 1)); done >many.jsonl
ok "one thread" gv-tokenize -m nano --chat --image-rows 3 --threads 1 \
	-o 1.gv many.jsonl
is "900 records" "$(stat 1.gv .records)" 900
for t in 2 5; do
	ok "$t threads" gv-tokenize -m nano --chat --image-rows 3 \
		--threads $t -o $t.gv - <many.jsonl
	ok "... the same bytes" cmp 1.gv $t.gv
done
cat >bad.jsonl <<'EOF'
{"messages": [{"role": "user", "content": "a"}]}
{"messages": [{"role": "user", "content": "a"}]
{"messages": [{"role": "user", "content": "\u0000"}]}
{"messages": [{"role": "user", "content": "\ud800"}]}
{"messages": [{"role": "king", "content": "a"}]}
{"messages": "a"}
{"id": [], "messages": [{"role": "user", "content": "a"}]}
{"id": 1, "id": 2, "messages": [{"role": "user", "content": "a"}]}
{"messages": [{"role": "user", "content": "b"}]}
EOF
printf '{"messages": [{"role": "user", "content": "\377"}]}\n[]\n' >>bad.jsonl
must_fail 1 "a bad line" gv-tokenize -m nano --chat -o bad.gv bad.jsonl
said "... is named" "'bad.jsonl': line 2: not valid JSON: "
is "... and leaves no output" "$(ls bad.gv .bad.gv* 2>/dev/null)" ""
gv-tokenize -m nano --chat --max-errors 8 -o bad.gv bad.jsonl 2>said
is "one more than allowed" "$? $(grep -c "^gv-tokenize: 'bad" said)" "1 9"
ok "nine bad lines let pass" sh -c \
	'gv-tokenize -m nano --chat --max-errors 9 bad.jsonl >bad.gv 2>said'
is "... are named" "$(grep -c "line [2-8]:\|line 1[01]:" said)" 9
is "... and counted" "$(stat bad.gv '[.records, .bad]')" '[2,9]'
is "... the good ones are there" "$(back nano bad.gv)" \
"<|bos|><|user_start|>a<|user_end|>
<|bos|><|user_start|>b<|user_end|>"
is "a stream that failed has no end" "$(gv-tokenize -m nano --chat bad.jsonl \
	2>/dev/null | gv-stat --check 2>/dev/null; echo $?)" 1
head -c 70000000 /dev/zero | tr '\0' a >long
must_fail 1 "a line of 70 MB" gv-tokenize -m nano --text -o big.gv long
rm long

# ---- decoding
is "ids as numbers" "$(printf '1 2\n\n690 64\n' |
	gv-tokenize -m nano --decode --ids --specials)" '"#

<|bos|>a'
mkfifo ids
has() { # FILE TEXT: within 5 s
	i=0
	until [ "$(cat "$1")" = "$2" ] || [ $i -eq 100 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	[ $i -lt 100 ]
}
gv-tokenize -m nano --decode --ids ids >text &
exec 3>ids
printf '64 127 ' >&3
ok "text comes with its ids, but no part of a character" has text a
printf '10' >&3
printf '2 ' >&3
ok "... which comes when it is whole" has text "a$(printf '\303\251')"
printf '127\n64 127' >&3
exec 3>&-
wait
is "... or when the line ends" "$(od -An -tx1 text | tr -d ' \n')" \
	61c3a9c30a61c30a
for t in 1 3; do
	gv-tokenize -m nano --text --threads $t ids |
		gv-tokenize -m nano --decode >text &
	exec 3>ids
	echo one >&3
	ok "lines are tokenized as they come, $t threads" has text one
	printf 'two\nthr' >&3
	ok "... whole ones" has text "one
two"
	echo ee >&3
	exec 3>&-
	wait
	is "... all of them" "$(cat text)" "one
two
three"
done
gv-tokenize -m nano --decode ids >text &
exec 3>ids
cat t.gv >&3
ok "records, too, are decoded as they come" has text "first line
second <|bos|>"
cat t.gv >&3
exec 3>&-
wait
is "... all of them" "$(wc -l <text)" 4
must_fail 1 "an id outside" sh -c 'echo 700 | gv-tokenize -m nano --decode --ids'
said "... is named" "line 1: id 700"
for bad in -1 1x 99999999999 1.5; do
	must_fail 1 "'$bad' is no id" sh -c \
		"echo '$bad' | gv-tokenize -m nano --decode --ids"
done
must_fail 1 "tokens of another vocabulary" gv-tokenize -m chatml --decode t.gv
said "... is said" "another vocabulary"
ok "a field of it" gv-cut --fields targets t.gv -o nofield.gv
must_fail 1 "a stream without tokens" gv-tokenize -m nano --decode nofield.gv

# ---- command lines, models
must_fail 2 "no mode" gv-tokenize -m nano t.txt
must_fail 2 "two modes" gv-tokenize -m nano --text --chat t.txt
must_fail 2 "no model" gv-tokenize --text t.txt
must_fail 2 "an unknown option" gv-tokenize -m nano --text --nonsense
must_fail 2 "--whole is for text" gv-tokenize -m nano --chat --whole c.jsonl
must_fail 2 "--ids is for decoding" gv-tokenize -m nano --text --ids t.txt
must_fail 2 "--image-rows is not for text" gv-tokenize -m nano --text \
	--image-rows 3 t.txt
must_fail 2 "rows out of range" gv-tokenize -m nano --chat --image-rows 0
must_fail 1 "no such model" gv-tokenize -m missing --text t.txt
must_fail 1 "a model without vocabulary" gv-tokenize -m "$T" --text t.txt
mkdir broken
head -c 3000 nano/tokenizer.json >broken/tokenizer.json
must_fail 1 "a cut vocabulary" gv-tokenize -m broken --text t.txt
must_fail 1 "no such file" gv-tokenize -m nano --text t.txt missing
must_fail 1 "a directory" gv-tokenize -m nano --text nano
cp c.gv good.gv
bad_input gv-tokenize -m nano --decode
for f in random text c.gv; do
	must_fail 1 "chat: $f" gv-tokenize -m nano --chat -o out.gv $f
done
is "nothing is left of it" "$(find . -name out.gv -o -name '*.tmp')" ""
bad_output gv-tokenize -m nano --text t.txt
bad_output gv-tokenize -m nano --decode c.gv
for as in "" --show; do
	# shellcheck disable=SC2086 # no argument where there is none
	unread t.txt gv-tokenize -m nano --text $as
done
finish
