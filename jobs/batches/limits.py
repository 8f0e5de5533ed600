"""What a batch may hold; the numbers of OpenAI's API where it has them."""

MOST_LINES = 50_000
MOST_BYTES = 200_000_000
# Blank ones too: a file of them alone is read to its end by nobody.
MOST_LINES_WITH_BLANK_ONES = 1_000_000
MOST_CUSTOM_ID = 512
LONGEST_WINDOW_S = 30 * 86_400
