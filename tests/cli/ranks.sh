# A vocabulary that is no tokenizer.json.
# shellcheck shell=sh

# byte_ranks DIR: makes the directory of a tiktoken list, the ranks of all
# bytes, with one special token.
byte_ranks() {
	mkdir "$1"
	awk 'BEGIN {
		s = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		s = s "0123456789+/"
		for (i = 0; i < 256; i++)
			print substr(s, int(i / 4) + 1, 1) \
			    substr(s, i % 4 * 16 + 1, 1) "== " i
	}' >"$1/bytes.tiktoken"
	echo '{"tiktoken":{"pat_str":"[a-z]+|.",
	    "special_tokens":{"<|end|>":256}}}' >"$1/tokenizer_config.json"
}
