#!/bin/sh
# gv-model: fresh models, models out of others, what is in one, damage named.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/cli/ranks.sh
. "$SRC/tests/cli/ranks.sh"

printf 'what is the shape in the image? what colour is it? red green blue\n' \
	>words
ok "a vocabulary" gv-tokenize train --vocab 300 -o tok words
ok "a fresh model" gv-model init vlm_tiny --tokenizer tok -o m --seed 7
is "has all its files" "$(find m | sort | tr '\n' ' ')" "m m/config.json \
m/generation_config.json m/model.safetensors m/preprocessor_config.json \
m/tokenizer.json m/tokenizer_config.json "
is "with the tokenizer's vocabulary" \
	"$(jq '.text_config.vocab_size == .image_token_id + 1' m/config.json)" \
	true
gv-model init vlm_tiny --tokenizer tok -o m2 --seed 7
ok "the same seed gives the same weights" \
	cmp m/model.safetensors m2/model.safetensors
gv-model init vlm_tiny --tokenizer tok -o m2 --seed 8
ok "another one doesn't, and replaces the model" \
	sh -c '! cmp -s m/model.safetensors m2/model.safetensors'
is "nothing is left beside them" "$(ls)" "m
m2
tok
words"

gv-model show --json m >show.json
is "show counts bytes" "$(jq .bytes show.json)" \
	"$(jq '.parameters * 4' show.json)"
is "by part" "$(jq -c '[.parts[].part]' show.json)" \
	'["vision","projector","language"]'
is "that add up" "$(jq '([.parts[].bytes] | add) == .bytes' show.json)" true
is "as text, too" "$(gv-model show m | tail -1 | tr -s ' ')" \
	"all $(jq -r '"\(.tensors) \(.parameters) \(.bytes)"' show.json)"
is "tensors one by one" "$(gv-model show --tensors --json m |
	jq '.list | length')" "$(jq .tensors show.json)"
ok "with dtype and shape" sh -c "gv-model show --tensors m |
	grep -qx 'projector.*\.weight F32 ([0-9]*,[0-9]*)'"
is "digests" "$(gv-model show --digest --json m |
	jq -c '[.parts[].digest | length]')" '[64,64,64]'
is "which are what they were" "$(gv-model show --digest m)" \
	"$(gv-model show --digest m)"

ok "another resampler, and BF16" gv-model init vlm_tiny --tokenizer tok \
	-o p --dtype bf16 --set resampler.type=perceiver \
	--set resampler.rows=9 --set resampler.heads=2
is "are in it" "$(gv-model show --json p |
	jq -c '[.config.resampler, ([.parts[].dtype] | unique)]')" \
	'[{"type":"perceiver","rows":9,"heads":2,"blocks":1},["BF16"]]'
ok "a model type and a key that comes with it" gv-model init vlm_tiny \
	--tokenizer tok -o p --set text_config.model_type=llama \
	--set text_config.attention_bias=true --set resampler.type=pixelshuffle
is "are in it, and rows follow" "$(jq -c '[.text_config.attention_bias,
	.resampler]' p/config.json)" \
	'[true,{"type":"pixelshuffle","rows":64,"factor":2}]'
ok "a CLIP tower by name" gv-model init vlm_tiny --tokenizer tok -o p \
	--vision clip-large-p14-224 --set vision_config.num_hidden_layers=2 \
	--set vision_config.intermediate_size=8
is "with the layer before its last" "$(jq -c '[.vision_feature_layer,
	.vision_post_norm, .vision_config.model_type]' p/config.json)" \
	'[-2,false,"clip_vision_model"]'
rm -r p
jq '.text_config.num_hidden_layers = 1' m/config.json >one.json
ok "a configuration from a file" \
	gv-model init one.json --tokenizer tok -o f
is "is taken" "$(gv-model show --json f |
	jq .config.text_config.num_hidden_layers)" 1
jq '.vision_config.hidden_size = 32' m/config.json |
	jq '.vision_config + {vision_feature_layer: -1}' >tower.json
ok "a tower alone needs no tokenizer" gv-model init tower.json -o t
is "and has one part" "$(gv-model show --json t | jq -c '[.parts[].part]')" \
	'["vision"]'

# digests DIR: part and SHA-256 of those that it has.
digests() {
	gv-model show --digest --json "$1" |
		jq -r '.parts[] | select(.digest) | "\(.part) \(.digest)"'
}
ok "the decoder alone" gv-model export m --part language -o text
ok "the tower alone" gv-model export m --part vision -o tower
is "are models of their own" "$(jq -r .model_type text/config.json \
	tower/config.json | tr '\n' ' ')" "qwen2 siglip_vision_model "
