"""The view of a document: the words of each line and cell in one language, ready for every format."""
