"""What all objects share: the modules and macros of PS3.3 C and 10."""
