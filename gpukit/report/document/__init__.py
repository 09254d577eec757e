"""The document model: what a structured report says, in the order of a document, free of any format and language."""