is "with the names that others read" "$(gv-model show --tensors text |
	grep -c '^model\.layers\.[01]\.self_attn\.q_proj\.weight F32')" 2
is "with all of their files" "$(cd text && echo *) $(cd tower && echo *)" \
	"config.json generation_config.json model.safetensors tokenizer.json \
tokenizer_config.json config.json model.safetensors preprocessor_config.json"
ok "together again" gv-model join text tower -o joined --seed 3 \
	--resampler avgpool --set resampler.rows=16
is "they are what they were" \
	"$(digests joined | grep -v projector)" "$(digests m | grep -v projector)"
gv-model join m m -o joined2 --seed 3 --resampler avgpool \
	--set resampler.rows=16 >log
ok "out of models with both, too" \
	cmp joined/model.safetensors joined2/model.safetensors
is "it says what is fresh, and what is left out" \
	"$(grep -e fresh -e 'left out' log | tr -s ' ')" "vision is from m; 30 \
other tensors there are left out
language is from m; 41 other tensors there are left out
projector 4 15552 62208 F32, fresh"
is "tensor by tensor" "$(gv-model join text tower -o joined --json --tensors |
	jq -c '[.list[] | select(.fresh).name | split(".")[0]] | unique')" \
	'["projector","resampler"]'
is "a Perceiver of 64 rows is made unless asked" \
	"$(jq -c '.resampler | [.type, .rows]' joined/config.json)" \
	'["perceiver",64]'
jq 'del(.added_tokens[] | select(.content == "<|image|>"))' \
	tok/tokenizer.json >t.json
mkdir blind
mv t.json blind/tokenizer.json
jq 'del(.image_token)' tok/tokenizer_config.json >blind/tokenizer_config.json
jq 'del(.vocab_size)' text/config.json >text.json
gv-model init text.json --tokenizer blind -o plain
ok "a vocabulary without images" gv-model join plain tower -o joined --json
is "gets a token for them" "$(jq -c '[.image_token.new, .rows, .image_token.id]' \
	.out)" "[true,1,$(jq .vocab_size plain/config.json)]"
is "which the tokenizer knows" "$(jq -c '.added_tokens[-1] | [.id, .content]' \
	joined/tokenizer.json)" "$(jq -c '[.image_token_id, "<|image|>"]' \
	joined/config.json)"
echo '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}' >q
is "and finds" "$(gv-tokenize -m joined --prompt q |
	gv-stat --json - | jq -c .records)" 1

byte_ranks ranks
gv-model init text.json --tokenizer ranks -o ranked
must_fail 1 "a vocabulary of ranks gets no token for images" \
	gv-model join ranked tower -o not-joined
is "as is said" "$(grep -c "'ranked/bytes.tiktoken' has no room for a new token" \
	.err)" 1

ok "in shards" gv-model export m -o shards --shard-size 500k -q
is "of that size" "$(find shards -name 'model-*' -size -510k | wc -l)" 4
is "with an index" "$(jq .metadata.total_size \
	shards/model.safetensors.index.json)" "$(jq .bytes show.json)"
is "they hold the same numbers" "$(digests shards)" "$(digests m)"
for t in bf16 f16 f32; do
	gv-model export shards -o "as-$t" --dtype "$t" -q
done
is "other dtypes" "$(for t in bf16 f16 f32; do
	gv-model show --json as-$t | jq -c '[.parts[].dtype] | unique'
done | tr -d '\n')" '["BF16"]["F16"]["F32"]'
is "F32 is what it was" "$(digests as-f32)" "$(digests m)"
gv-model export as-bf16 -o wide --dtype f32 -q
gv-model export wide -o narrow --dtype bf16 -q
ok "BF16 comes through F32 as it was" \
	cmp as-bf16/model.safetensors narrow/model.safetensors

is "show takes layers together" "$(gv-model show m |
	grep -c '^ *q_proj.weight  2 x F32 (')" 2
is "memory grows with the batch" "$(for n in 64 128; do
	gv-model show --json --tokens $n m | jq .memory.training.activations
done | sort -n | uniq | wc -l)" 2
is "a cache is as large as its rows" "$(gv-model show --json --tokens 64 m |
	jq .memory.inference.cache)" "$((2 * 2 * 64 * 48 * 4))"

must_fail 2 "no command" gv-model
must_fail 2 "another command" gv-model frobnicate x
must_fail 2 "an unknown option" gv-model show --nonsense m
must_fail 2 "init without a place" gv-model init vlm_tiny --tokenizer tok
must_fail 2 "init without a tokenizer" gv-model init vlm_tiny -o x
must_fail 2 "init of no such preset" gv-model init vlm_huge --tokenizer tok \
	-o x
