"""Writers of a document, one format each."""
