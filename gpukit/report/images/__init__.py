"""Key images: the pictures that a report refers to, as they want to be seen, with its regions."""
