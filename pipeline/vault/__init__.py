"""The vault, our one network peer: a card goes in, an outcome comes out."""
