"""The stages a row walks through, in order: reader, validator, tokenizer, publisher."""
