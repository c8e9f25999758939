"""Events of one store appended to another, each once, with a word of where it comes from."""
