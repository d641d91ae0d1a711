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

# The same without what yes or no answers.
def names:
	map(select(.[1] | IN("yes", "no") | not)) | conversations;

# A line a question, grouped by image.
def prompts:
	group_by(.[2])[][]
	| {id: "\(.[2])", image: (.[2] | path), messages: [user],
	   answers: [.[1]], task: "exact"};

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