must_fail 2 "options of show with init" gv-model init vlm_tiny --json \
	--tokenizer tok -o x
must_fail 2 "options of init with show" gv-model show -o x m
must_fail 2 "a key that means nothing" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.hiden_size=64
must_fail 2 "a key of another model type" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.attention_bias=true
must_fail 2 "a setting without a value" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.hidden_size
must_fail 2 "no such tower" gv-model init vlm_tiny --tokenizer tok -o x \
	--vision clip
must_fail 2 "options of show with export" gv-model export --digest m -o x
must_fail 2 "options of join with export" gv-model export --seed 3 m -o x
must_fail 2 "options of export with join" gv-model join text tower -o x \
	--part vision
must_fail 2 "one model is nothing to join" gv-model join text -o x
must_fail 2 "export without a place" gv-model export m
must_fail 2 "no such part" gv-model export m --part head -o x
must_fail 1 "a part that isn't there" gv-model export text --part vision -o x
must_fail 1 "a text model is no tower" gv-model join text text -o x
must_fail 1 "a tower is no text model" gv-model join tower tower -o x
must_fail 1 "no such resampler" gv-model join text tower -o x \
	--resampler magic
must_fail 1 "an image token that is a word" gv-model join text tower -o x \
	--image-token a
must_fail 1 "more rows than patches" gv-model join text tower -o x \
	--resampler avgpool --set resampler.rows=400
must_fail 1 "other sizes than the tensors have" gv-model join text tower -o x \
	--set text_config.hidden_size=64
must_fail 2 "a key that means nothing to join" gv-model join text tower -o x \
	--set resampler.colour=red
must_fail 1 "export of a file" gv-model export words -o x
must_fail 1 "a size that does not fit" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.hidden_size=33
must_fail 1 "a size beyond reason" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.num_hidden_layers=99999
must_fail 1 "a vocabulary that is too small" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.vocab_size=10
must_fail 1 "no such tokenizer" gv-model init vlm_tiny --tokenizer none -o x
must_fail 1 "a text file for a configuration" gv-model init words \
	--tokenizer tok -o x
must_fail 1 "a directory for a configuration" gv-model init m \
	--tokenizer tok -o x
is "failures leave nothing" "$(find . -name 'x*')" ""
mkdir home
echo precious >home/thesis
must_fail 1 "a directory of other things is not replaced" \
	gv-model init vlm_tiny --tokenizer tok -o home
ok "and keeps them" grep -q precious home/thesis

must_fail 1 "show nothing" gv-model show none
must_fail 1 "show a file" gv-model show words
must_fail 1 "show an empty directory" gv-model show home

# damage DESC PATTERN: show names what was done to the copy d.
damage() {
	must_fail 1 "$1" gv-model show d
	cp "$T/.err" err
	ok "  is named: $2" grep -q -- "$2" err
	rm -rf d
	cp -R m d
}
cp -R m d
size=$(wc -c <m/model.safetensors)
head -c $((size - 1)) m/model.safetensors >d/model.safetensors
damage "cut weights" "model.safetensors'.*only"
: >d/model.safetensors
damage "empty weights" "0 bytes"
printf x >>d/model.safetensors
damage "a byte too many" "1 bytes behind the last tensor"
sed 's/"projector/"projektor/' m/model.safetensors >d/model.safetensors
damage "a renamed tensor" "unexpected tensor 'projektor"
sed 's/"dtype":"F32"/"dtype":"F33"/' m/model.safetensors >d/model.safetensors
damage "an unknown dtype" "dtype 'F33' is not supported"
rm d/model.safetensors
damage "no weights" "holds neither model.safetensors nor"
jq '.text_config.num_hidden_layers = 3' m/config.json >d/config.json
damage "a layer that is not there" "layers.2.* is missing"
jq '.text_config.intermediate_size = 128' m/config.json >d/config.json
damage "another width" "config.json asks for"
jq '.model_type = "llama"' m/config.json >d/config.json
damage "another model type" "'vocab_size' is missing"
echo '{' >d/config.json
damage "a damaged configuration" "not valid JSON"
rm d/config.json
mkfifo d/config.json
damage "a FIFO" "not a regular file"

must_fail 1 "export of a damaged model" sh -c '
	head -c 100000 m/model.safetensors >d/model.safetensors
	gv-model export d -o x'
is "leaves nothing" "$(find . -name 'x*')" ""
must_fail 1 "a disk that is full" sh -c 'ulimit -f 100
	trap "" XFSZ
	gv-model export m -o x'
is "leaves nothing, either" "$(find . -name 'x*')" ""
must_fail 1 "show to a full device" sh -c 'gv-model show m >/dev/full'
must_fail 1 "show to a closed stdout" sh -c 'gv-model show m >&-'
finish
