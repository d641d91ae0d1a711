# The records of the easy-VQA demo, from its lists of [question, answer, image].
# Lists are grouped by image, in the order of the images' numbers.

def user: {role: "user", content: .[0]};
def assistant: {role: "assistant", content: .[1]};
def path: "images/\(.).png";

# A line an image, each question a conversation of its own: as turns of one
# conversation later answers could be read off earlier ones.
def conversations:
	group_by(.[2])[]
	| {id: "\(.[0][2])", image: (.[0][2] | path),
	   conversations: map([user, assistant])};

# A question without its colour and shape, and what yes or no says to it.
def yesno: .[1] | IN("yes", "no");
def wording:
	.[0] | gsub("\\b(red|green|blue|black|teal|brown|gray|yellow)\\b"; "COLOUR")
	| gsub("\\b(circle|rectangle|triangle)\\b"; "SHAPE");
def type: wording + (if yesno then " \(.[1])" else "" end);

# A line a question, grouped by image.
def prompts:
	group_by(.[2])[][]
	| {id: "\(.[2])", image: (.[2] | path), messages: [user],
	   answers: [.[1]], task: "exact", question_type: type};

# Every tenth picture is kept from learning, to choose by.
def held: .[2] % 10 == 0;
def learned: map(select(held | not));
def validation: map(select(held)) | prompts;

# As many questions of each wording with the answer yes as with no, so that
# wordings say nothing; of the others one in $n.
def spread($n): length as $l | [.[range($n) * $l / $n | floor]];
def even($n):
	[group_by(wording)[]
	 | if .[0] | yesno then
		[map(select(.[1] == "no")), map(select(.[1] == "yes"))]
		| (map(length) | min) as $least | .[] | spread($least)
	   else spread(length / $n | floor) end]
	| add;

# What learning from rewards begins with: what yes or no doesn't answer, then
# all kinds, then those that are answered for rewards.
def naming: learned | map(select(yesno | not)) | conversations;
def mixed: learned | even(2) | conversations;
def rewarded: learned | even(4) | prompts;

# A line a question: a document whose second line is the answer, so that the
# answer's tokens are those of a reply.
def texts: .[] | {text: "\(.[0])\n\(.[1])"};

# A line an image: the right one, the next record's, or always the same.
def images: map(.[2]) | unique;
def right: images[] | {id: "\(.)", image: path};
def other:
	images as $i | range($i | length)
	| {id: "\($i[.])", image: ($i[(. + 1) % ($i | length)] | path)};
def same($image): images[] | {id: "\(.)", image: $image};
