"""The keys of ``Collection.provenance``: what the catalog said when the images were frozen.

``collection.json`` in the archive has the same. Collections of earlier versions lack some of them.
"""

# The source datasets, each with its licences and the numbers of its images.
DATASETS = "datasets"
# The numbers of images by kind.
KINDS = "kinds"
# The number of images whose files are elsewhere and are not fetched.
NUM_ELSEWHERE = "num_elsewhere"
# The number of files in the archive; without it each item has one.
NUM_FILES = "files"
# Every code in the items, with its vocabulary, name and description.
TERMS = "terms"
# The filters in words.
WORDS = "words"
# What the words of the search were understood as.
UNDERSTOOD = "understood"
# How many files tell who somebody is, and by which attributes; missing if there are none.
IDENTIFYING = "identifying"
# The number of items that are not in the archive, because their files were bad.
EXCLUDED = "excluded"
