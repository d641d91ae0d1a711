#!/bin/sh
# gv-model: fresh models, models out of others, what is in one, damage named.
# shellcheck source=tests/cli/tap.sh
. "$(dirname "$0")/tap.sh"

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
must_fail 2 "a setting without a value" gv-model init vlm_tiny \
	--tokenizer tok -o x --set text_config.hidden_size
must_fail 2 "no such tower" gv-model init vlm_tiny --tokenizer tok -o x \
	--vision clip
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

must_fail 1 "show to a full device" sh -c 'gv-model show m >/dev/full'
must_fail 1 "show to a closed stdout" sh -c 'gv-model show m >&-'
finish
